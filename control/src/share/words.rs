//! Why somebody makes room, and what somebody waits for, for people.

use std::fmt;

use super::{Waits, WaitsFor, Why};
use crate::scale::Seconds;

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle(idle) => write!(f, "it has had nothing to do for {}", Seconds(*idle)),
            Self::Age(age) => write!(f, "a request has waited there for {}", Seconds(*age)),
            Self::Sum(sum) => write!(f, "requests have waited there for {} in all", Seconds(*sum)),
        }
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let oldest = Seconds(self.oldest);
        match self.count {
            0 => f.write_str("nobody waits"),
            1 => write!(f, "1 request waits, for {oldest}"),
            count => write!(f, "{count} requests wait, the first for {oldest}"),
        }
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room => f.write_str("workers are making room"),
            Self::Turn(bound) => write!(
                f,
                "others are busy; the first that is idle makes room, and a busy one when a request has waited \
                 here for {}",
                Seconds(*bound)
            ),
            Self::Idleness => f.write_str("nobody waits here, so nobody has to make room"),
            Self::Others => f.write_str("others are given what there is first"),
            Self::Change => f.write_str(
                "nobody can make room: their `min` or a higher `priority` keeps all others",
            ),
        }
    }
}
