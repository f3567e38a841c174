//! The control service: turns load reports into workers.

pub mod api;
mod clock;
mod control;
pub mod driver;
mod metrics;
pub mod plan;
pub mod probe;
mod reconcile;
pub mod reports;
pub mod scale;
pub mod status;
pub mod store;
pub mod window;

pub use self::{
    control::{Control, ControlError},
    metrics::describe as describe_metrics,
    reconcile::Drivers,
};
