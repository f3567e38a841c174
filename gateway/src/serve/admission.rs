//! Getting a worker for a request: at once, or after a wait that ends in one of several ways.

use std::{
    future::poll_fn,
    os::fd::RawFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use penstock_balancer::Turn;
use penstock_config::fleet::Stage;
use tokio::time::sleep_until;

use crate::{
    base::{reason::Reason, refusal::Refusal},
    fleet::{
        deployment::{Admission, DeploymentState, NoRoom, Wanted},
        lease::Lease,
        queue::{Patience, Waiter},
    },
    request::request_key::RequestHead,
    route::table::ServiceState,
    serve::failure::Failure,
    settle::exchange::Exchange,
    socket::{client_gone::client_gone, connection::Connection},
};

/// Which try of a request wants a worker.
#[derive(Clone, Copy)]
pub(crate) enum Try<'a> {
    /// The first; with the request's head.
    First(&'a RequestHead<'a>),
    /// Another one, after the workers with these keys failed it, the last one last.
    Again(&'a [u64]),
}

impl<'a> Try<'a> {
    /// Keys of the workers that failed it.
    pub(super) fn tried(self) -> &'a [u64] {
        match self {
            Self::First(_) => &[],
            Self::Again(tried) => tried,
        }
    }
}

/// Whether a client is still there.
pub(crate) trait Presence: Send {
    /// Ready when it has gone.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// The presence of a client whose connection hyper reads. hyper notices by itself that it leaves, but over
/// HTTP/1 not while there is a body that nobody reads.
pub(crate) struct ByDescriptor {
    watched: Option<RawFd>,
    gone: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl ByDescriptor {
    /// That of a client which may have a body to send.
    pub(crate) fn of(connection: &Connection, body_unread: bool) -> Self {
        Self {
            watched: (body_unread && !connection.h2).then_some(connection.fd),
            gone: None,
        }
    }
}

impl Presence for ByDescriptor {
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(fd) = self.watched else {
            return Poll::Pending;
        };
        let gone = self.gone.get_or_insert_with(|| Box::pin(client_gone(fd)));
        gone.as_mut().poll(cx)
    }
}

/// Gets a lease for the first try of `exchange`, if there is a place at a worker now.
pub(crate) fn lease_at_once(
    exchange: &mut Exchange,
    service: &ServiceState,
    deployment: &Arc<DeploymentState>,
) -> bool {
    let now = exchange.ready_at();
    let lease = deployment.lease_at_once(Wanted {
        pick_by: &exchange.pick_by,
        tried: &[],
        now,
        max_queued: service.spec.queue.max_requests,
        has_place: false,
    });
    let Some(lease) = lease else { return false };
    exchange.leased(lease, now);
    true
}

/// Gets a lease for `exchange`, unless its client goes meanwhile.
pub(crate) async fn lease(
    exchange: &mut Exchange,
    service: &ServiceState,
    deployment: &Arc<DeploymentState>,
    number: Try<'_>,
    presence: &mut impl Presence,
) -> Result<(), Failure> {
    let clock = exchange.clock();
    let now = match number {
        Try::First(_) => exchange.ready_at(),
        Try::Again(_) => clock.now(),
    };
    let wanted = Wanted {
        pick_by: &exchange.pick_by,
        tried: number.tried(),
        now,
        max_queued: service.spec.queue.max_requests,
        has_place: false,
    };
    let waits = || {
        let (until, _) = time_is_over(exchange, service, clock.now());
        let sheds = service.spec.queue.shed_early;
        let patience = Patience { until, sheds };
        (turn(exchange, service, number), patience)
    };
    let tells = service.spec.queue.headers;
    let (lease, at) = match deployment.admit(wanted, waits) {
        Admission::Leased(lease) => (lease, now),
        Admission::Refused(mut refusal) => {
            refusal.wait_notice = refusal.wait_notice.filter(|_| tells);
            return Err(Failure::Refused(refusal));
        }
        Admission::Queued(waiter) => {
            exchange.listed.entry().now_in(Stage::Queue, now);
            // What it was told first is what it will compare with.
            let wait_notice = waiter.wait_notice.filter(|_| tells);
            exchange.expects(wait_notice);
            // Boxed, so that requests which find a worker at once do not carry this along.
            let lease = Box::pin(wait(exchange, presence, service, deployment, waiter)).await?;
            (lease, clock.now())
        }
    };
    exchange.leased(lease, at);
    Ok(())
}

/// Where in the queue a request belongs.
pub(super) fn turn(exchange: &Exchange, service: &ServiceState, number: Try<'_>) -> Turn {
    let fair_by = service.spec.queue.fair_by.as_ref();
    Turn {
        arrived: exchange.ready_at(),
        delay: exchange.class().map_or(Duration::ZERO, |class| class.delay),
        key: match number {
            Try::First(head) => fair_by.and_then(|source| head.hash(source)),
            // It had its turn already.
            Try::Again(_) => None,
        },
        returned: matches!(number, Try::Again(_)),
    }
}

/// When a request that waits from `begun` on must have a worker, and what to call it when it has not.
pub(super) fn time_is_over(
    exchange: &Exchange,
    service: &ServiceState,
    begun: Duration,
) -> (Duration, Reason) {
    // What it waited before a worker failed it counts as well.
    let waited = exchange.queue_wait().unwrap_or_default();
    let left = service.spec.queue.max_wait.saturating_sub(waited);
    exchange.sooner(begun + left, Reason::QueueTimeout)
}

async fn wait(
    exchange: &mut Exchange,
    presence: &mut impl Presence,
    service: &ServiceState,
    deployment: &DeploymentState,
    mut waiter: Waiter,
) -> Result<Lease, Failure> {
    let clock = exchange.clock();
    let begun = clock.now();
    let was_asleep = !deployment.view().has_ready();
    let in_class = exchange.class().map(|class| class.waits());
    let max_wait = service.spec.queue.max_wait;
    let (until, reason) = time_is_over(exchange, service, begun);
    let gone = poll_fn(|cx| presence.poll_gone(cx));
    let grant = tokio::select! {
        biased;
        grant = waiter.granted() => grant,
        () = gone => return Err(Failure::ClientGone),
        () = sleep_until(clock.instant(until)) => waiter
            .give_up()
            .unwrap_or_else(|| {
                let after = deployment.retry_after(clock.now());
                let no_room = deployment.has_no_room();
                Err(too_long(reason, max_wait, no_room).predicted(after))
            }),
    };
    let waited = clock.now().saturating_sub(begun);
    let woke_after = deployment.woke_at().checked_sub(begun);
    let wake = match was_asleep {
        true => woke_after.unwrap_or(waited).min(waited),
        false => Duration::ZERO,
    };
    exchange.has_waited(waited, wake);
    if grant.is_ok() {
        deployment.wait.record(waited);
    }
    if let Some(in_class) = in_class {
        in_class.waited(waited);
    }
    grant.map_err(Failure::Refused)
}

pub(super) fn too_long(reason: Reason, max_wait: Duration, no_room: Option<NoRoom>) -> Refusal {
    match (reason, no_room) {
        (Reason::QueueTimeout, Some(NoRoom::ForAny)) => {
            let detail = format!("no GPU became free for a worker within {max_wait:?}");
            Refusal::new(Reason::NoWorkers, detail)
        }
        (Reason::QueueTimeout, Some(NoRoom::ForMore)) => Refusal::new(
            reason,
            format!(
                "no worker became free within {max_wait:?}, and there is no free GPU for another one"
            ),
        ),
        (Reason::QueueTimeout, None) => {
            Refusal::new(reason, format!("no worker became free within {max_wait:?}"))
        }
        _ => Refusal::new(
            reason,
            "the request's time was over before a worker became free",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waited_for_a_worker_that_no_gpu_was_free_for_is_told_so() {
        let wait = Duration::from_secs(30);
        let told = |reason, no_room| {
            let refusal = too_long(reason, wait, no_room);
            (refusal.reason, refusal.detail.into_owned())
        };
        let none = told(Reason::QueueTimeout, Some(NoRoom::ForAny));
        let text = "no GPU became free for a worker within 30s";
        assert_eq!(none, (Reason::NoWorkers, text.to_owned()));
        let (reason, text) = told(Reason::QueueTimeout, Some(NoRoom::ForMore));
        assert_eq!(reason, Reason::QueueTimeout);
        assert!(
            text.ends_with("there is no free GPU for another one"),
            "{text}"
        );
        let (reason, text) = told(Reason::QueueTimeout, None);
        assert_eq!(reason, Reason::QueueTimeout);
        assert!(!text.contains("GPU"), "{text}");
    }
}
