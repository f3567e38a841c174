//! Decisions in a form that people and programs can read: what the journal keeps of each, and what
//! `penstock explain` shows.
//!
//! The words themselves stand where the thing is that they describe (`Display` of a wish, a clamp, a
//! reason); here they are only put together. A new rule therefore explains itself.

mod episodes;
mod means;
mod next;
mod present;
mod record;
mod steps;
mod unknown;
mod waits;

pub(crate) use self::{
    episodes::Episodes, means::Means, present::Rules, steps::steps, waits::Waits,
};
pub use self::{
    next::{LearnedRecord, Next, ProofRecord},
    present::{Explanation, Present},
    record::{ClampRecord, Inputs, Record, Step, WishRecord},
    unknown::Unknown,
};
