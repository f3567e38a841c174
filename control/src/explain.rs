//! Decisions in a form that people and programs can read: what the journal keeps of each, and what
//! `penstock explain` shows.
//!
//! The words themselves stand where the thing is that they describe (`Display` of a wish, a clamp, a
//! reason); here they are only put together. A new rule therefore explains itself.

mod means;
mod record;
mod steps;

pub use self::record::{ClampRecord, Inputs, Record, Step, WishRecord};
pub(crate) use self::{means::Means, steps::steps};
