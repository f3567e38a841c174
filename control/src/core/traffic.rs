//! Puts weights into force: those of the file, or those that an operator set.

mod describe;
mod taken_back;

use penstock_config::ServiceName;
use serde::{Deserialize, Serialize};

use super::{
    Core, ServiceState,
    effect::{Answer, Declined, Effect, Level, Log},
    event::AskId,
    rollouts::{RolloutAsk, RolloutMemory},
    saving::Saved,
};
use crate::{
    remembered::{ServiceRow, Table},
    status::WeightsStatus,
    weights::{self, Change, Followed, Refused, Wanted, WeightMap, Weights},
};

/// What an operator asks for.
#[derive(Debug)]
pub struct TrafficRequest {
    /// Of which service.
    pub service: String,
    /// What.
    pub ask: TrafficAsk,
    /// Who asks, as far as they say.
    pub by: Option<String>,
    /// Why, as far as they say.
    pub reason: Option<String>,
    /// Whether a deployment may get more again that was taken back because it failed.
    pub force: bool,
    /// Only to be told what would become of it.
    pub dry_run: bool,
}

/// What may be asked for.
#[derive(Debug)]
pub enum TrafficAsk {
    /// Only to be told how things are.
    Show,
    /// These weights or shares.
    Set(Wanted),
    /// Those of the file.
    Reset,
    /// All traffic to this deployment.
    Promote(String),
    /// What was before the last change.
    RollBack,
    /// Something about the rollout.
    Rollout(RolloutAsk),
}

/// What control remembers of a service's traffic across restarts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Traffic {
    pub(super) weights: Weights,
    pub(super) rollout: Option<RolloutMemory>,
}

impl Core {
    /// Does what is asked for; the answer comes when it is written down.
    pub(super) fn on_traffic(&mut self, to: AskId, request: TrafficRequest) {
        let asks_for_change = !request.dry_run && !matches!(request.ask, TrafficAsk::Show);
        match self.do_with_traffic(request) {
            Ok((name, status)) => {
                let saving = self.save_traffic(&name);
                let answer = Answer::Traffic(Ok(status));
                self.answer_when_saved(saving, asks_for_change, to, answer);
            }
            Err(refused) => {
                let answer = Answer::Traffic(Err(Declined::Refused(refused)));
                self.effects.push(Effect::Answer(to, answer));
            }
        }
    }

    fn do_with_traffic(
        &mut self,
        request: TrafficRequest,
    ) -> Result<(ServiceName, WeightsStatus), Refused> {
        let now = self.now.at;
        let change = Change {
            at_ms: self.now.wall_ms,
            by: request.by,
            reason: request.reason,
        };
        let name = self.known(&request.service)?;
        let service = self.services.get_mut(&name).expect("it is known");
        let trial = service.try_out(request.ask, &change)?;
        if request.dry_run {
            let status = service.describe_trial(&trial);
            service.put_back(trial);
            return Ok((name, status));
        }
        if let Some(refused) = trial.raises.clone().filter(|_| !request.force) {
            service.put_back(trial);
            return Err(refused);
        }
        let status = service.describe_trial(&trial);
        if let Some(done) = &trial.done {
            let after = service.in_force();
            let forced = if trial.raises.is_some() {
                " (forced)"
            } else {
                ""
            };
            let mut text = format!("{done}{forced}: {}", listed(&after));
            if trial.before != after {
                text += &format!(" (before: {})", listed(&trial.before));
                self.stale.insert(name.clone());
            }
            text += &by_whom(&change);
            self.note_service(&name, "weights", &text);
            // A rollout may have something to say to it.
            self.next_tick = now;
        }
        Ok((name, status))
    }

    /// Writes down what is to be remembered of a service's traffic.
    pub(super) fn save_traffic(&mut self, name: &ServiceName) -> Option<u64> {
        let service = self.services.get_mut(name)?;
        if service.saved.is(&service.traffic) {
            return None;
        }
        let nothing = service.removed || service.traffic == Traffic::default();
        let state = (!nothing)
            .then(|| serde_json::to_string(&service.traffic).expect("names and numbers are JSON"));
        let row = ServiceRow {
            service: name.to_string(),
            state,
        };
        service.saved = Saved::Is(service.traffic.clone());
        Some(self.save(Table::Traffic, row))
    }

    /// Takes up what an earlier run remembered.
    pub(super) fn restore_traffic(&mut self, rows: Vec<ServiceRow>) {
        for row in rows {
            let name = row.service.as_str();
            let state = row.state.as_deref().unwrap_or_default();
            let service = self.services.get_mut(name);
            let Some(service) = service.filter(|service| !service.removed) else {
                let text = format!("the weights of {name} are forgotten with it");
                self.effects.push(Log::effect(Level::Info, None, text));
                self.save(Table::Traffic, ServiceRow { state: None, ..row });
                continue;
            };
            match serde_json::from_str::<Traffic>(state) {
                Ok(traffic) => {
                    service.traffic = traffic.clone();
                    service.saved = Saved::Is(traffic);
                    service.resume_rollout();
                    let name = service.spec.name.clone();
                    self.follow_traffic(&name);
                }
                Err(error) => {
                    let text = format!(
                        "what was remembered of the weights of {name} cannot be read ({error}); the file's are in force"
                    );
                    self.effects.push(Log::effect(Level::Error, None, text));
                }
            }
        }
    }

