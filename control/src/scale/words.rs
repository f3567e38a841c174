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

/// A value that something is compared with: as many decimals as it has, at least one and at most three.
pub(super) struct Value(pub(super) f64);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.3}", self.0);
        let one = text.len() - 2;
        let rest = text[one..].trim_end_matches('0');
        write!(f, "{}{rest}", &text[..one])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_the_decimals_that_it_needs() {
        let texts =
            [8.0, 2.25, 0.3 * 3.0, 12.0625, 0.0, -1.5].map(|value| Value(value).to_string());
        assert_eq!(texts, ["8.0", "2.25", "0.9", "12.062", "0.0", "-1.5"]);
    }
}
