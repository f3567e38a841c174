//! `min` and `max`, and what schedules make of them.

use std::ops::Range;

use penstock_config::{Rule, Scaling};

use super::decision::{Clamp, Reason};

/// The bounds in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Fewest workers.
    pub min: u32,
    /// Most workers; at least `min`.
    pub max: u32,
    /// Whether a schedule says so.
    min_scheduled: bool,
    max_scheduled: bool,
}

impl Bounds {
    /// The bounds at a time in milliseconds since 1970. Of schedules that are active together the
    /// largest `min` and the largest `max` count; should they contradict each other, `min`.
    pub fn at(scaling: &Scaling, wall_ms: u64) -> Self {
        Self::find(scaling, wall_ms).0
    }

    /// Also until when at least they hold.
    fn find(scaling: &Scaling, wall_ms: u64) -> (Self, u64) {
        let (mut min, mut max, mut until) = (None, None, u64::MAX);
        for rule in &scaling.rules {
            let Rule::Schedule(schedule) = rule else {
                continue;
            };
            let activity = schedule.at(wall_ms);
            until = until.min(activity.until_ms);
            if activity.active {
                min = min.max(schedule.min);
                max = max.max(schedule.max);
            }
        }
        let lower = min.unwrap_or(scaling.min);
        let bounds = Self {
            min: lower,
            max: max.unwrap_or(scaling.max).max(lower),
            min_scheduled: min.is_some(),
            max_scheduled: max.is_some(),
        };
        (bounds, until)
    }

    pub(super) fn min_clamp(self) -> Clamp {
        if self.min_scheduled {
            Clamp::ScheduledMinimum(self.min)
        } else {
            Clamp::Minimum(self.min)
        }
    }

    pub(super) fn max_clamp(self) -> Clamp {
        if self.max_scheduled {
            Clamp::ScheduledMaximum(self.max)
        } else {
            Clamp::Maximum(self.max)
        }
    }

    /// The reason for a count that one of them moved.
    pub(super) fn reason(clamp: Clamp) -> Reason {
        match clamp {
            Clamp::ScheduledMinimum(_) | Clamp::ScheduledMaximum(_) => Reason::Scheduled,
            _ => Reason::Bounds,
        }
    }
}

/// Bounds that are found anew only when they may have changed: to look at a calendar costs more
/// than all the rest of a decision.
#[derive(Debug, Clone)]
pub(super) struct KnownBounds {
    bounds: Bounds,
    /// Of which settings.
    of: (u32, u32),
    /// Milliseconds since 1970 in which they hold.
    valid: Range<u64>,
}

impl KnownBounds {
    pub(super) fn unknown() -> Self {
        Self {
            bounds: Bounds {
                min: 0,
                max: u32::MAX,
                min_scheduled: false,
                max_scheduled: false,
            },
            of: (0, 0),
            valid: 0..0,
        }
    }

    pub(super) fn update(&mut self, scaling: &Scaling, wall_ms: u64) {
        let of = (scaling.min, scaling.max);
        if self.of == of && self.valid.contains(&wall_ms) {
            return;
        }
        let (bounds, until) = Bounds::find(scaling, wall_ms);
        // Also when the wall clock is set back they are found anew.
        *self = Self {
            bounds,
            of,
            valid: wall_ms..until,
        };
    }

    /// The rules changed.
    pub(super) fn forget(&mut self) {
        self.valid = 0..0;
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }
}