    /// Brings the weights in force up to date after the settings of a service have changed.
    pub(super) fn follow_traffic(&mut self, name: &ServiceName) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        let mut notes: Vec<String> = service
            .traffic
            .weights
            .follow(&service.spec)
            .into_iter()
            .map(|followed| match followed {
                Followed::Dropped(gone) => format!(
                    "{gone} is not configured any more; the weights set by hand go on without it"
                ),
                Followed::NothingLeft => {
                    "of the weights set by hand nothing is left; the file's are in force".to_owned()
                }
            })
            .collect();
        let by_hand = service.traffic.weights.by_hand();
        let differs = by_hand.is_some_and(|by_hand| by_hand.file_changed(&service.spec));
        if differs && !service.file_changed {
            notes.push(format!(
                "the file's weights have changed to {}; those set by hand stay in force (penstock weights {name} --reset gives them up)",
                listed(&weights::file(&service.spec))
            ));
        }
        service.file_changed = differs;
        if service.reweigh() {
            self.stale.insert(name.clone());
        }
        for text in notes {
            self.note_service(name, "weights", &text);
        }
        self.save_traffic(name);
    }

    /// What could not be written down at once is tried again.
    pub(super) fn save_all_traffic(&mut self) {
        let unsaved = |service: &&ServiceState| !service.saved.is(&service.traffic);
        let services = self.services.values().filter(unsaved);
        let names: Vec<ServiceName> = services.map(|service| service.spec.name.clone()).collect();
        for name in names {
            self.save_traffic(&name);
        }
    }

    /// Forgets what was done to the traffic of a service that is removed.
    pub(super) fn forget_traffic(&mut self, name: &ServiceName) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        service.rolling = None;
        if service.rollout_told.take().is_some() {
            self.effects.push(Effect::Rollout(name.clone(), None));
        }
        if std::mem::take(&mut service.traffic) != Traffic::default() {
            let text = "the weights set by hand are forgotten with the service";
            self.note_service(name, "weights", text);
        }
        self.save_traffic(name);
    }
}

impl ServiceState {
    /// Does what is asked for with the weights; what was done, in words, if anything.
    fn obey(&mut self, ask: TrafficAsk, change: &Change) -> Result<Option<String>, Refused> {
        let before = self.traffic.clone();
        let in_force = self.in_force();
        let rolling = self.rolling.as_ref();
        let has_share = rolling.is_some_and(|rolling| rolling.run.memory.share() > 0);
        let weights = &mut self.traffic.weights;
        let done = match ask {
            TrafficAsk::Show => return Ok(None),
            TrafficAsk::Set(wanted) => {
                weights.set(&self.spec, &wanted, &in_force, change.clone())?;
                "weights set by hand".to_owned()
            }
            TrafficAsk::Reset => {
                weights.reset();
                "weights given back to the file".to_owned()
            }
            TrafficAsk::Promote(deployment) => {
                weights.promote(&self.spec, &deployment, change.clone())?;
                format!("{deployment} promoted")
            }
            TrafficAsk::RollBack if has_share && weights.by_hand().is_none() => {
                self.take_rollout_back(change)
            }
            TrafficAsk::Rollout(ask) => self.obey_about_rollout(ask, change)?,
            TrafficAsk::RollBack => {
                weights.roll_back(&self.spec, change.clone())?;
                "weights rolled back".to_owned()
            }
        };
        self.file_changed = false;
        self.remember_rollout();
        Ok((self.traffic != before).then_some(done))
    }

    /// Weights in force.
    pub(super) fn in_force(&self) -> WeightMap {
        let deployments = self.deployments.iter();
        let here = deployments.filter(|(_, deployment)| !deployment.removed);
        here.map(|(name, deployment)| (name.to_string(), deployment.weight))
            .collect()
    }

    /// Brings the weights in force up to date; whether any is another one.
    pub(super) fn reweigh(&mut self) -> bool {
        let by_hand = self.traffic.weights.by_hand();
        let earned = match (by_hand, &self.rolling) {
            (None, Some(rolling)) => rolling.weights(&self.spec),
            _ => WeightMap::new(),
        };
        let mut changed = false;
        for (name, deployment) in &mut self.deployments {
            let weight = match (by_hand, earned.get(name.as_str())) {
                (Some(by_hand), _) => by_hand.of(name.as_str()),
                (None, Some(earned)) => *earned,
                (None, None) => deployment.spec.weight,
            };
            if deployment.weight != weight {
                deployment.weight = weight;
                changed = true;
            }
        }
        changed
    }
}

/// Weights for people.
fn listed(weights: &WeightMap) -> String {
    let each = weights
        .iter()
        .map(|(name, weight)| format!("{name} {weight}"));
    each.collect::<Vec<_>>().join(", ")
}

pub(super) fn by_whom(change: &Change) -> String {
    let mut text = String::new();
    if let Some(by) = &change.by {
        text += &format!(", by {by}");
    }
    if let Some(reason) = &change.reason {
        text += &format!(": {reason}");
    }
    text
}
