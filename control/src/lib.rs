//! The control service: turns load reports into workers.

mod clock;
mod control;
pub mod driver;
mod metrics;
pub mod plan;
/// Stand-in until `probe.rs` is here.
#[allow(missing_docs, unused)]
pub mod probe {
    use penstock_config::{Probes, fleet::WorkerId};
    use crate::driver::NewWorker;
    pub enum ProbeEvent { Ready(WorkerId), NotReady(WorkerId, String), LivenessFailed(WorkerId, String) }
    pub struct ProbeGuard;
    impl ProbeGuard { pub fn note_traffic(&self) {} }
    pub fn watch(worker: &NewWorker, _: std::net::SocketAddr, _: &Probes, events: tokio::sync::mpsc::UnboundedSender<ProbeEvent>) -> ProbeGuard {
        let _ = events.send(ProbeEvent::Ready(worker.id.clone()));
        ProbeGuard
    }
}
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
