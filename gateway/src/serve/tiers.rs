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

use std::{
    future::{pending, poll_fn},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use penstock_config::fleet::Stage;
use tokio::time::sleep_until;

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
    settle::exchange::Exchange,
};

/// A tier that is not worth waking yet is looked at again after so long, or after `overflow_after` if that is
/// longer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A deployment that a request is for, in a service with tiers.
#[derive(Clone, Copy)]
pub(super) struct Aim<'a> {
    pub(super) service: &'a ServiceState,
    pub(super) deployment: &'a Arc<DeploymentState>,
    /// What binds it to deployments.
    pub(super) hash: Option<u64>,
}

/// Gets a lease for `exchange`, unless its client goes meanwhile. Gives the deployment of a higher tier that it
/// is for now, if so.
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

/// Whether a request that all workers of `deployment` failed may go to a higher tier.
pub(super) fn may_go_up(
    exchange: &Exchange,
    service: &ServiceState,
    deployment: &DeploymentState,
) -> bool {
    exchange.may_overflow && service.has_above(deployment.view().spec.tier)
}

/// A queue that a request is in.
struct Waits {
    deployment: Arc<DeploymentState>,
    tier: u8,
    waiter: Waiter,
    since: Duration,
    /// Whether there was no worker then.
    was_asleep: bool,
    /// How long that is likely to take, if it is known.
    eta: Option<Duration>,
}

/// A request on its way up.
struct Climb<'a> {
    aim: Aim<'a>,
    number: Try<'a>,
    /// As in the settings.
    after: Duration,
    clock: Clock,
    begun: Duration,
    until: (Duration, Reason),
    /// The queues that it is in, the lowest tier first.
    waits: Vec<Waits>,
    /// When it came to the first of them.
    queued_at: Option<Duration>,
    in_class: Option<WaitsInClass>,
    /// The first refusal.
    refused: Option<Refusal>,
    /// The highest tier that it came to.
    tier: u8,
    /// The deployment of the next one, where that is not worth waking before this time.
    next: Option<Arc<DeploymentState>>,
    not_before: Duration,
    is_last: bool,
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
    let first = climb.first(climb.clock.now());
    if let Some(lease) = climb.join(exchange, &first) {
        return Ok(climb.served(exchange, &first, lease));
    }
    loop {
        let waits_at = climb.waits.last().map(|one| Arc::clone(&one.deployment));
        let changed = waits_at.as_ref().map(|deployment| deployment.changed());
        let now = climb.clock.now();
        if let Some(next) = climb.next_tier(now) {
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
            Came::Time => {}
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
            aim,
            number,
            clock,
            begun,
            waits: Vec::new(),
            queued_at: None,
            in_class: None,
            refused: None,
            tier: 0,
            next: None,
            not_before: Duration::ZERO,
            is_last: false,
        }
    }

    /// Where it begins: a higher tier is better than a worker that failed it already.
    fn first(&self, now: Duration) -> Arc<DeploymentState> {
        let Aim {
            service,
            deployment,
            hash,
        } = self.aim;
        let tried = self.number.tried();
        if !tried.is_empty() && !deployment.has_others(tried) {
            let tier = deployment.view().spec.tier;
            if let Some(above) = service.choose_above(tier, hash, now) {
                return Arc::clone(above);
            }
        }
        Arc::clone(deployment)
    }

    /// Joins a deployment: gives a lease that is there at once.
    fn join(&mut self, exchange: &mut Exchange, at: &Arc<DeploymentState>) -> Option<Lease> {
        let now = self.clock.now();
        let service = self.aim.service;
        self.tier = at.view().spec.tier;
        let wanted = Wanted {
            pick_by: &exchange.pick_by,
            tried: self.number.tried(),
            now,
            max_queued: service.spec.queue.max_requests,
            has_place: !self.waits.is_empty(),
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
            }
            Admission::Queued(waiter) => {
                exchange.listed.entry().now_in(Stage::Queue, now);
                exchange.waits_at(at);
                let notice = waiter.wait_notice;
                exchange.expects(notice.filter(|_| tells));
                if self.queued_at.is_none() {
                    self.queued_at = Some(now);
                    self.in_class = exchange.class().map(|class| class.waits());
                }
                self.waits.push(Waits {
                    deployment: Arc::clone(at),
                    tier: self.tier,
                    waiter,
                    since: now,
                    was_asleep: !at.view().has_ready(),
                    eta: notice.and_then(|notice| notice.eta),
                });
            }
        }
        None
    }

    /// The deployment of the next tier, if it is time to join that.
    fn next_tier(&mut self, now: Duration) -> Option<Arc<DeploymentState>> {
        if self.looks_at()? > now {
            return None;
        }
        let Aim { service, hash, .. } = self.aim;
        let chosen = || service.choose_above(self.tier, hash, now).cloned();
        let Some(next) = self.next.take().or_else(chosen) else {
            self.is_last = true;
            return None;
        };
        match self.wakes_later(&next, now) {
            Some(later) => {
                self.not_before = later;
                self.next = Some(next);
                None
            }
            None => Some(next),
        }
    }

    /// When the next tier is to be looked at; `None` where there is none.
    fn looks_at(&self) -> Option<Duration> {
        if self.is_last {
            return None;
        }
        let at = match self.waits.last() {
            // The tier that it came to refused it.
            None => Duration::ZERO,
            Some(last) if last.tier < self.tier => Duration::ZERO,
            Some(last) if last.deployment.lacks_gpu() => Duration::ZERO,
            Some(last) if last.eta.is_some_and(|eta| eta > self.after) => Duration::ZERO,
            Some(last) => last.since + self.after,
        };
        Some(at.max(self.not_before))
    }

    /// When to look again at a deployment that is not worth waking yet; `None`: it is, or need not be woken.
    fn wakes_later(&self, next: &DeploymentState, now: Duration) -> Option<Duration> {
        let start = next.wakes_in()?;
        let as_long = self.begun + start;
        let left = self
            .waits
            .iter()
            .map(|one| match one.deployment.lacks_gpu() {
                true => None,
                false => Some((one.since + one.eta?).saturating_sub(now)),
            });
        let soonest = left.map(|left| left.unwrap_or(Duration::MAX)).min()?;
        if now >= as_long || soonest >= start {
            return None;
        }
        Some((now + self.after.max(LOOK_AGAIN)).min(as_long))
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
        if let Some(other) = self.waits.first_mut() {
            left.waiter.hand_place_to(&mut other.waiter);
        }
        exchange.leaves(&left.deployment);
        self.refused.get_or_insert(refusal);
    }

    /// A worker of this deployment takes it; gives the deployment if it is of a higher tier than the first.
    fn served(
        &mut self,
        exchange: &mut Exchange,
        by: &Arc<DeploymentState>,
        lease: Lease,
    ) -> Option<Arc<DeploymentState>> {
        let now = self.clock.now();
        self.has_waited(exchange, Some(by));
        for one in &self.waits {
            // Also where it waited in vain: that is what it would take more workers for.
            if one.tier <= self.tier_of(by) {
                one.deployment.wait.record(now.saturating_sub(one.since));
            }
        }
        exchange.is_served_at(by, self.tier_of(by));
        exchange.leased(lease, now);
        self.waits.clear();
        let is_first = Arc::ptr_eq(by, self.aim.deployment);
        (!is_first).then(|| Arc::clone(by))
    }

    fn tier_of(&self, deployment: &Arc<DeploymentState>) -> u8 {
        deployment.view().spec.tier
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
