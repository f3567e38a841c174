//! What would change the count next: for people who wait for it.

use std::{fmt, time::Duration};

use penstock_config::Scaling;

use super::{
    ScaleState,
    decision::{Clamp, Decision, Reason},
    down,
    observation::{Hold, HoldCause},
    pace,
    wish::{Basis, Wish},
    words::Seconds,
};

/// One way in which the count may change next.
#[derive(Debug, Clone, PartialEq)]
pub enum Outlook {
    /// There is none, and the first request brings one.
    Wake,
    /// More when a measure passes a value.
    More {
        /// More than so many.
        than: u32,
        /// The type of the rule that would ask for them.
        rule: &'static str,
        /// What it measures.
        measure: String,
        /// The value.
        above: f64,
    },
    /// More when the pace allows it.
    UpPace(Duration),
    /// No more, whatever the load.
    NoMore(Clamp),
    /// Fewer after this time, if the load stays as it is.
    Fewer {
        /// The count then.
        to: u32,
        /// In how long.
        left: Duration,
    },
    /// Fewer when the pace allows it.
    DownPace(Duration),
    /// Not fewer for so long at least, because the measurement is not trusted.
    Held(Duration),
    /// Fewer so long after all ready workers have told what a rule asks them for.
    Told(Duration),
    /// None after this time, if no request comes.
    Zero(Duration),
    /// No fewer, whatever the load.
    NoFewer(Clamp),
}

impl ScaleState {
    /// What would change the count next after this decision, the last one made. `hold`: why the
    /// measurements may say too little.
    pub fn outlook(
        &self,
        decision: &Decision,
        scaling: &Scaling,
        hold: Option<Hold>,
        now: Duration,
    ) -> Vec<Outlook> {
        if self.desired == 0 {
            let can_wake = self.bounds().max > 0;
            return if can_wake {
                vec![Outlook::Wake]
            } else {
                vec![Outlook::NoMore(self.bounds().max_clamp())]
            };
        }
        let mut next = self.more(decision, scaling, now);
        next.extend(self.fewer(decision, scaling, hold, now));
        next
    }

    fn more(&self, decision: &Decision, scaling: &Scaling, now: Duration) -> Vec<Outlook> {
        let bounds = self.bounds();
        if self.desired >= bounds.max {
            return vec![Outlook::NoMore(bounds.max_clamp())];
        }
        if matches!(decision.reason, Reason::Paced { .. }) {
            let at = self.history.lowest_until(scaling.up.period, now);
            let left = at.map(|at| at.saturating_sub(now));
            return left.map(Outlook::UpPace).into_iter().collect();
        }
        let wishes = decision.wishes.iter();
        let more = wishes.filter_map(|wish| threshold(wish, self.desired));
        more.collect()
    }

    fn fewer(
        &self,
        decision: &Decision,
        scaling: &Scaling,
        hold: Option<Hold>,
        now: Duration,
    ) -> Option<Outlook> {
        let bounds = self.bounds();
        if self.desired <= bounds.min {
            return Some(Outlook::NoFewer(bounds.min_clamp()));
        }
        match decision.reason {
            Reason::Settling { stable, needed, .. } => Some(Outlook::Fewer {
                to: self.after_settling(scaling, now)?,
                left: needed.saturating_sub(stable),
            }),
            Reason::Held(HoldCause::Untold { .. }) => Some(Outlook::Told(self.patience)),
            Reason::Held(_) => {
                let until = hold?.since + down::hold_window(self);
                Some(Outlook::Held(until.saturating_sub(now)))
            }
            Reason::PacedDown => {
                let at = self.history.highest_until(scaling.down.period, now)?;
                Some(Outlook::DownPace(at.saturating_sub(now)))
            }
            Reason::Idling { idle, timeout } => Some(Outlook::Zero(timeout.saturating_sub(idle))),
            _ => None,
        }
    }

    /// The count after the load has fitted fewer workers for long enough, if it stays as it is.
    fn after_settling(&self, scaling: &Scaling, now: Duration) -> Option<u32> {
        let before = self.desired;
        let fits = self.recent.largest_below(before)?;
        let least = pace::least(&scaling.down, &self.history, before, now);
        let least = least.max(before.saturating_sub(scaling.down.step));
        Some(fits.max(least).max(self.bounds().min).max(1).min(before))
    }
}

/// From where on a rule asks for more than so many workers, if that can be told from its measure
/// alone.
fn threshold(wish: &Wish, than: u32) -> Option<Outlook> {
    let (measure, target) = match &wish.basis {
        Basis::Concurrency { target, .. } => {
            ("concurrency (with the room for chance)".to_owned(), *target)
        }
        Basis::TargetTracking { metric, target, .. } => {
            (format!("{metric} of all workers"), *target)
        }
        Basis::Backlog { target, .. } => ("requests in flight or queued".to_owned(), *target),
        _ => return None,
    };
    Some(Outlook::More {
        than,
        rule: wish.rule,
        measure,
        above: target * f64::from(than),
    })
}

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wake => f.write_str("a worker with the first request"),
            Self::More {
                than,
                rule,
                measure,
                above,
            } => write!(
                f,
                "more than {than} by the {rule} rule when {measure} passes {above:.1}"
            ),
            Self::UpPace(left) => {
                write!(f, "more in {}, when the up pace allows it", Seconds(*left))
            }
            Self::NoMore(clamp) => write!(f, "no more: {clamp}"),
            Self::Fewer { to, left } => write!(
                f,
                "to {to} in {}, if the load stays as it is",
                Seconds(*left)
            ),
            Self::DownPace(left) => {
                write!(
                    f,
                    "fewer in {}, when the down pace allows it",
                    Seconds(*left)
                )
            }
            Self::Held(left) => write!(f, "no fewer for at least {} more", Seconds(*left)),
            Self::Told(after) => write!(
                f,
                "no fewer before {} have passed in which all ready workers tell their metrics",
                Seconds(*after)
            ),
            Self::Zero(left) => write!(f, "to 0 in {}, if no request comes", Seconds(*left)),
            Self::NoFewer(clamp) => write!(f, "no fewer: {clamp}"),
        }
    }
}

#[cfg(test)]
mod tests;
