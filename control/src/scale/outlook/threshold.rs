//! Values of measures from which on rules ask for another count.

use std::fmt;

use crate::scale::words::Value;

/// From where on a rule asks for more workers, or agrees to fewer, if everything else stays.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// The type of the rule.
    pub rule: &'static str,
    /// More, or fewer, than so many.
    pub than: u32,
    /// The count, where it is known beforehand.
    pub to: Option<u32>,
    /// What the rule looks at.
    pub measure: String,
    /// What the measure must do.
    pub edge: Edge,
}

/// A value, and which side of it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Edge {
    /// More than that.
    Above(f64),
    /// That or more.
    AtLeast(f64),
    /// That or less.
    AtMost(f64),
    /// Less than that.
    Below(f64),
}

impl Edge {
    /// The value, in the unit of the measure.
    pub fn value(self) -> f64 {
        let (Self::Above(value) | Self::AtLeast(value) | Self::AtMost(value) | Self::Below(value)) =
            self;
        value
    }

    /// `above`, `at_least`, `at_most` or `below`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Above(_) => "above",
            Self::AtLeast(_) => "at_least",
            Self::AtMost(_) => "at_most",
            Self::Below(_) => "below",
        }
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = Value(self.value());
        match self {
            Self::Above(_) => write!(f, "passes {value}"),
            Self::AtLeast(_) => write!(f, "is {value} or more"),
            Self::AtMost(_) => write!(f, "is {value} or less"),
            Self::Below(_) => write!(f, "falls below {value}"),
        }
    }
}
