//! Getting a worker for a request of a service with several tiers.
//!
//! It joins the queue of the lowest tier. As soon as it is likely to wait there for longer than
//! `overflow_after`, or has, it joins that of the next tier as well, with the place that belongs to the moment
//! at which it came; and so on. Whichever tier has a worker for it first serves it. So it loses its place
//! nowhere, a prediction that was wrong costs `overflow_after` at most, and what was to overflow stays when a worker
//! of the lower tier becomes free first.
//!
//! A tier that would have to be woken is joined only when its start is likely to take less time than the
//! wait, or when the request has waited for as long as a start there takes: a short crowd starts nothing
//! dear, and a long one waits at most twice as long as it would have by knowing so.
//!
//! A request that is sent again goes back to the queues of the tiers that it had come to, the lowest first, and
//! to any deployment there of which not all workers have failed it. One that was refused by a deployment goes on
//! to another one of the same tier, or to the next.

mod next;

use std::{
    future::{pending, poll_fn},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use penstock_config::fleet::Stage;
use tokio::time::sleep_until;

pub(super) use self::next::have_others;
use super::{
    admission::{self, Presence, Try, time_is_over, too_long, turn},
    failure::Failure,
};
use crate::{
    base::{clock::Clock, reason::Reason, refusal::Refusal},
    count::metrics::WaitsInClass,
    fleet::{
        deployment::{Admission, DeploymentState, Wanted},
        lease::Lease,
        queue::{Grant, Patience, Waiter},
    },
    route::table::ServiceState,
    settle::{exchange::Exchange, thread::Thread},
};

/// A deployment that a request is for, in a service with tiers.
#[derive(Clone, Copy)]
pub(super) struct Aim<'a> {
    pub(super) service: &'a ServiceState,
    pub(super) deployment: &'a Arc<DeploymentState>,
    /// What binds it to deployments.
    pub(super) hash: Option<u64>,
}

/// Gets a lease for `exchange`, unless its client goes meanwhile. Gives the deployment that it
/// is for now, if that is another one.
pub(super) async fn lease(
    exchange: &mut Exchange,
    aim: Aim<'_>,
    number: Try<'_>,
    presence: &mut impl Presence,
) -> Result<Option<Arc<DeploymentState>>, Failure> {
    if !exchange.may_overflow {
        let (service, deployment) = (aim.service, aim.deployment);
        let leased = admission::lease(exchange, service, deployment, number, presence);
        return leased.await.map(|()| None);
    }
    // Boxed, so that requests of services with one tier do not carry this along.
    Box::pin(climb(exchange, aim, number, presence)).await
}

/// A queue that a request is in.
struct Waits {
    deployment: Arc<DeploymentState>,
    waiter: Waiter,
    since: Duration,
    /// Whether there was no worker then.
    was_asleep: bool,
    /// How long that is likely to take, if it is known.
    eta: Option<Duration>,
}

impl Waits {
    /// As the newest snapshot says.
    fn tier(&self) -> u8 {
        self.deployment.view().spec.tier
    }
}

/// A request on its way up.
struct Climb<'a> {
    aim: Aim<'a>,
    number: Try<'a>,
    /// As in the settings.
    after: Duration,
    clock: Clock,
    thread: Arc<Thread>,
    begun: Duration,
    until: (Duration, Reason),
    /// The queues that it is in, the lowest tier first.
    waits: Vec<Waits>,
    /// When it came to the first of them.
    queued_at: Option<Duration>,
    in_class: Option<WaitsInClass>,
    /// The first refusal.
    refused: Option<Refusal>,
    /// Who refused it.
    refused_by: Vec<Arc<DeploymentState>>,
    /// Of a queue that refused it: the place that it has in all of them.
    left: Option<Waiter>,
    /// The tier up to which it need not wait again to go up.
    reached: u8,
    /// The deployment of the next one, where that is not worth waking before this time.
    next: Option<Arc<DeploymentState>>,
    not_before: Duration,
    is_last: bool,
    /// Whether it may be missing in a tier below.
    looks_down: bool,
}

/// What a request that waits comes to.
enum Came {
    /// What a queue has for it.
    Granted(usize, Grant),
    /// Nobody wants the answer.
    Gone,
    /// It is time to look around.
    Time,
}

