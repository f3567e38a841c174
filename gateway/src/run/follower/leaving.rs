//! Removed deployments: their last requests, and the counts that somebody may still want to read.

use std::{sync::Arc, time::Duration};

use penstock_config::fleet::ServiceFleet;

use crate::fleet::deployment::DeploymentState;

/// How long the counts of a removed deployment stay on the metrics page once its last request is over:
/// long enough for Prometheus, which by default reads the page every minute.
const SHOWN_FOR: Duration = Duration::from_secs(120);

/// Most deployments without requests that are kept for their counts alone. Beyond that the ones that have
/// been over for longest go early, so that a file that changes all the time fills no memory.
const OVER_MAX: usize = 256;

/// Removed deployments.
#[derive(Default)]
pub(super) struct Leaving {
    all: Vec<Left>,
}

/// One of them.
struct Left {
    deployment: Arc<DeploymentState>,
    /// When its last request was found to be over.
    over: Option<Duration>,
}

impl Leaving {
    /// Adds deployments that the newest snapshot does not list.
    pub(super) fn add(&mut self, removed: impl IntoIterator<Item = Arc<DeploymentState>>) {
        self.all.extend(removed.into_iter().map(|deployment| Left {
            deployment,
            over: None,
        }));
    }

    /// Takes out the deployments that `fleet` lists. Those that have requests are returned, to go on as
    /// they were, so that no worker is counted twice. The others begin anew.
    pub(super) fn take_back(&mut self, fleet: &ServiceFleet) -> Vec<Arc<DeploymentState>> {
        let returns = |left: &mut Left| {
            let mut listed = fleet.deployments.iter();
            left.deployment.service == fleet.spec.name
                && listed.any(|part| part.spec.name == left.deployment.name)
        };
        let returning = self.all.extract_if(.., returns);
        returning
            .filter(|left| left.over.is_none())
            .map(|left| left.deployment)
            .collect()
    }

    /// Notes at `now` which of them are over, and drops those that have been for long enough. Whether any
    /// was dropped.
    pub(super) fn settle(&mut self, now: Duration) -> bool {
        let before = self.all.len();
        for left in &mut self.all {
            if left.over.is_none() && left.deployment.is_over() {
                left.over = Some(now);
            }
        }
        let is_shown = |left: &Left| {
            left.over
                .is_none_or(|over| now.saturating_sub(over) < SHOWN_FOR)
        };
        self.all.retain(is_shown);
        self.shorten();
        self.all.len() < before
    }

    fn shorten(&mut self) {
        let over = self.all.iter().filter_map(|left| left.over);
        let too_many = over.count().saturating_sub(OVER_MAX);
        if too_many > 0 {
            // Those that have requests come last, and the sort keeps the order of all others.
            self.all
                .sort_by_key(|left| left.over.unwrap_or(Duration::MAX));
            self.all.drain(..too_many);
        }
    }

    /// Those that have requests.
    pub(super) fn open(&self) -> impl Iterator<Item = &Arc<DeploymentState>> {
        let open = self.all.iter().filter(|left| left.over.is_none());
        open.map(|left| &left.deployment)
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<DeploymentState>> {
        let all = self.all.iter().map(|left| Arc::clone(&left.deployment));
        all.collect()
    }
}

#[cfg(test)]
mod tests;
