//! What would change the count, in words.

use std::fmt;

use super::{Outlook, Threshold};
use crate::scale::words::Seconds;

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wake => f.write_str("a worker with the first request"),
            Self::More(threshold) => more(threshold, f),
            Self::UpPace(left) => {
                write!(f, "more in {}, when the up pace allows it", Seconds(*left))
            }
            Self::NoMore(clamp) => write!(f, "no more: {clamp}"),
            Self::Agrees(threshold) => agrees(threshold, f),
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
            Self::Told(after) => write!(
                f,
                "no fewer before {} have passed in which all ready workers tell their metrics",
                Seconds(*after)
            ),
            Self::Zero(left) => write!(f, "to 0 in {}, if no request comes", Seconds(*left)),
            Self::NoFewer(clamp) => write!(f, "no fewer: {clamp}"),
            Self::Learned(learned) => learned.fmt(f),
            Self::Expects(expectation) => expectation.fmt(f),
        }
    }
}

fn more(threshold: &Threshold, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Threshold {
        rule,
        than,
        to,
        measure,
        edge,
    } = threshold;
    match to {
        Some(to) => write!(f, "{to} by the {rule} rule when {measure} {edge}"),
        None => write!(
            f,
            "more than {than} by the {rule} rule when {measure} {edge}"
        ),
    }
}

fn agrees(threshold: &Threshold, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Threshold {
        rule,
        than,
        to,
        measure,
        edge,
    } = threshold;
    match to {
        Some(to) => write!(f, "{to} will do for the {rule} rule when {measure} {edge}"),
        None => write!(
            f,
            "fewer than {than} will do for the {rule} rule when {measure} {edge}"
        ),
    }
}
