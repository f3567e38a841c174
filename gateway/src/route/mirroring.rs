//! Which requests of a service are copied, and to which of its deployments.
//!
//! The share `percent`, evenly (see [`Sample`]), of those that the split or a match rule sent elsewhere.
//! Not what is a copy already, by the word of a trusted proxy.

use std::sync::Arc;

use http::HeaderMap;
use penstock_balancer::Sample;
use penstock_config::{Mirror, Service};

use crate::{
    base::headers::{Forwarding, is_copy},
    fleet::deployment::DeploymentState,
};

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

    /// Whether a request with these headers, which `deployment` answers, is to be copied.
    pub(crate) fn takes(
        &self,
        deployment: &Arc<DeploymentState>,
        headers: &HeaderMap,
        forwarding: &Forwarding,
    ) -> bool {
        !Arc::ptr_eq(deployment, &self.target)
            && !is_copy(headers, forwarding)
            && self.sample.take()
    }
}
