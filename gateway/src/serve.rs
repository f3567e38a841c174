//! What is done with a request, step by step: to whom it goes, on which worker it gets a lease, how it
//! is tried there, and what follows from a failed try.

pub(crate) mod admission;
pub(crate) mod attempt;
mod by_hyper;
pub(crate) mod destination;
mod early;
pub(crate) mod entry;
pub(crate) mod failure;
mod find;
mod front_door;
mod onward;
pub(crate) mod proxy;
pub(crate) mod relay;
pub(crate) mod retry;
pub(crate) mod sibling;
mod tiers;