async fn climb(
    exchange: &mut Exchange,
    aim: Aim<'_>,
    number: Try<'_>,
    presence: &mut impl Presence,
) -> Result<Option<Arc<DeploymentState>>, Failure> {
    let mut climb = Climb::new(exchange, aim, number);
    let first = climb.first(exchange);
    if let Some(lease) = climb.join(exchange, &first) {
        return Ok(climb.served(exchange, &first, lease));
    }
    loop {
        let waits_at = climb.waits.last().map(|one| Arc::clone(&one.deployment));
        let changed = waits_at.as_ref().map(|deployment| deployment.changed());
        if let Some(next) = climb.next() {
            if let Some(lease) = climb.join(exchange, &next) {
                return Ok(climb.served(exchange, &next, lease));
            }
            continue;
        }
        if climb.waits.is_empty() {
            climb.has_waited(exchange, None);
            return Err(climb.refusal().into());
        }
        let at = climb.looks_at().unwrap_or(Duration::MAX).min(climb.until.0);
        let at = climb.clock.instant(at);
        let changed = async {
            match changed {
                Some(changed) => changed.await,
                None => pending().await,
            }
        };
        let granted = poll_fn(|cx| climb.poll_granted(cx));
        let came = tokio::select! {
            biased;
            (place, grant) = granted => Came::Granted(place, grant),
            () = poll_fn(|cx| presence.poll_gone(cx)) => Came::Gone,
            () = sleep_until(at) => Came::Time,
            () = changed => Came::Time,
        };
        match came {
            Came::Granted(place, Ok(lease)) => {
                let deployment = Arc::clone(&climb.waits[place].deployment);
                return Ok(climb.served(exchange, &deployment, lease));
            }
            Came::Granted(place, Err(refusal)) => climb.refused_at(exchange, place, refusal),
            Came::Gone => return Err(Failure::ClientGone),
            Came::Time if climb.clock.now() >= climb.until.0 => {
                return climb.is_over(exchange);
            }
            // There may be another tier since.
            Came::Time => climb.is_last = false,
        }
    }
}

impl<'a> Climb<'a> {
    fn new(exchange: &Exchange, aim: Aim<'a>, number: Try<'a>) -> Self {
        let clock = exchange.clock();
        let begun = match number {
            Try::First(_) => exchange.ready_at(),
            Try::Again(_) => clock.now(),
        };
        Self {
            after: aim.service.spec.overflow_after.unwrap_or_default(),
            until: time_is_over(exchange, aim.service, clock.now()),
            reached: aim.deployment.view().spec.tier,
            aim,
            number,
            clock,
            thread: exchange.thread(),
            begun,
            waits: Vec::new(),
            queued_at: None,
            in_class: None,
            refused: None,
            refused_by: Vec::new(),
            left: None,
            next: None,
            not_before: Duration::ZERO,
            is_last: false,
            looks_down: false,
        }
    }

    /// Joins a deployment: gives a lease that is there at once.
    fn join(&mut self, exchange: &mut Exchange, at: &Arc<DeploymentState>) -> Option<Lease> {
        let now = self.clock.now();
        let service = self.aim.service;
        let wanted = Wanted {
            pick_by: &exchange.pick_by,
            tried: self.number.tried(),
            now,
            max_queued: service.spec.queue.max_requests,
            has_place: !self.waits.is_empty() || self.left.is_some(),
        };
        let patience = Patience {
            until: self.until.0,
            sheds: service.spec.queue.shed_early,
        };
        let tells = service.spec.queue.headers;
        match at.admit(wanted, || (turn(exchange, service, self.number), patience)) {
            Admission::Leased(lease) => return Some(lease),
            Admission::Refused(mut refusal) => {
                refusal.wait_notice = refusal.wait_notice.filter(|_| tells);
                self.refused.get_or_insert(refusal);
                self.refused_by.push(Arc::clone(at));
            }
            Admission::Queued(mut waiter) => {
                if let Some(mut left) = self.left.take() {
                    left.hand_place_to(&mut waiter);
                }
                exchange.listed.entry().now_in(Stage::Queue, now);
                exchange.waits_at(at);
                let notice = waiter.wait_notice;
                exchange.expects(notice.filter(|_| tells));
                if self.queued_at.is_none() {
                    self.queued_at = Some(now);
                    self.in_class = exchange.class().map(|class| class.waits());
                }
                let waits = Waits {
                    deployment: Arc::clone(at),
                    waiter,
                    since: now,
                    was_asleep: !at.view().has_ready(),
                    eta: notice.and_then(|notice| notice.eta),
                };
                let tier = waits.tier();
                let place = self.waits.partition_point(|one| one.tier() <= tier);
                self.waits.insert(place, waits);
            }
        }
        None
    }

