//! What must hold for every sequence of events, every list of workers and every set of weights.

mod affinity;
mod allocation;
mod black_hole;
mod budget;
mod eject;
mod eta;
mod gates;
mod hand_over;
mod limits;
mod line;
mod losses;
mod sample;
mod shares;
mod simulation;
mod splits;
mod workers;
