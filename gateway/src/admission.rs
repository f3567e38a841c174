//! Getting a worker for a request: at once, or after a wait that ends in one of several ways.

use std::sync::Arc;

use tokio::time::sleep_until;

use crate::{
    client_gone::client_gone,
    connection::Connection,
    deployment::{Admission, DeploymentState},
    exchange::Exchange,
    lease::Lease,
    proxy::Failure,
    queue::Waiter,
    reason::Reason,
    refusal::Refusal,
    table::ServiceState,
};

/// Gets a lease for `exchange`. `tried` holds the keys of workers that failed it already;
/// `body_unread` says that hyper will not notice an HTTP/1 client that leaves.
pub(crate) async fn lease(
    exchange: &mut Exchange,
    connection: &Connection,
    service: &ServiceState,
    deployment: &Arc<DeploymentState>,
    tried: &[u64],
    body_unread: bool,
) -> Result<(), Failure> {
    let clock = exchange.clock();
    let now = if tried.is_empty() {
        exchange.started()
    } else {
        clock.now()
    };
    let max_queued = service.spec.queue.max_requests;
    let (lease, at) = match deployment.admit(max_queued, &exchange.placement, tried, now) {
        Admission::Leased(lease) => (lease, now),
        Admission::Refused(refusal) => return Err(Failure::Refused(refusal)),
        Admission::Queued(waiter) => {
            let watched = (body_unread && !connection.h2).then_some(connection);
            // Boxed, so that requests which find a worker at once do not carry this along.
            let lease = Box::pin(wait(exchange, watched, service, deployment, waiter)).await?;
            (lease, clock.now())
        }
    };
    exchange.leased(lease, at);
    Ok(())
}

async fn wait(
    exchange: &mut Exchange,
    watched: Option<&Connection>,
    service: &ServiceState,
    deployment: &DeploymentState,
    mut waiter: Waiter,
) -> Result<Lease, Failure> {
    let clock = exchange.clock();
    let begun = clock.now();
    let max_wait = service.spec.queue.max_wait;
    let (until, reason) = exchange.sooner(begun + max_wait, Reason::QueueTimeout);
    let gone = async {
        match watched {
            Some(connection) => client_gone(connection.fd).await,
            None => std::future::pending().await,
        }
    };
    let grant = tokio::select! {
        biased;
        grant = waiter.granted() => grant,
        () = gone => return Err(Failure::ClientGone),
        () = sleep_until(clock.instant(until)) => waiter
            .give_up()
            .unwrap_or_else(|| Err(too_long(reason, max_wait))),
    };
    let waited = clock.now().saturating_sub(begun);
    exchange.queue_wait = Some(exchange.queue_wait.unwrap_or_default() + waited);
    if grant.is_ok() {
        deployment.wait.record(waited);
    }
    grant.map_err(Failure::Refused)
}

fn too_long(reason: Reason, max_wait: std::time::Duration) -> Refusal {
    match reason {
        Reason::QueueTimeout => {
            Refusal::new(reason, format!("no worker became free within {max_wait:?}"))
        }
        _ => Refusal::new(
            reason,
            "the request's time was over before a worker became free",
        ),
    }
}
