//! Numbers for people.

use std::{fmt, time::Duration};

/// A duration: whole seconds from ten on, tenths below.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds >= 10.0 {
            write!(f, "{seconds:.0} s")
        } else {
            write!(f, "{seconds:.1} s")
        }
    }
}
