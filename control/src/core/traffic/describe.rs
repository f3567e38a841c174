//! Describes how a service's traffic is shared.

use penstock_config::DeploymentName;

use super::ServiceState;
use crate::{
    rollout::Stage,
    status::{ByHandStatus, DeploymentWeight, RolloutStatus, WeightsStatus},
};

impl ServiceState {
    pub(in crate::core) fn describe_by_hand(&self) -> Option<ByHandStatus> {
        let by_hand = self.traffic.weights.by_hand()?;
        Some(ByHandStatus {
            since_ms: by_hand.change.at_ms,
            by: by_hand.change.by.clone(),
            reason: by_hand.change.reason.clone(),
            file_changed: by_hand.file_changed(&self.spec),
        })
    }

    pub(super) fn describe_weights(&self) -> WeightsStatus {
        let deployments = self.deployments.values();
        let here = deployments.filter(|deployment| !deployment.removed);
        WeightsStatus {
            service: self.spec.name.to_string(),
            by_hand: self.describe_by_hand(),
            deployments: here
                .map(|deployment| DeploymentWeight {
                    name: deployment.spec.name.to_string(),
                    weight: deployment.weight,
                    file_weight: deployment.spec.weight,
                    takes_traffic: deployment.spec.takes_traffic,
                    tier: deployment.spec.tier,
                    paused: deployment.paused.is_some(),
                    rollout: self.describe_rollout(&deployment.spec.name),
                })
                .collect(),
            can_roll_back: self.traffic.weights.can_roll_back()
                || self
                    .rolling
                    .as_ref()
                    .is_some_and(|rolling| rolling.run.memory.share() > 0),
            change: None,
        }
    }

    pub(in crate::core) fn describe_rollout(
        &self,
        deployment: &DeploymentName,
    ) -> Option<RolloutStatus> {
        let rolling = self.rolling.as_ref();
        let run = &rolling
            .filter(|rolling| rolling.deployment == *deployment)?
            .run;
        let held = run.hold().map(ToString::to_string);
        let why = match &run.memory.stage {
            Stage::Running => held,
            Stage::Paused | Stage::Done => None,
            Stage::RolledBack(why) => Some(why.clone()),
        };
        Some(RolloutStatus {
            state: run.memory.stage.name().into(),
            since_ms: run.memory.since_ms,
            share: run.memory.share(),
            steps: run.memory.steps.clone(),
            taken: run.memory.taken,
            why,
            seen: run.seen().map(str::to_owned),
        })
    }
}
