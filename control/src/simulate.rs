//! Replays arrivals against a scaling configuration in virtual time: what would it have cost, and
//! who would have waited?
//!
//! The decisions are not modelled: [`scale`](crate::scale) and [`plan`](crate::plan) are the ones
//! that run in production. Modelled are the requests (a [`trace`]), the workers (a [`WorkerModel`])
//! and what the gateway does between them: first come, first served, to the least busy worker, up
//! to `max_concurrency`, a fresh worker filled gently. One difference: the gateway refuses a request at
//! once that cannot be served within `max_wait`; here it waits for that long, and is counted as shed
//! then. It gets no worker either way, but as long as it waits it is load.
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
