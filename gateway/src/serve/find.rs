//! Finds a worker for a request: in the deployment that it is for, or that of a sibling.

use std::sync::Arc;

use super::{
    admission::{Presence, Try},
    destination::Destination,
    early::{Coming, Wanted},
    failure::Failure,
    sibling::Sibling,
    tiers::{self, Aim},
};
use crate::{
    fleet::deployment::DeploymentState, request::request_key::RequestHead,
    settle::exchange::Exchange,
};

/// Gets a worker for the request. When its deployment is removed or paused before there is one, a sibling
/// may take it over.
pub(super) async fn find_worker(
    exchange: &mut Exchange,
    mut to: (Destination, Arc<DeploymentState>),
    head: RequestHead<'_>,
    presence: &mut impl Presence,
) -> Result<(Destination, Arc<DeploymentState>), Failure> {
    let key = exchange.api_key.clone();
    let head = head.of_key(key.as_deref());
    loop {
        let (Destination { service, .. }, deployment) = &to;
        let aim = Aim {
            service,
            deployment,
            hash: exchange
                .may_overflow
                .then(|| service.binding(&head))
                .flatten(),
        };
        let refusal = match tiers::lease(exchange, aim, Try::First(&head), presence).await {
            Ok(None) => return Ok(to),
            Ok(Some(other)) => return Ok((to.0, other)),
            Err(Failure::Refused(refusal)) => refusal,
            Err(gone) => return Err(gone),
        };
        let sibling = Sibling::after(refusal, deployment, exchange, &head)?;
        to = (Destination::split(sibling.service), sibling.deployment);
    }
}

/// Gets a worker for a request of which not all has come. It waits for that before it takes a place; one that
/// had to wait for a worker first gives its place up again if its body has not come meanwhile.
pub(super) async fn with_body(
    exchange: &mut Exchange,
    mut to: (Destination, Arc<DeploymentState>),
    head: RequestHead<'_>,
    body: &mut impl Coming,
) -> Result<(Destination, Arc<DeploymentState>), Failure> {
    let mut wanted = Wanted::of(exchange, &to.0.service, &to.1, body.length());
    loop {
        if let Some(wanted) = &wanted {
            body.comes(exchange, &to.0.service, wanted).await?;
        }
        let found = find_worker(exchange, to, head, body.presence()).await?;
        if wanted.is_some() || body.is_whole() {
            return Ok(found);
        }
        wanted = Wanted::of(exchange, &found.0.service, &found.1, body.length());
        if wanted.is_none() {
            return Ok(found);
        }
        exchange.give_up_worker();
        to = found;
    }
}
