//! Where a request goes: first to a service and, once that has let it in, to one of its deployments.

use std::sync::Arc;

use crate::{
    base::{reason::Reason, refusal::Refusal},
    fleet::deployment::DeploymentState,
    request::{model::Rules, request_key::RequestHead},
    route::{
        split::Choice,
        table::{Leads, ServiceState},
    },
    settle::exchange::Exchange,
    socket::connection::Connection,
};

/// The service that a request is for.
pub(crate) struct Destination {
    /// The service.
    pub(crate) service: Arc<ServiceState>,
    /// The deployment that the host names, which nothing else of the request can change.
    direct: Option<usize>,
    /// What is changed in requests for the model that named the service.
    model: Option<Arc<Rules>>,
}

/// Where a request goes.
pub(crate) enum Way {
    /// To this service, or nowhere.
    To(Result<Destination, Refusal>),
    /// To the service that has its model, which is still to be found out.
    FrontDoor,
}

impl Destination {
    /// Finds the service by host and path.
    pub(crate) fn find(connection: &Connection, host: &[u8], path: &[u8]) -> Way {
        let table = connection.thread.shared.table.load();
        let Some(leads) = table.find(host, path) else {
            let (host, path) = (String::from_utf8_lossy(host), String::from_utf8_lossy(path));
            let detail = format!("no service at {host}{path}");
            let refusal = Refusal::new(Reason::NoRoute, detail);
            // Nobody but the client needs to know, so there is nothing to log where it is not told.
            return Way::To(Err(match connection.thread.settings().error_details {
                true => refusal.because(table.addresses()),
                false => refusal,
            }));
        };
        match leads {
            Leads::FrontDoor => Way::FrontDoor,
            Leads::Service(service, direct) => Way::To(Ok(Self {
                service: Arc::clone(service),
                direct,
                model: None,
            })),
        }
    }

    /// A service that has this model.
    pub(crate) fn with_model(service: Arc<ServiceState>, model: Arc<Rules>) -> Self {
        Self {
            model: Some(model),
            ..Self::split(service)
        }
    }

    /// The model that named the service.
    pub(crate) fn model(&self) -> Option<&Arc<Rules>> {
        self.model.as_ref()
    }

    /// A service, the split of which has chosen the deployment.
    pub(crate) fn split(service: Arc<ServiceState>) -> Self {
        Self {
            service,
            direct: None,
            model: None,
        }
    }

    /// Whether the host names the deployment.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// Chooses the deployment, and notes on the exchange what comes of it.
    pub(crate) fn choose(
        &self,
        head: &RequestHead<'_>,
        exchange: &mut Exchange,
    ) -> Result<Arc<DeploymentState>, Refusal> {
        let chosen = match self.direct {
            Some(direct) => self.service.deployments.get(direct).cloned(),
            None => {
                let choice = self.service.choose(head, exchange.started());
                self.go_by(choice, exchange)
            }
        };
        chosen.ok_or_else(|| Refusal::new(Reason::NoWorkers, "no deployment takes requests"))
    }

    fn go_by(
        &self,
        choice: Option<Choice>,
        exchange: &mut Exchange,
    ) -> Option<Arc<DeploymentState>> {
        let choice = choice?;
        exchange.sets_cookie(choice.cookie);
        exchange.may_overflow = choice.may_overflow;
        self.service.deployments.get(choice.deployment).cloned()
    }
}
