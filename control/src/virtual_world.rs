//! A world in virtual time around the very core that runs in production: what drivers, probes and the state
//! file do for it, where all of that only takes time. The tests of the core, the scenarios in `control/tests`
//! and `penstock simulate` are built on it; nothing of the product runs it.
//!
//! - A [`Machine`] knows what drivers were asked for and what runs. It models no worker's life: the core
//!   decides that, and what it decides against its promises shows in [`Machine::faults`].
//! - A [`StateFile`] has what the next run of control finds.
//! - A [`VirtualShell`] carries out what the core wants done, as the shell does, and tells what comes of it when
//!   the time has come. How long workers take is up to [`Workers`].
//! - A [`Gateway`] has the requests: it queues them, gives them to the workers that it is told of, counts, and
//!   reports.
//! - A [`House`] is all of these together.
//!
//! Whoever wants outcomes in an order of its own, as tests of chance do, uses a [`Machine`] alone.

mod counts;
mod door;
mod gateway;
mod house;
mod machine;
mod shell;
mod state_file;

pub use self::{
    counts::Counts,
    door::{Door, Request},
    gateway::Gateway,
    house::House,
    machine::{Job, Machine, Process},
    shell::{Crash, Start, VirtualShell, Workers},
    state_file::StateFile,
};
