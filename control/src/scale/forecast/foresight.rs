//! What is expected, in words.

use std::{fmt, time::Duration};

use penstock_config::ClockTime;

use super::{pattern::Pattern, score::NEEDED};
use crate::scale::words::Seconds;

/// What the `forecast` rule expects, or why it expects nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Foresight {
    /// More load than there is.
    More {
        /// The concurrency that is expected.
        load: f64,
        /// What is added for chance.
        room: f64,
        /// When, on the clocks of the rule.
        at: ClockTime,
        /// From what it follows.
        sign: Sign,
        /// Share of what such forecasts expected lately that came, 0 to 1.
        came: f64,
        /// How long a worker takes to start.
        start: Duration,
    },
    /// No more than there is.
    NoMore {
        /// Up to when, on the clocks of the rule.
        until: ClockTime,
    },
    /// Too little of what was expected came.
    Unproven {
        /// The share that came, 0 to 1.
        came: f64,
    },
    /// It has not been seen for long enough what the load does.
    Learning {
        /// Days of which the load is known.
        days: u64,
        /// Days that it takes; 0 when it is no matter of days.
        needed: u64,
    },
}

/// From what a forecast follows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sign {
    /// It is usual.
    Usual {
        /// At which times.
        pattern: Pattern,
        /// How many of them were seen.
        seen: u32,
    },
    /// It has grown in the last minutes.
    Growing {
        /// By so many requests at a time each minute.
        per_minute: f64,
    },
}

impl Foresight {
    /// Continues "nothing", or "so many workers".
    pub(in super::super) fn write(&self, f: &mut fmt::Formatter<'_>, target: f64) -> fmt::Result {
        match self {
            Self::More {
                load,
                room,
                at,
                sign,
                came,
                start,
            } => {
                write!(
                    f,
                    "for concurrency {load:.1} (and {room:.1} for chance) at {target} per worker \
                     expected at {at}: "
                )?;
                sign.write(f, *at)?;
                let came = 100.0 * came;
                write!(
                    f,
                    ", {came:.0} % of what such forecasts expected came; a start takes {}",
                    Seconds(*start)
                )
            }
            Self::NoMore { until } => write!(f, "because no more is expected until {until}"),
            Self::Unproven { came } => write!(
                f,
                "because only {:.0} % of what was expected came, which must be {:.0} %",
                100.0 * came,
                100.0 * NEEDED
            ),
            Self::Learning { needed: 0, .. } => {
                f.write_str("because the load has not grown often enough yet to compare")
            }
            Self::Learning { days, needed } if days < needed => write!(
                f,
                "because no pattern is known yet: {days} of {needed} days seen"
            ),
            Self::Learning { .. } => f.write_str(
                "because no pattern is known yet: there are gaps in the days that were seen",
            ),
        }
    }
}

impl Sign {
    /// As the setting that allows it.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Usual { pattern, .. } => pattern.kind(),
            Self::Growing { .. } => "slope",
        }
    }

    fn write(self, f: &mut fmt::Formatter<'_>, at: ClockTime) -> fmt::Result {
        match self {
            Self::Usual {
                pattern: Pattern::Daily,
                seen,
            } => write!(f, "every day, seen {seen} times"),
            Self::Usual {
                pattern: Pattern::Weekly,
                seen,
            } => write!(f, "{}s, seen {seen} times", at.weekday()),
            Self::Growing { per_minute } => write!(f, "growing by {per_minute:.1} a minute"),
        }
    }
}
