//! What would change the count, in words.

use std::fmt;

use super::{Outlook, Threshold};
use crate::scale::words::Seconds;

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wake => f.write_str("a worker with the first request"),
            Self::More(threshold) => threshold.say("more", "by", f),
            Self::UpPace(left) => {
                write!(f, "more in {}, when the up pace allows it", Seconds(*left))
            }
            Self::NoMore(clamp) => write!(f, "no more: {clamp}"),
            Self::Agrees(threshold) => threshold.say("fewer", "will do for", f),
            Self::Cooldown { rule, pause } => write!(f, "no fewer by the {rule} rule: {pause}"),
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
            Self::Zero(left) => write!(f, "to 0 in {}, if no request comes", Seconds(*left)),
            Self::NoFewer(clamp) => write!(f, "no fewer: {clamp}"),
            Self::Learned(learned) => learned.fmt(f),
            Self::Expects(expectation) => expectation.fmt(f),
        }
    }
}

impl Threshold {
    /// `few`: what the count is then in comparison, `asks`: how the rule stands to it.
    fn say(&self, few: &str, asks: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            than,
            to,
            measure,
            edge,
        } = self;
        match to {
            Some(to) => write!(f, "{to}")?,
            None => write!(f, "{few} than {than}")?,
        }
        write!(f, " {asks} the {rule} rule when {measure} {edge}")
    }
}
