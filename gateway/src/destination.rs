//! Where a request goes: first to a service and, once that has let it in, to one of its deployments.

use std::sync::Arc;

use http::{HeaderValue, request::Parts};

use crate::{
    connection::Connection, deployment::DeploymentState, reason::Reason, refusal::Refusal,
    table::ServiceState,
};

/// The service that a request is for.
pub(crate) struct Destination {
    /// The service.
    pub(crate) service: Arc<ServiceState>,
    /// The deployment that the host names, which nothing else of the request can change.
    direct: Option<usize>,
}

impl Destination {
    /// Finds the service by host and path.
    pub(crate) fn find(
        connection: &Connection,
        host: &HeaderValue,
        parts: &Parts,
    ) -> Result<Self, Refusal> {
        let table = connection.thread.shared.table.load();
        let name = host.to_str().unwrap_or_default();
        let Some((service, direct)) = table.find(name, parts.uri.path()) else {
            return Err(Refusal::new(
                Reason::NoRoute,
                format!("no service at {name}{}", parts.uri.path()),
            ));
        };
        Ok(Self {
            service: Arc::clone(service),
            direct,
        })
    }

    /// Chooses the deployment.
    pub(crate) fn choose(&self) -> Result<Arc<DeploymentState>, Refusal> {
        let chosen = match self.direct {
            Some(direct) => self.service.deployments.get(direct),
            None => self.service.choose(),
        };
        chosen
            .cloned()
            .ok_or_else(|| Refusal::new(Reason::NoWorkers, "no deployment takes requests"))
    }
}
