//! Another deployment of the service, for a request whose own one was removed or paused before a worker
//! had answered it.
//!
//! The service's choice led it there, and the service is still there: so it chooses anew. A client that
//! named the deployment by its own host asked for nothing else, and is told what happened.

use std::sync::Arc;

use crate::{
    base::{reason::Reason, refusal::Refusal},
    fleet::{deployment::DeploymentState, pick_by::PickBy},
    request::request_key::RequestHead,
    route::{split::Choice, table::ServiceState},
    settle::exchange::Exchange,
};

/// A deployment that takes a request over.
pub(crate) struct Sibling {
    /// The service as it is now.
    pub(crate) service: Arc<ServiceState>,
    /// The deployment of it.
    pub(crate) deployment: Arc<DeploymentState>,
}

impl Sibling {
    /// Moves a request that waited for a worker of `left` and was refused to a sibling. Where there is
    /// none, the refusal for the client is the error.
    pub(crate) fn after(
        refusal: Refusal,
        left: &DeploymentState,
        exchange: &mut Exchange,
        head: &RequestHead<'_>,
    ) -> Result<Self, Refusal> {
        let sibling = match refusal.reason {
            Reason::Paused => Self::chosen(left, exchange, |service, exchange| {
                service.choose_another(head, exchange.clock().now())
            }),
            Reason::NoWorkers if left.is_retired() && exchange.is_direct => {
                let detail =
                    "the deployment that the host names was removed while the request waited";
                return Err(Refusal::new(Reason::NoWorkers, detail));
            }
            Reason::NoWorkers if left.is_retired() => Self::of(left, exchange, head),
            _ => None,
        };
        let sibling = sibling.ok_or(refusal)?;
        sibling.take_over(exchange, head);
        Ok(sibling)
    }

    /// The one that a request of `left`, which was removed, may go to; `None` where there is none.
    pub(crate) fn of(
        left: &DeploymentState,
        exchange: &mut Exchange,
        head: &RequestHead<'_>,
    ) -> Option<Self> {
        Self::chosen(left, exchange, |service, exchange| {
            service.choose(head, exchange.clock().now())
        })
    }

    fn chosen(
        left: &DeploymentState,
        exchange: &mut Exchange,
        choose: impl FnOnce(&ServiceState, &Exchange) -> Option<Choice>,
    ) -> Option<Self> {
        if exchange.is_direct {
            return None;
        }
        let thread = exchange.thread();
        let service = Arc::clone(thread.shared.table.load().service(&left.service)?);
        let choice = choose(&service, exchange)?;
        let deployment = Arc::clone(service.deployments.get(choice.deployment)?);
        if std::ptr::eq(&*deployment, left) {
            return None;
        }
        exchange.sets_cookie(choice.cookie);
        exchange.may_overflow = choice.may_overflow;
        Some(Self {
            service,
            deployment,
        })
    }

    /// From now on the request is part of its load.
    pub(crate) fn take_over(&self, exchange: &mut Exchange, head: &RequestHead<'_>) {
        exchange.pick_by = PickBy::of(head, &self.service.spec);
        exchange.move_to(&self.deployment);
    }
}
