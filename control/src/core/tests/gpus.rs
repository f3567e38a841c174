//! Deployments that share too few GPUs, in virtual time: the core itself, a gateway that obeys at once, and
//! workers that load for a while and then answer one request at a time.

mod crowd;
mod house;
mod preempt;
mod sleep;
mod steps;
mod timelines;
