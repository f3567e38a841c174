//! How the workers of a deployment are spoken to.

use std::sync::Arc;

use penstock_config::{Deployment, Protocol, WorkerTls};

use crate::fleet::worker::WorkerState;

/// Protocol and TLS.
#[derive(Clone)]
pub(crate) struct Wire {
    /// The protocol.
    pub(crate) protocol: Protocol,
    /// TLS under it; `None`: none.
    pub(crate) tls: Option<Arc<WorkerTls>>,
}

impl Wire {
    /// That of a deployment.
    pub(crate) fn of(spec: &Deployment) -> Self {
        Self {
            protocol: spec.protocol,
            tls: spec.tls.clone(),
        }
    }

    /// Names a worker's connections. With other settings of TLS they are others: what was agreed on
    /// before is not relied on.
    pub(super) fn key(&self, worker: &WorkerState) -> u64 {
        worker.key ^ self.tls.as_ref().map_or(0, |tls| tls.id())
    }
}
