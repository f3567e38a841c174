//! Lets rollouts look at what happened, and puts into force what comes of it.

mod ask;
mod facts;

use std::time::Duration;

use penstock_config::{Deployment, DeploymentName, Rollout, Service, ServiceName};
use serde::{Deserialize, Serialize};

pub use self::ask::RolloutAsk;
use super::{
    Core, Key, ServiceState,
    deployment::DeploymentState,
    effect::{About, Effect, Level, Log},
    revision::wanted_addresses,
    tally::RolloutTold,
};
use crate::{
    reports::Gateways,
    rollout::{self, Event, Hold, Memory, Run, Stage},
    weights::WeightMap,
};

/// The rollout of a service.
pub(super) struct Rolling {
    pub(super) deployment: DeploymentName,
    pub(super) run: Run,
}

/// What is remembered of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RolloutMemory {
    deployment: String,
    #[serde(flatten)]
    memory: Memory,
}

impl Core {
    /// Every rollout takes a look. To be called when all deployments had their turn: phases are true
    /// then.
    pub(super) fn turn_rollouts(&mut self, now: Duration) {
        if self.shutting_down {
            return;
        }
        let concerned = |service: &&ServiceState| {
            !service.removed && (service.rolling.is_some() || rollout_of(&service.spec).is_some())
        };
        let services = self.services.values().filter(concerned);
        let names: Vec<ServiceName> = services.map(|service| service.spec.name.clone()).collect();
        for name in names {
            self.turn_rollout(&name, now);
        }
    }

    fn turn_rollout(&mut self, name: &ServiceName, now: Duration) {
        let at_ms = self.now.wall_ms;
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        let mut notes = service.follow_rollout(at_ms, &mut self.effects);
        // Before it looks, so that what comes of the look is counted.
        self.effects.extend(service.tell_rollout());
        let event = service.look(&self.gateways, now);
        self.effects.extend(service.tell_rollout());
        if let Some(rolling) = &mut service.rolling {
            let is_news = !matches!(event, None | Some(Event::Held(_)));
            if is_news {
                rolling.run.memory.since_ms = at_ms;
            }
            // That an interval has begun goes without saying.
            if let Some(Event::RolledBack(why)) = &event {
                let text =
                    format!("a rollout was taken back because its deployment does badly: {why}");
                let about = About {
                    service: name.clone(),
                    deployment: Some(rolling.deployment.clone()),
                };
                self.effects
                    .push(Log::effect(Level::Error, Some(about), text));
            }
            if let Some(event) = event.filter(|event| *event != Event::Held(Hold::Interval)) {
                let seen = rolling.run.seen().filter(|_| is_news);
                let seen = seen.map_or_else(String::new, |seen| format!(" (before: {seen})"));
                notes.push((rolling.deployment.clone(), format!("{event}{seen}")));
            }
            let workers = rolling.run.workers_min();
            if let Some(canary) = service.deployments.get_mut(&rolling.deployment)
                && canary.workers_min != workers
            {
                canary.workers_min = workers;
                self.due.entry(now).or_default().insert(canary.key.clone());
            }
        }
        service.remember_rollout();
        if service.reweigh() {
            self.stale.insert(name.clone());
        }
        for (deployment, text) in notes {
            let key = Key {
                service: name.clone(),
                deployment,
            };
            self.note(&key, "rollout", &text);
        }
        self.save_traffic(name);
    }
}

