//! What operators may ask of a rollout.

use super::{ServiceState, rollout_of};
use crate::{
    core::traffic::by_whom,
    rollout::{Memory, Run, Stage},
    weights::{Change, Refused},
};

/// What an operator may ask of a rollout; `of` names the deployment, to be sure.
#[derive(Debug)]
pub enum RolloutAsk {
    /// Not to go on.
    Pause {
        /// The deployment.
        of: Option<String>,
    },
    /// To go on.
    Resume {
        /// The deployment.
        of: Option<String>,
    },
    /// To begin again with the first step.
    Restart {
        /// The deployment.
        of: Option<String>,
    },
}

impl ServiceState {
    /// Does what is asked of the rollout; what was done, in words.
    pub(in crate::core) fn obey_about_rollout(
        &mut self,
        ask: RolloutAsk,
        change: &Change,
    ) -> Result<String, Refused> {
        let by_hand = self.traffic.weights.by_hand().is_some();
        let service = self.spec.name.to_string();
        let found = rollout_of(&self.spec).zip(self.rolling.as_mut());
        let Some(((deployment, settings), rolling)) = found else {
            return Err(Refused::NoRollout { service });
        };
        let (RolloutAsk::Pause { of } | RolloutAsk::Resume { of } | RolloutAsk::Restart { of }) =
            &ask;
        let name = deployment.name.to_string();
        if let Some(of) = of.as_ref().filter(|of| **of != name) {
            return Err(Refused::OtherRollout {
                deployment: of.clone(),
                rolling: name,
            });
        }
        if by_hand && !matches!(ask, RolloutAsk::Pause { .. }) {
            return Err(Refused::SetByHand { service });
        }
        let memory = &mut rolling.run.memory;
        let wrong = |state| Refused::WrongStage {
            deployment: name.clone(),
            state,
        };
        let done = match ask {
            RolloutAsk::Pause { .. } if memory.stage == Stage::Running => {
                memory.stage = Stage::Paused;
                "paused"
            }
            RolloutAsk::Pause { .. } => return Err(wrong("is not running")),
            RolloutAsk::Resume { .. } if memory.stage == Stage::Paused => {
                memory.stage = Stage::Running;
                "resumed"
            }
            RolloutAsk::Resume { .. } => return Err(wrong("is not paused")),
            RolloutAsk::Restart { .. } => {
                let memory = Memory::new(memory.revision.clone(), settings, 0);
                rolling.run = Run::new(memory);
                "restarted"
            }
        };
        rolling.run.memory.since_ms = change.at_ms;
        Ok(format!("rollout of {name} {done}"))
    }

    /// An operator takes the rollout back.
    pub(in crate::core) fn take_rollout_back(&mut self, change: &Change) -> String {
        let Some(rolling) = &mut self.rolling else {
            return String::new();
        };
        let why = format!("taken back{}", by_whom(change));
        rolling.run.roll_back(why);
        rolling.run.memory.by_operator = true;
        rolling.run.memory.since_ms = change.at_ms;
        format!("rollout of {} taken back", rolling.deployment)
    }
}
