//! What was taken back because it failed does not get more traffic again by accident.
//!
//! Taking back the last change, promoting, naming shares: each of them may give a deployment more of
//! the traffic whose rollout has failed. So every change is tried out first. What it would raise that
//! was taken back is told, and happens only to those who insist.

use super::{ServiceState, Traffic, TrafficAsk};
use crate::{
    rollout::{Run, Stage},
    status::{WeightsChange, WeightsStatus},
    weights::{Change, Refused, WeightMap, percent},
};

/// Shares that differ by less than this, in percent, are the same.
const SAME: f64 = 1e-9;

/// A change that is in force in memory, with all that is needed to put it back.
pub(super) struct Trial {
    /// What was done, in words, if anything.
    pub(super) done: Option<String>,
    /// The weights before.
    pub(super) before: WeightMap,
    /// Why nobody may do this who does not insist.
    pub(super) raises: Option<Refused>,
    untried: Before,
}

/// What a change may touch, as it was.
struct Before {
    traffic: Traffic,
    run: Option<Run>,
    file_changed: bool,
}

/// A deployment that was taken back, and why.
struct TakenBack {
    name: String,
    why: String,
    has_rollout: bool,
}

impl ServiceState {
    /// Does what is asked for in memory only.
    pub(super) fn try_out(&mut self, ask: TrafficAsk, change: &Change) -> Result<Trial, Refused> {
        let untried = Before {
            traffic: self.traffic.clone(),
            run: self.rolling.as_ref().map(|rolling| rolling.run.clone()),
            file_changed: self.file_changed,
        };
        let before = self.in_force();
        let is_rollback = matches!(ask, TrafficAsk::RollBack);
        let taken_back = self.taken_back(is_rollback);
        let done = match self.obey(ask, change) {
            Ok(done) => done,
            Err(refused) => {
                self.restore(untried);
                return Err(refused);
            }
        };
        self.reweigh();
        let after = self.in_force();
        let raises = self.raised(&taken_back, &before, &after);
        self.remember_taken_back(is_rollback, &before, &after);
        Ok(Trial {
            done,
            before,
            raises,
            untried,
        })
    }

    /// As if it had not been tried out.
    pub(super) fn put_back(&mut self, trial: Trial) {
        self.restore(trial.untried);
    }

    /// How the weights are with it, and how they were.
    pub(super) fn describe_trial(&self, trial: &Trial) -> WeightsStatus {
        let change = trial.done.as_ref().map(|done| WeightsChange {
            done: done.clone(),
            before: trial.before.clone(),
            needs_force: trial.raises.as_ref().map(ToString::to_string),
        });
        WeightsStatus {
            change,
            ..self.describe_weights()
        }
    }

    fn restore(&mut self, before: Before) {
        self.traffic = before.traffic;
        self.file_changed = before.file_changed;
        if let (Some(rolling), Some(run)) = (&mut self.rolling, before.run) {
            rolling.run = run;
        }
        self.reweigh();
    }

    /// What may not get more again: whatever is asked for, a deployment whose rollout failed; in a
    /// rollback, which names nobody, also what an operator took back.
    fn taken_back(&self, is_rollback: bool) -> Vec<TakenBack> {
        let rolling = self.rolling.as_ref().and_then(|rolling| {
            let memory = &rolling.run.memory;
            let Stage::RolledBack(why) = &memory.stage else {
                return None;
            };
            let why = match memory.by_operator {
                false => format!("its rollout was taken back because it failed ({why})"),
                true if is_rollback => format!("its rollout was {why}"),
                true => return None,
            };
            Some(TakenBack {
                name: rolling.deployment.to_string(),
                why,
                has_rollout: true,
            })
        });
        let by_hand = self.traffic.weights.taken_back().filter(|_| is_rollback);
        let by_hand = by_hand.map(|name| TakenBack {
            name: name.to_owned(),
            why: "an earlier rollback took it away".to_owned(),
            has_rollout: false,
        });
        rolling.into_iter().chain(by_hand).collect()
    }

    fn raised(
        &self,
        taken_back: &[TakenBack],
        before: &WeightMap,
        after: &WeightMap,
    ) -> Option<Refused> {
        taken_back.iter().find_map(|taken| {
            let share = |weights| percent(&self.spec, weights, &taken.name);
            let (before, after) = (share(before), share(after));
            (after > before + SAME).then(|| Refused::RaisesTakenBack {
                service: self.spec.name.to_string(),
                deployment: taken.name.clone(),
                before,
                after,
                why: taken.why.clone(),
                has_rollout: taken.has_rollout,
            })
        })
    }

    fn remember_taken_back(&mut self, is_rollback: bool, before: &WeightMap, after: &WeightMap) {
        for name in self.spec.deployments.keys().map(|name| name.as_str()) {
            let share = |weights| percent(&self.spec, weights, name);
            let (had, has) = (share(before), share(after));
            if has > had + SAME {
                self.traffic.weights.gave(name);
            } else if is_rollback && has < had - SAME {
                self.traffic.weights.took_back([name.to_owned()]);
            }
        }
    }
}
