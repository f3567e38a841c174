//! Advisory mode of one deployment.

use std::time::Duration;

use penstock_config::ScalingMode;

use super::deployment::DeploymentState;
use crate::{
    remembered::AdviceRow,
    scale::{Decision, Keeper},
    status::AdviceStatus,
};

/// What is known while decisions are only advice.
pub(super) struct Advice {
    keeper: Keeper,
    /// What the rules would do; `None` while something else decides.
    pub(super) decision: Option<Decision>,
    /// What the state file has of it: kept and advised count.
    saved: Option<(u32, u32)>,
}

impl Advice {
    pub(super) fn new(kept: u32) -> Self {
        Self {
            keeper: Keeper::new(kept),
            decision: None,
            saved: None,
        }
    }
}

impl DeploymentState {
    /// Whether decisions are only advice.
    pub(super) fn advises(&self) -> bool {
        self.spec.scaling.mode == ScalingMode::Advise
    }

    /// Goes from acting to advising or back. Whoever acts begins with the workers there are, and
    /// with patience: what was advised has not been tried.
    pub(super) fn follow_mode(&mut self, now: Duration) {
        if self.advises() {
            let kept = self.scale.desired();
            self.advice
                .get_or_insert_with(|| Box::new(Advice::new(kept)));
        } else if self.advice.take().is_some() {
            self.scale.begin_again(self.decision.desired, now);
        }
    }

    /// What is in force when the rules have decided.
    pub(super) fn in_force(&mut self, decided: Decision) -> Decision {
        let before = self.decision.desired;
        let Some(advice) = &mut self.advice else {
            return decided;
        };
        let bounds = self.scale.bounds();
        let kept = advice.keeper.keep(&self.spec.scaling, bounds, before);
        advice.decision = Some(decided);
        kept
    }

    /// The last decision of the rules, be it in force or advice.
    pub(super) fn ruled(&self) -> &Decision {
        self.advised().unwrap_or(&self.decision)
    }

    /// The last decision that is only advice.
    pub(super) fn advised(&self) -> Option<&Decision> {
        self.advice.as_ref()?.decision.as_ref()
    }

    pub(super) fn describe_advice(&self) -> Option<AdviceStatus> {
        let decision = self.advised()?;
        Some(AdviceStatus {
            workers: decision.desired,
            reason: decision.reason.label().into(),
            reason_text: decision.reason.to_string(),
        })
    }

    /// What the state file should have, if it has something else.
    pub(super) fn advice_to_save(&mut self) -> Option<AdviceRow> {
        let advised = self.scale.desired();
        let advice = self.advice.as_mut()?;
        let counts = (advice.keeper.kept(), advised);
        if advice.saved.replace(counts) == Some(counts) {
            return None;
        }
        Some(AdviceRow {
            service: self.key.service.to_string(),
            deployment: self.key.deployment.to_string(),
            kept: counts.0,
            advised,
        })
    }
}
