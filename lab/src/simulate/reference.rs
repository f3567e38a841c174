//! Autoscalers of other systems, for comparison only.
//!
//! Each is made from its public description with its published defaults, and is named so. None of
//! them is meant to be used: they show what the same hour would have been like elsewhere. All of them see the
//! same counts as Penstock does, exact and without delay, which is more than they get in reality.
//!
//! Where a system leaves the choice of a metric to its users, it gets the best one there is here:
//! requests in flight and queued, in relation to what a worker can take at once.

mod hpa;
mod kpa;
mod plain;
mod ray;
mod sagemaker;
mod toward;

pub use self::{hpa::Hpa, kpa::Kpa, plain::Plain, ray::Ray, sagemaker::SageMaker};

/// What every system asks its user for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Fewest workers.
    pub min: u32,
    /// Most workers.
    pub max: u32,
    /// Most requests on one worker at once.
    pub max_concurrency: u32,
}

impl Bounds {
    /// The same for a system that cannot scale to zero.
    fn above_zero(self) -> Self {
        Self {
            min: self.min.max(1),
            ..self
        }
    }

    fn hold(&self, desired: f64) -> u32 {
        // A cast of a float saturates.
        (desired.max(0.0) as u32).clamp(self.min, self.max)
    }
}
