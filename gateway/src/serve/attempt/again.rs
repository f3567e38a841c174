//! Further tries of a request that a worker failed, or did not take: with another worker, or with a sibling
//! when its deployment is removed meanwhile.

use std::{sync::Arc, time::Duration};

use super::{Destined, Engine, Missed, Tried, conclude, judge, send, too_late, unreached};
use crate::{
    base::{refusal::Refusal, timer::Timer},
    count::metrics::Cause,
    request::request_key::RequestHead,
    serve::{
        admission::Try,
        failure::Failure,
        retry::Retry,
        sibling::Sibling,
        tiers::{self, Aim},
    },
    settle::exchange::Exchange,
    socket::connection::Connection,
    upstream::Wire,
};

/// Pause before a worker that refused a connection is tried again because there is no other: time
/// for control to notice that it is gone.
const SAME_WORKER_PAUSE: Duration = Duration::from_millis(50);

/// Goes on after a first try for the sake of which the request might be sent again.
pub(super) async fn again<E: Engine>(
    exchange: &mut Exchange,
    connection: &Arc<Connection>,
    to: Destined<'_>,
    retry: &Retry<'_>,
    engine: &mut E,
    timer: &mut Timer,
    (mut cause, mut came): (Cause, Tried),
) -> Result<(), Failure> {
    let mut tried = Vec::new();
    let mut moved: Option<Moved> = None;
    loop {
        let at = moved.as_ref().map_or(to, |moved| moved.instead_of(to));
        tried.extend(exchange.lease().map(|lease| lease.worker().key));
        let sibling = match at.deployment.is_retired() {
            true => {
                let Some(sibling) = engine.see(|head| sibling(exchange, at, head)) else {
                    // Nobody is left there; what went wrong is the answer.
                    return conclude(exchange, at.service, came);
                };
                Some(sibling)
            }
            false => None,
        };
        let next = sibling.as_ref();
        let next = next.map_or(at.deployment, |sibling| &sibling.to.deployment);
        // Any answer is better than none.
        let elsewhere = || !to.is_upgrade && tiers::have_others(exchange, at.service, &tried);
        let has_others = next.has_others(&tried) || elsewhere();
        if (cause.has_answer() && !has_others)
            || !retry.may(cause, engine.is_kept(), exchange, at.deployment)
        {
            return conclude(exchange, at.service, came);
        }
        exchange.retries += 1;
        once_more(exchange, engine, came)?;
        if let Some(sibling) = &sibling {
            exchange.give_up_worker();
            engine.see(|head| sibling.take_over(exchange, head));
        }
        if exchange.lease().is_some() {
            // A new connection to the same worker will do.
            tried.pop();
        } else {
            if sibling.is_none() && cause == Cause::ConnectFailed && !has_others {
                tokio::time::sleep(SAME_WORKER_PAUSE * exchange.retries).await;
            }
            let next = lease_again(exchange, (at, sibling), &tried, engine).await?;
            moved = next.or(moved);
            if let Some(moved) = &moved {
                engine.suit(&moved.wire)?;
            }
        }
        let at = moved.as_ref().map_or(to, |moved| moved.instead_of(to));
        came = send(exchange, connection, at, engine, timer).await?;
        let Some(further) = judge(exchange, retry, engine, &came) else {
            return conclude(exchange, at.service, came);
        };
        cause = further;
    }
}

/// A sibling that the request has moved to.
struct Moved {
    to: Sibling,
    wire: Wire,
}

impl Moved {
    fn instead_of<'a>(&'a self, first: Destined<'_>) -> Destined<'a> {
        Destined {
            service: &self.to.service,
            deployment: &self.to.deployment,
            wire: &self.wire,
            is_upgrade: first.is_upgrade,
        }
    }

    fn take_over(&self, exchange: &mut Exchange, head: &RequestHead<'_>) {
        let key = exchange.api_key.clone();
        self.to.take_over(exchange, &head.of_key(key.as_deref()));
    }
}

impl From<Sibling> for Moved {
    fn from(to: Sibling) -> Self {
        let wire = Wire::of(&to.deployment.view().spec);
        Self { to, wire }
    }
}

/// Who may take a request over whose deployment was removed.
fn sibling(exchange: &mut Exchange, from: Destined<'_>, head: &RequestHead<'_>) -> Option<Moved> {
    let key = exchange.api_key.clone();
    let head = head.of_key(key.as_deref());
    let moved = Moved::from(Sibling::of(from.deployment, exchange, &head)?);
    // What was agreed on with the client about an upgrade depends on the protocol.
    (!from.is_upgrade || moved.wire.protocol == from.wire.protocol).then_some(moved)
}

/// Gets a worker for the next try. When the deployment is removed or paused before there is one, a sibling
/// may take over; returns the one that did last.
async fn lease_again<E: Engine>(
    exchange: &mut Exchange,
    (to, mut moved): (Destined<'_>, Option<Moved>),
    tried: &[u64],
    engine: &mut E,
) -> Result<Option<Moved>, Failure> {
    let again = Try::Again(tried);
    loop {
        let at = moved.as_ref().map_or(to, |moved| moved.instead_of(to));
        let (service, deployment) = (at.service, at.deployment);
        // What was agreed on with the client about an upgrade depends on the protocol.
        exchange.may_overflow &= !to.is_upgrade;
        let binding = |head: &RequestHead<'_>| service.binding(head);
        let aim = Aim {
            service,
            deployment,
            hash: exchange.may_overflow.then(|| engine.see(binding)).flatten(),
        };
        let leased = tiers::lease(exchange, aim, again, engine.presence());
        let refusal = match leased.await {
            Ok(None) => return Ok(moved),
            Ok(Some(deployment)) => {
                let service = Arc::clone(service);
                return Ok(Some(Moved::from(Sibling {
                    service,
                    deployment,
                })));
            }
            Err(Failure::Refused(refusal)) => refusal,
            Err(gone) => return Err(gone),
        };
        if to.is_upgrade {
            return Err(refusal.into());
        }
        let key = exchange.api_key.clone();
        let sibling = engine.see(|head| {
            let head = head.of_key(key.as_deref());
            Sibling::after(refusal, deployment, exchange, &head)
        });
        moved = Some(sibling?.into());
    }
}

/// Gets the request ready for the next try. Unless that may go to the same worker, the lease is given up.
fn once_more<E: Engine>(
    exchange: &mut Exchange,
    engine: &mut E,
    came: Tried,
) -> Result<(), Refusal> {
    match came {
        Ok(()) => exchange.give_up_worker(),
        Err(Missed::Unsent(error)) => {
            unreached(exchange, &error);
            return Ok(());
        }
        Err(Missed::NotProcessed { going_away, .. }) => {
            // The same worker once: it only wants another connection.
            if !going_away || exchange.retries > 1 {
                exchange.worker_refused();
            }
        }
        Err(Missed::Broken(_)) if exchange.may_be_refused_early() => exchange.give_up_worker(),
        Err(Missed::Broken(_)) => exchange.worker_failed(),
        Err(Missed::Late { held_back, .. }) => too_late(exchange, held_back),
    }
    engine.rewind()
}
