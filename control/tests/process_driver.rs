//! The process driver with real processes.
//!
//! This binary has a main of its own because it is also the supervisor that the driver starts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "process_driver/support.rs"]
mod support;

#[path = "process_driver/basics.rs"]
mod basics;
#[path = "process_driver/grace.rs"]
mod grace;
#[path = "process_driver/leftovers.rs"]
mod leftovers;
#[path = "process_driver/listener.rs"]
mod listener;
#[path = "process_driver/real.rs"]
mod real;
#[path = "process_driver/recovery.rs"]
mod recovery;
#[path = "process_driver/surroundings.rs"]
mod surroundings;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use penstock_control::driver::process::{SUPERVISE, supervise};

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(SUPERVISE) {
        return supervise();
    }
    if std::env::args().nth(1).as_deref() == Some(recovery::CONTROL) {
        recovery::control();
    }
    if std::env::args().nth(1).as_deref() == Some(listener::LISTEN) {
        listener::listen();
    }
    let trials = [
        basics::trials(),
        surroundings::trials(),
        grace::trials(),
        listener::trials(),
        leftovers::trials(),
        recovery::trials(),
        real::trials(),
    ];
    let trials: Vec<Trial> = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
