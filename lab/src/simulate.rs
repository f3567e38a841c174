//! Replays arrivals against a scaling configuration in virtual time: what would it have cost, and
//! who would have waited?
//!
//! The decisions are not modelled: [`scale`](penstock_control::scale) and [`plan`](penstock_control::plan) are the ones
//! that run in production. Modelled are the requests (a [`trace`]), the workers (a [`WorkerModel`])
//! and what the gateway does between them: first come, first served, to the least busy worker, up
//! to `max_concurrency`, a fresh worker filled gently, and whoever would wait in vain refused at once.
//!
//! A simulation is a heap of events. `world` takes the next one, lets the fleet change, counts
//! what passed since the last one, and asks the [`Scaler`] when its turn has come. Everything is
//! deterministic: the same trace, setup and seed give the same [`Outcome`].
//!
//! [`mod@reference`] holds autoscalers of other systems, made from their public descriptions, to compare
//! with. They exist for that only.

mod fleet;
mod meter;
mod model;
mod outcome;
mod penstock;
pub mod reference;
mod scaler;
pub mod sharing;
mod shedding;
#[cfg(test)]
mod tests;
pub mod trace;
mod world;

pub use self::{
    model::WorkerModel,
    outcome::{Instant, Outcome, Waits},
    penstock::Penstock,
    scaler::{Scaler, Seen, Turn},
    world::{Setup, run},
};
