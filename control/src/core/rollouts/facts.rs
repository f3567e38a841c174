//! What a rollout is judged by.

use penstock_config::{Deployment, DeploymentName, Rule, fleet::Phase};

use super::ServiceState;
use crate::{
    core::{deployment::DeploymentState, revision::is_current},
    rollout::{Evidence, Facts, evidence},
};

impl ServiceState {
    pub(super) fn rollout_facts(&self) -> Option<Facts> {
        let rolling = self.rolling.as_ref()?;
        let canary = self.deployments.get(&rolling.deployment)?;
        let mut totals = Evidence::default();
        let mut current = 0_u32;
        for (name, deployment) in &self.deployments {
            let is_canary = *name == rolling.deployment;
            // What overflows is not what the canary is compared with.
            let is_beside =
                deployment.spec.takes_traffic && deployment.spec.tier == canary.spec.tier;
            if deployment.removed || !(is_canary || is_beside) {
                continue;
            }
            current = current.saturating_add(deployment.measured.current);
            if let Some(outcomes) = &deployment.outcomes {
                let sum = if is_canary {
                    &mut totals.canary
                } else {
                    &mut totals.siblings
                };
                evidence::add(sum, outcomes.total());
            }
        }
        let is_new = |revision: &str| is_current(&canary.spec, &canary.revision, revision);
        let workers = || canary.workers.iter();
        let ready = workers().filter(|worker| worker.is_ready() && is_new(&worker.revision));
        let outdated = workers().filter(|worker| !is_new(&worker.revision));
        Some(Facts {
            totals,
            ready: u32::try_from(ready.count()).unwrap_or(u32::MAX),
            outdated: u32::try_from(outdated.count()).unwrap_or(u32::MAX),
            down: down(canary),
            current,
            target: target(&canary.spec),
            workers_max: canary.spec.scaling.max,
            by_hand: self.traffic.weights.by_hand().is_some(),
            stopped: self.stopped_part(&rolling.deployment),
        })
    }

    /// A deployment that is paused, of those that share the traffic.
    fn stopped_part(&self, canary: &DeploymentName) -> Option<String> {
        let has_part = |deployment: &&DeploymentState| {
            let shares = deployment.spec.takes_traffic && deployment.weight > 0;
            let own = self.deployments.get(canary).map(|found| found.spec.tier);
            let shares = shares && own == Some(deployment.spec.tier);
            !deployment.removed && (shares || deployment.key.deployment == *canary)
        };
        let mut parts = self.deployments.values().filter(has_part);
        let stopped = parts.find(|deployment| deployment.paused.is_some())?;
        Some(stopped.key.deployment.to_string())
    }
}

/// Why a deployment has no worker and cannot hope for one soon, if so.
fn down(deployment: &DeploymentState) -> Option<String> {
    match &deployment.phase {
        Phase::Failed { reason, .. } => Some(reason.to_string()),
        Phase::Cold if deployment.is_static() => {
            Some("none of its addresses passes its probe".to_owned())
        }
        _ => None,
    }
}

/// Concurrency that one worker should have: what scaling aims at, or less if it takes less.
fn target(deployment: &Deployment) -> f64 {
    let limit = deployment.max_concurrency.map_or(f64::INFINITY, f64::from);
    let targets = deployment.scaling.rules.iter().map(|rule| match rule {
        Rule::Concurrency(rule) => rule.target,
        Rule::Backlog(rule) => rule.target,
        _ => f64::INFINITY,
    });
    targets.fold(limit, f64::min)
}
