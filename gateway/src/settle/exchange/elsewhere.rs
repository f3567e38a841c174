//! A request that is part of the load of several tiers: it waits in the queues of some, or the lower ones could
//! not serve it. These go on counting it, so that they grow until they can.

use std::sync::Arc;

use super::Exchange;
use crate::{base::clock::Clock, fleet::deployment::DeploymentState};

/// A deployment whose load a request is part of although it is counted as another one's.
pub(super) struct Elsewhere {
    deployment: Arc<DeploymentState>,
    thread: usize,
    clock: Clock,
    /// Whether a worker of a higher tier has the request.
    is_away: bool,
    /// Whether the load ends with this.
    ends: bool,
}

impl Elsewhere {
    fn is_at(&self, deployment: &Arc<DeploymentState>) -> bool {
        Arc::ptr_eq(&self.deployment, deployment)
    }

    fn went_away(&mut self) {
        if !std::mem::replace(&mut self.is_away, true) {
            self.deployment.overflow.went();
        }
    }

    fn came_back(&mut self) {
        if std::mem::replace(&mut self.is_away, false) {
            self.deployment.overflow.came_back();
        }
    }
}

fn tier_of(deployment: &DeploymentState) -> u8 {
    deployment.view().spec.tier
}

/// Whether requests that it has got can hope for no worker of it: nor is it to get one for them.
fn has_lost_hope(deployment: &DeploymentState) -> bool {
    deployment.is_retired() || deployment.view().is_paused()
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.came_back();
        if self.ends {
            self.deployment.load.end(self.thread, self.clock.now());
        }
    }
}

impl Exchange {
    /// It waits at `deployment` as well.
    pub(crate) fn waits_at(&mut self, deployment: &Arc<DeploymentState>) {
        let own = self.deployment.as_ref();
        if own.is_some_and(|own| Arc::ptr_eq(own, deployment)) {
            return;
        }
        if own.is_none_or(|own| has_lost_hope(own)) {
            return self.belongs_to(deployment);
        }
        let mut elsewhere = self.seldom.iter().flat_map(|seldom| &seldom.elsewhere);
        if elsewhere.any(|one| one.is_at(deployment)) {
            return;
        }
        let now = self.connection.now();
        deployment.load.start(self.connection.thread.index, now);
        deployment.overflow.joined();
        let here = self.elsewhere(deployment);
        self.seldom_mut().elsewhere.push(here);
    }

    /// It does not wait at `deployment` any more, nor does that need to know of it.
    pub(crate) fn leaves(&mut self, deployment: &Arc<DeploymentState>) {
        if let Some(seldom) = &mut self.seldom {
            seldom.elsewhere.retain(|one| !one.is_at(deployment));
        }
    }

    /// A worker of `deployment` takes it, which is of this `tier`. Lower tiers that could not take it go on
    /// counting it, higher ones do not.
    pub(crate) fn is_served_at(&mut self, deployment: &Arc<DeploymentState>, tier: u8) {
        self.belongs_to(deployment);
        if let Some(seldom) = &mut self.seldom {
            let elsewhere = &mut seldom.elsewhere;
            elsewhere.retain(|one| tier_of(&one.deployment) < tier);
            elsewhere.iter_mut().for_each(Elsewhere::went_away);
            seldom.overflows = seldom.lowest.is_some_and(|lowest| lowest < tier);
        }
    }

    /// The client gets the answer that a worker gave it: no other one will be asked.
    pub(crate) fn is_taken(&mut self) {
        let Some(seldom) = &mut self.seldom else {
            return;
        };
        if std::mem::take(&mut seldom.overflows)
            && let Some(deployment) = &self.deployment
        {
            deployment.overflow.took();
        }
    }

    /// No worker has it any more, and another one is to be found.
    pub(crate) fn comes_back(&mut self) {
        if let Some(seldom) = &mut self.seldom {
            seldom.elsewhere.iter_mut().for_each(Elsewhere::came_back);
        }
    }

    /// Whether it was moved to a higher tier than it came to.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.seldom
            .as_ref()
            .is_some_and(|seldom| seldom.lowest.is_some())
    }

    /// A deployment of this tier whose load it is part of, and which fits.
    pub(crate) fn known_in(
        &self,
        tier: u8,
        fits: impl Fn(&Arc<DeploymentState>) -> bool,
    ) -> Option<&Arc<DeploymentState>> {
        let elsewhere = self.seldom.iter().flat_map(|seldom| &seldom.elsewhere);
        let mut all = self
            .deployment
            .iter()
            .chain(elsewhere.map(|one| &one.deployment));
        all.find(|one| tier_of(one) == tier && fits(one))
    }

    /// From now on it is counted as one of `deployment`. Where it was before, it stays part of the load if that
    /// is of a lower tier and may get workers for it.
    pub(crate) fn belongs_to(&mut self, deployment: &Arc<DeploymentState>) {
        let own = self.deployment.as_ref();
        if own.is_some_and(|own| Arc::ptr_eq(own, deployment)) {
            return;
        }
        let elsewhere = &mut self.seldom_mut().elsewhere;
        match elsewhere.iter().position(|one| one.is_at(deployment)) {
            // It was counted there when it came to the queue.
            Some(place) => elsewhere.swap_remove(place).ends = false,
            None => {
                let (thread, now) = (self.connection.thread.index, self.connection.now());
                deployment.load.start(thread, now);
                deployment.overflow.joined();
            }
        }
        self.listed.entry().is_for(deployment.address());
        if let Some(left) = self.deployment.replace(Arc::clone(deployment)) {
            let left = self.elsewhere(&left);
            let tier = tier_of(&left.deployment);
            if tier >= tier_of(deployment) {
                return;
            }
            let lowest = &mut self.seldom_mut().lowest;
            *lowest = Some(lowest.map_or(tier, |lowest| lowest.min(tier)));
            // A paused deployment is not to come back for it.
            if !has_lost_hope(&left.deployment) {
                self.seldom_mut().elsewhere.push(left);
            }
        }
    }

    /// From now on it is part of the load of one deployment alone.
    pub(super) fn is_nowhere_else(&mut self) {
        if let Some(seldom) = &mut self.seldom {
            seldom.elsewhere.clear();
            (seldom.lowest, seldom.overflows) = (None, false);
        }
    }

    fn elsewhere(&self, deployment: &Arc<DeploymentState>) -> Elsewhere {
        Elsewhere {
            deployment: Arc::clone(deployment),
            thread: self.connection.thread.index,
            clock: self.clock(),
            is_away: false,
            ends: true,
        }
    }
}
