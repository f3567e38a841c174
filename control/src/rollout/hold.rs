//! Why a rollout stays where it is.

use std::fmt;

/// Why a rollout stays where it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Hold {
    /// The interval of the step is not over.
    Interval,
    /// The canary has had too little traffic for a judgement.
    TooFewRequests {
        /// Requests it had in this step.
        had: u64,
        /// Requests it must have had.
        needed: u32,
    },
    /// Something speaks against the canary, too weakly for a verdict.
    InDoubt(String),
    /// The next share needs more workers.
    Workers {
        /// Ready ones of the newest revision.
        ready: u32,
        /// As many must be ready.
        needed: u32,
        /// The share they are for, in percent.
        share: u32,
    },
    /// Workers of the revision before are not gone, and what they do would count.
    Outdated(u32),
    /// No worker can be started.
    StartFailed(String),
    /// A deployment that has a part in it is paused.
    Stopped(String),
    /// Weights set by hand are in force.
    ByHand,
    /// The operator wants it so.
    Paused,
}

impl Hold {
    /// Whether both are for the same kind of reason; numbers change all the time.
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interval => f.write_str("the interval is not over"),
            Self::TooFewRequests { had, needed } => write!(
                f,
                "too little traffic to judge: {had} of {needed} requests in this step"
            ),
            Self::InDoubt(why) => write!(f, "in doubt, more requests will tell: {why}"),
            Self::Workers {
                ready,
                needed,
                share,
            } => write!(f, "{share} % needs {needed} workers ready, {ready} are"),
            Self::Outdated(count) => {
                write!(
                    f,
                    "{count} workers of the earlier revision are not gone yet"
                )
            }
            Self::StartFailed(why) => write!(f, "no worker can be started: {why}"),
            Self::Stopped(name) => write!(f, "{name} is paused"),
            Self::ByHand => f.write_str("weights are set by hand"),
            Self::Paused => f.write_str("paused"),
        }
    }
}
