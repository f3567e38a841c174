//! Pure algorithms of the data plane: nothing here reads a clock, draws randomness, blocks, logs or does
//! I/O. Time and seeds are arguments.
//!
//! The map, in the order a request meets it:
//!
//! | Module | Question |
//! |---|---|
//! | [`WeightedSplit`] | which deployment? |
//! | [`Picker`] | which worker? |
//! | [`Gate`] | may it pass, and how many are in flight? |
//! | [`Ramp`] | how much may a fresh worker get? |
//! | [`Vitals`] | what is remembered of a worker while the fleet changes around it? |

mod budget;
mod darts;
mod draw;
mod eject;
mod gate;
mod key;
mod latency;
mod lottery;
mod pick;
mod ramp;
mod rendezvous;
mod rotation;
mod split;
mod stamped;
mod strikes;
mod vitals;

pub use budget::{BudgetRules, RetryBudget};
pub use eject::{EjectRules, Ejector};
pub use gate::Gate;
pub use key::key;
pub use pick::{Candidate, EXACT_SCAN_MAX, Overflow, Picker, Policy, Query};
pub use ramp::Ramp;
pub use split::{Share, SplitPolicy, SplitQuery, Splitter, WeightedSplit};
pub use vitals::Vitals;
