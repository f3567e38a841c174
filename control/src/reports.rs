//! What the gateways report, made into measurements.
//!
//! Reports carry sums that only grow. Control takes differences between whichever two it has seen,
//! so a lost, repeated or late report does no harm. Which gateways are alive is kept once
//! (`gateways`), what they say about a deployment is kept with the deployment (`tracker`).

mod gateways;
mod outcomes;
mod tracker;

pub use self::{
    gateways::{Base, Gateways},
    outcomes::OutcomeSums,
    tracker::{Measured, TokenRates, Tracker},
};
