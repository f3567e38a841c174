//! Which requests of a service are copied, and to which of its deployments.
//!
//! The share `percent`, evenly (see [`Sample`]), of those that the split or a match rule sent elsewhere.
//! Not what is a copy already, by the word of a trusted proxy.

use std::sync::Arc;

use penstock_balancer::Sample;
use penstock_config::{Mirror, Service};

use crate::{count::metrics::Dropped, fleet::deployment::DeploymentState};

/// The mirror of one service.
pub(crate) struct MirrorState {
    /// What the user set.
    pub(crate) spec: Mirror,
    /// Where copies go.
    pub(crate) target: Arc<DeploymentState>,
    sample: Sample,
}

impl MirrorState {
    /// The mirror that `service` is to have, if any; its share goes on from where `previous` was.
    pub(crate) fn new(
        service: &Service,
        deployments: &[Arc<DeploymentState>],
        previous: Option<&Self>,
    ) -> Option<Self> {
        let spec = service.mirror.clone()?;
        // A checked service has the deployment.
        let target = deployments
            .iter()
            .find(|deployment| deployment.name == spec.to)?;
        Some(Self {
            target: Arc::clone(target),
            sample: Sample::new(
                spec.percent / 100.0,
                previous.map(|previous| &previous.sample),
            ),
            spec,
        })
    }

    /// Whether the next request, which `deployment` answers and which is a copy itself or not, is to be
    /// copied.
    pub(crate) fn takes(&self, deployment: &Arc<DeploymentState>, is_copy: bool) -> bool {
        !Arc::ptr_eq(deployment, &self.target) && !is_copy && self.sample.take()
    }

    /// A request that was to be copied cannot be.
    pub(crate) fn cannot(&self) {
        let metrics = &self.target.copies.metrics;
        metrics.ended(Err(Dropped::Unfinished));
    }
}