    fn poll_granted(&mut self, cx: &mut Context<'_>) -> Poll<(usize, Grant)> {
        for (place, one) in self.waits.iter_mut().enumerate() {
            if let Poll::Ready(grant) = one.waiter.poll_granted(cx) {
                return Poll::Ready((place, grant));
            }
        }
        Poll::Pending
    }

    /// One of the queues that it is in has nothing for it.
    fn refused_at(&mut self, exchange: &mut Exchange, place: usize, refusal: Refusal) {
        let mut left = self.waits.remove(place);
        match self.waits.first_mut() {
            Some(other) => {
                left.waiter.hand_place_to(&mut other.waiter);
                exchange.waits_at(&other.deployment);
            }
            None => self.left = Some(left.waiter),
        }
        exchange.leaves(&left.deployment);
        self.refused.get_or_insert(refusal);
        self.refused_by.push(left.deployment);
        self.looks_anew();
    }

    /// A worker of this deployment takes it; gives the deployment if it is another one than the first.
    fn served(
        &mut self,
        exchange: &mut Exchange,
        by: &Arc<DeploymentState>,
        lease: Lease,
    ) -> Option<Arc<DeploymentState>> {
        let now = self.clock.now();
        let tier = by.view().spec.tier;
        self.has_waited(exchange, Some(by));
        for one in &self.waits {
            // Also where it waited in vain: that is what it would take more workers for.
            if one.tier() <= tier {
                one.deployment.wait.record(now.saturating_sub(one.since));
            }
        }
        exchange.is_served_at(by, tier);
        exchange.leased(lease, now);
        self.waits.clear();
        let is_first = Arc::ptr_eq(by, self.aim.deployment);
        (!is_first).then(|| Arc::clone(by))
    }

    /// Notes how long it waited, if it did, and how much of it for the first worker of who serves it.
    fn has_waited(&mut self, exchange: &mut Exchange, by: Option<&Arc<DeploymentState>>) {
        let Some(since) = self.queued_at.take() else {
            return;
        };
        let waited = self.clock.now().saturating_sub(since);
        let mut waits = self.waits.iter();
        let queued = by.and_then(|by| waits.find(|one| Arc::ptr_eq(&one.deployment, by)));
        let woken = queued.filter(|one| one.was_asleep);
        let wake = woken.map(|one| one.deployment.woke_at().saturating_sub(since).min(waited));
        exchange.has_waited(waited, wake.unwrap_or_default());
        if let Some(in_class) = self.in_class.take() {
            in_class.waited(waited);
        }
    }

    fn refusal(&mut self) -> Refusal {
        let none = || Refusal::new(Reason::NoWorkers, "no deployment takes requests");
        self.refused.take().unwrap_or_else(none)
    }

    /// Its time is over. What came in the very last moment counts.
    fn is_over(
        &mut self,
        exchange: &mut Exchange,
    ) -> Result<Option<Arc<DeploymentState>>, Failure> {
        let now = self.clock.now();
        let max_wait = self.aim.service.spec.queue.max_wait;
        let lowest = self.waits.first().map(|one| &one.deployment);
        let late = lowest.map(|lowest| {
            let refusal = too_long(self.until.1, max_wait, lowest.has_no_room());
            refusal.predicted(lowest.retry_after(now))
        });
        self.has_waited(exchange, None);
        for one in std::mem::take(&mut self.waits) {
            if let Some(Ok(lease)) = one.waiter.give_up() {
                return Ok(self.served(exchange, &one.deployment, lease));
            }
        }
        Err(late.unwrap_or_else(|| self.refusal()).into())
    }
}
