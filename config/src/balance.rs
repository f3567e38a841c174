//! How a worker is picked within a deployment.

use crate::KeySource;

/// How a worker is picked within a deployment. All of them by weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// Smooth weighted round robin.
    RoundRobin,
    /// The fewest in flight for its weight.
    LeastConnections,
    /// At random.
    Random,
    /// The worker that the request's [`struct@Hash`] belongs to.
    Hash,
    /// Of two random workers the one that is expected to answer sooner: the least product of
    /// response time and requests in flight.
    PeakEwma,
}

impl std::fmt::Display for Balance {
    /// As the file has it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::RoundRobin => "round-robin",
            Self::LeastConnections => "least-connections",
            Self::Random => "random",
            Self::Hash => "hash",
            Self::PeakEwma => "peak-ewma",
        })
    }
}

/// What requests are hashed by, for `balance = "hash"` and `split = "hash"`. A request without the
/// key is placed at random.
#[derive(Debug, Clone, PartialEq)]
pub struct Hash {
    /// What is hashed.
    pub by: KeySource,
    /// When a request goes to another worker than its own.
    pub overflow: Overflow,
}

/// When a request goes to another worker than the one its hash belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Overflow {
    /// When the worker has this many times the mean load; at least 1.
    AboveMean(f64),
    /// When the worker is at its `max_concurrency`.
    WhenFull,
    /// Never: it waits for its worker although others may be free.
    Never,
}