impl ServiceState {
    /// Begins, ends or keeps the rollout as the settings ask for; what of it is news.
    fn follow_rollout(
        &mut self,
        at_ms: u64,
        effects: &mut Vec<Effect>,
    ) -> Vec<(DeploymentName, String)> {
        let Some((deployment, settings)) = rollout_of(&self.spec) else {
            let Some(gone) = self.rolling.take() else {
                return Vec::new();
            };
            for deployment in self.deployments.values_mut() {
                (deployment.outcomes, deployment.workers_min) = (None, 0);
            }
            let text = "no rollout is configured any more; the file's weights are in force";
            let memory = &gone.run.memory;
            if let (Stage::RolledBack(why), false) = (&memory.stage, memory.by_operator) {
                let text = format!(
                    "a deployment that was taken back ({why}) has the file's weight again: its rollout is not configured any more"
                );
                let about = About {
                    service: self.spec.name.clone(),
                    deployment: Some(gone.deployment.clone()),
                };
                effects.push(Log::effect(Level::Warn, Some(about), text));
            }
            return vec![(gone.deployment, text.to_owned())];
        };
        for deployment in self.deployments.values_mut() {
            deployment.outcomes.get_or_insert_default();
        }
        let Some(canary) = self.deployments.get(&deployment.name) else {
            return Vec::new();
        };
        let revision = identity(canary);
        let why = match &self.rolling {
            None => "it is new",
            Some(known) if known.deployment != deployment.name => "another deployment has it now",
            Some(known) if known.run.memory.revision != revision => "there is a new revision",
            Some(known) if known.run.memory.steps != settings.steps => "its steps have changed",
            Some(_) => return Vec::new(),
        };
        let text = format!(
            "rollout begins with steps of {}: {why}",
            percents(&settings.steps)
        );
        if let Some(before) = self.rolling.take()
            && let Some(before) = self.deployments.get_mut(&before.deployment)
        {
            before.workers_min = 0;
        }
        let run = Run::new(Memory::new(revision, settings, at_ms));
        self.rolling = Some(Rolling::new(&deployment.name, run));
        vec![(deployment.name.clone(), text)]
    }

    fn look(&mut self, gateways: &Gateways, now: Duration) -> Option<Event> {
        let (_, settings) = rollout_of(&self.spec)?;
        for deployment in self.deployments.values_mut() {
            if let Some(outcomes) = &mut deployment.outcomes {
                outcomes.forget_silent(gateways);
            }
        }
        let facts = self.rollout_facts()?;
        self.rolling.as_mut()?.run.turn(settings, &facts, now)
    }

    /// What is new about it for the page of metrics.
    fn tell_rollout(&mut self) -> Option<Effect> {
        let now = self.rolling.as_ref();
        let now = now.map(|rolling| RolloutTold::of(&rolling.deployment, &rolling.run));
        if now == self.rollout_told {
            return None;
        }
        self.rollout_told.clone_from(&now);
        Some(Effect::Rollout(self.spec.name.clone(), now))
    }

    /// Keeps in mind what is to be written down.
    pub(super) fn remember_rollout(&mut self) {
        self.traffic.rollout = self.rolling.as_ref().map(|rolling| RolloutMemory {
            deployment: rolling.deployment.to_string(),
            memory: rolling.run.memory.clone(),
        });
    }

    /// Goes on where an earlier run of control was.
    pub(super) fn resume_rollout(&mut self) {
        let Some(RolloutMemory { deployment, memory }) = self.traffic.rollout.clone() else {
            return;
        };
        if let Ok(deployment) = DeploymentName::try_from(deployment.as_str()) {
            let run = Run::new(memory);
            self.rolling = Some(Rolling::new(&deployment, run));
        }
    }
}

impl Rolling {
    fn new(deployment: &DeploymentName, run: Run) -> Self {
        Self {
            deployment: deployment.clone(),
            run,
        }
    }

    /// The weights it asks for, of all deployments that share the traffic.
    pub(super) fn weights(&self, service: &Service) -> WeightMap {
        let own = service.deployments.get(&self.deployment);
        let tier = own.map(|deployment| deployment.tier);
        let others = service.deployments.values().filter(|deployment| {
            deployment.takes_traffic
                && deployment.name != self.deployment
                && Some(deployment.tier) == tier
        });
        let own: Vec<u32> = others.clone().map(|deployment| deployment.weight).collect();
        let (canary, siblings) = rollout::weights(self.run.memory.share(), &own);
        let names = others.map(|deployment| deployment.name.to_string());
        let mut weights: WeightMap = names.zip(siblings).collect();
        weights.insert(self.deployment.to_string(), canary);
        weights
    }
}

/// The deployment of a service that has a rollout.
fn rollout_of(service: &Service) -> Option<(&Deployment, &Rollout)> {
    service
        .deployments
        .values()
        .find_map(|deployment| Some((&**deployment, deployment.rollout.as_ref()?)))
}

/// What tells a rollout from the next: what the workers run; given ones are told by their addresses.
fn identity(canary: &DeploymentState) -> String {
    let wanted = wanted_addresses(&canary.spec);
    wanted.map_or_else(
        || canary.revision.to_string(),
        |addresses| addresses.join(" "),
    )
}

fn percents(steps: &[u32]) -> String {
    let each: Vec<String> = steps.iter().map(ToString::to_string).collect();
    format!("{} %", each.join(", "))
}
