//! Describes what is paused.

use super::{Done, ServiceState};
use crate::{
    pause::Pause,
    status::{DeploymentPause, PauseStatus, PausedStatus},
};

impl ServiceState {
    /// The pause of the whole service, or that of one deployment itself.
    pub(in crate::core) fn describe_pause(&self, of: Option<&str>) -> Option<PausedStatus> {
        self.stopped.pauses.own(of).map(described)
    }

    pub(super) fn describe_pauses(&self, done: Option<Done>) -> PauseStatus {
        let (done, before) = match done {
            None => (None, None),
            Some(Done::Paused(None)) => (Some("paused"), None),
            Some(Done::Paused(before)) => (Some("replaced"), before),
            Some(Done::Resumed(None)) => (Some("not_paused"), None),
            Some(Done::Resumed(before)) => (Some("resumed"), before),
        };
        let deployments = self.deployments.iter();
        let here = deployments.filter(|(_, deployment)| !deployment.removed);
        PauseStatus {
            service: self.spec.name.to_string(),
            done: done.map(Into::into),
            before: before.as_ref().map(described),
            pause: self.describe_pause(None),
            deployments: here
                .map(|(name, deployment)| DeploymentPause {
                    name: name.to_string(),
                    paused: deployment.paused.is_some(),
                    pause: self.describe_pause(Some(name.as_str())),
                })
                .collect(),
        }
    }
}

fn described(pause: &Pause) -> PausedStatus {
    PausedStatus {
        since_ms: pause.since_ms,
        until_ms: pause.until_ms,
        by: pause.change.by.clone(),
        reason: pause.change.reason.clone(),
    }
}
