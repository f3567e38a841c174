//! What decides in a simulation.

use std::time::Duration;

use penstock_control::{
    plan::{Action, WorkerFacts},
    scale::Observation,
};

/// What a scaler sees when its turn has come.
#[derive(Debug, Clone)]
pub struct Seen<'s> {
    /// What the gateway and the workers tell.
    pub observation: Observation,
    /// Every worker that is not gone.
    pub workers: &'s [WorkerFacts],
}

/// What a scaler wants.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Turn {
    /// The count of workers it aims at.
    pub desired: u32,
    /// What is to be done now.
    pub actions: Vec<Action>,
    /// Why, for people; empty when nothing changed.
    pub reason: String,
}

/// An autoscaler.
pub trait Scaler {
    /// What tables call it.
    fn name(&self) -> &str;

    /// From one turn to the next.
    fn interval(&self) -> Duration;

    /// Whether a request that finds no worker makes the next turn come at once.
    fn wakes_at_once(&self) -> bool;

    /// Workers that are ready when the simulation begins.
    fn begins_with(&self) -> u32;

    /// Takes a turn at the time `now`.
    fn turn(&mut self, seen: &Seen<'_>, now: Duration) -> Turn;
}
