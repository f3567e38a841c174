//! Control as a whole: the loop, the state file and the snapshots, with fake workers and a fake
//! gateway, in real time.

mod api;
mod explain;
mod fake_driver;
mod forecast;
mod harness;
mod lifecycle;
mod loads;
mod many;
mod pause;
mod reload;
mod restart;
mod rollout;
mod slow_clients;
mod trouble;
mod weights;
