//! Where a request that may go up the tiers goes next.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use super::{Aim, Climb, Try};
use crate::{
    fleet::deployment::DeploymentState, route::table::ServiceState, settle::exchange::Exchange,
};

/// A tier that is not worth waking yet is looked at again after so long, or after `overflow_after` if that is
/// longer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Whether a request that the workers with these keys failed may go to another one, in whatever tier.
pub(crate) fn have_others(exchange: &Exchange, service: &ServiceState, tried: &[u64]) -> bool {
    let takes = |one: &Arc<DeploymentState>| may_hope(one) && !one.has_failed(tried);
    exchange.may_overflow && service.has_one(takes)
}

/// Whether a request may get a worker of `deployment`.
fn may_hope(deployment: &DeploymentState) -> bool {
    !deployment.is_retired() && !deployment.view().is_paused()
}

impl Climb<'_> {
    /// Where it begins. One that was sent already begins below where it was, if there is anybody.
    pub(super) fn first(&mut self, exchange: &mut Exchange) -> Arc<DeploymentState> {
        let given = self.aim.deployment;
        let is_new = matches!(self.number, Try::First(_)) && !exchange.has_overflowed();
        if is_new {
            self.reached = 0;
            return Arc::clone(given);
        }
        exchange.comes_back();
        let fits = |one: &Arc<DeploymentState>| self.fits(one);
        let first = match self.choose(0..=u8::MAX, fits) {
            Some(chosen) => {
                let tier = chosen.view().spec.tier;
                // Where it was before it is known, and bound to maybe.
                let known = exchange.known_in(tier, fits).map(Arc::clone);
                known.unwrap_or(chosen)
            }
            None => Arc::clone(given),
        };
        exchange.belongs_to(&first);
        first
    }

    /// A deployment to join now, if there is one: of a tier below that it does not wait in any more, or of the
    /// next one above when it is time for that.
    pub(super) fn next(&mut self) -> Option<Arc<DeploymentState>> {
        let now = self.clock.now();
        if std::mem::take(&mut self.looks_down)
            && let Some(below) = self.below()
        {
            self.looks_down = true;
            return Some(below);
        }
        if self.looks_at()? > now {
            return None;
        }
        let above = self.waits.last().map_or(0, |last| last.tier() + 1);
        let known = self.next.take().filter(|next| self.fits(next));
        let chosen = || self.choose(above..=u8::MAX, |one| self.fits(one));
        let Some(next) = known.or_else(chosen) else {
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

    /// Somebody refused it: all that was found out about where it may go is of no use.
    pub(super) fn looks_anew(&mut self) {
        self.looks_down = true;
        self.is_last = false;
        self.next = None;
        self.not_before = Duration::ZERO;
    }

    /// A deployment of a lower tier than the highest which it waits in, where it waits in no other of that tier.
    fn below(&self) -> Option<Arc<DeploymentState>> {
        let highest = self.waits.last()?.tier().checked_sub(1)?;
        self.choose(0..=highest, |one| {
            let tier = one.view().spec.tier;
            self.fits(one) && self.waits.iter().all(|waits| waits.tier() != tier)
        })
    }

    /// When the next tier is to be looked at; `None` where there is none.
    pub(super) fn looks_at(&self) -> Option<Duration> {
        if self.is_last {
            return None;
        }
        let at = match self.waits.last() {
            // Whoever it came to refused it.
            None => Duration::ZERO,
            Some(last) if last.tier() < self.reached => Duration::ZERO,
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

    /// Whether it may get a worker of this deployment, where it is not yet.
    fn fits(&self, deployment: &Arc<DeploymentState>) -> bool {
        let is_it = |one: &Arc<DeploymentState>| Arc::ptr_eq(one, deployment);
        may_hope(deployment)
            && !deployment.has_failed(self.number.tried())
            && !self.refused_by.iter().any(is_it)
            && !self.waits.iter().any(|one| is_it(&one.deployment))
    }

    /// Chooses in the lowest of these tiers of the service, as it is now, in which a deployment `fits`.
    fn choose(
        &self,
        tiers: RangeInclusive<u8>,
        fits: impl Fn(&Arc<DeploymentState>) -> bool,
    ) -> Option<Arc<DeploymentState>> {
        let Aim { service, hash, .. } = self.aim;
        let by = (hash, self.clock.now());
        let table = self.thread.shared.table.load();
        let newest = table.service(&service.spec.name);
        let service = newest.map_or(service, |newest| newest);
        service.choose_in(tiers, by, fits).cloned()
    }
}
