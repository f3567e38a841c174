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
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if self.is_away {
            self.deployment.overflow.came_back();
        }
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
        let own = self.deployment.as_ref();
        let stays = own.is_some_and(|own| Arc::ptr_eq(own, deployment));
        if !stays {
            self.overflows_to(deployment);
        }
        if let Some(seldom) = &mut self.seldom {
            let elsewhere = &mut seldom.elsewhere;
            elsewhere.retain(|one| one.deployment.view().spec.tier < tier);
            elsewhere.iter_mut().for_each(Elsewhere::went_away);
        }
    }

    fn overflows_to(&mut self, deployment: &Arc<DeploymentState>) {
        deployment.overflow.took();
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
            let mut left = self.elsewhere(&left);
            // A paused deployment is not to come back for it.
            if left.deployment.view().is_paused() {
                return;
            }
            left.went_away();
            self.seldom_mut().elsewhere.push(left);
        }
    }

    /// From now on it is part of the load of one deployment alone.
    pub(super) fn is_nowhere_else(&mut self) {
        if let Some(seldom) = &mut self.seldom {
            seldom.elsewhere.clear();
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
