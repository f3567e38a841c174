//! Lets rollouts look at what happened, and puts into force what comes of it.

use std::time::Duration;

use penstock_config::{
    Deployment, DeploymentName, Rollout, Rule, Service, ServiceName, fleet::Phase,
};
use serde::{Deserialize, Serialize};

use super::{
    Reconciler, ServiceState, deployment::DeploymentState, revision::is_current, traffic::by_whom,
};
use crate::{
    reports::Gateways,
    rollout::{self, Event, Evidence, Facts, Hold, Memory, Run, Stage, evidence},
    status::RolloutStatus,
    weights::{Change, Refused, WeightMap},
};

/// What an operator may ask of a rollout; `of` names the deployment, to be sure.
#[derive(Debug)]
pub(crate) enum RolloutAsk {
    /// Not to go on.
    Pause { of: Option<String> },
    /// To go on.
    Resume { of: Option<String> },
    /// To begin again with the first step.
    Restart { of: Option<String> },
}

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

impl Reconciler {
    /// Every rollout takes a look. To be called when all deployments had their turn: phases are true
    /// then.
    pub(super) fn turn_rollouts(&mut self, now: Duration) {
        if self.shutting_down.is_some() {
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
        let at_ms = self.clock.wall_ms(now);
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        let mut notes = service.follow_rollout(at_ms);
        let event = service.look(&self.gateways, now);
        if let Some(rolling) = &mut service.rolling {
            let is_news = !matches!(event, None | Some(Event::Held(_)));
            if is_news {
                rolling.run.memory.since_ms = at_ms;
            }
            // That an interval has begun goes without saying.
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
            let key = super::Key {
                service: name.clone(),
                deployment,
            };
            self.note(&key, "rollout", &text, now);
        }
        drop(self.save_traffic(name));
    }
}

impl ServiceState {
    /// Begins, ends or keeps the rollout as the settings ask for; what of it is news.
    fn follow_rollout(&mut self, at_ms: u64) -> Vec<(DeploymentName, String)> {
        let Some((deployment, settings)) = rollout_of(&self.spec) else {
            let Some(gone) = self.rolling.take() else {
                return Vec::new();
            };
            for deployment in self.deployments.values_mut() {
                (deployment.outcomes, deployment.workers_min) = (None, 0);
            }
            let text = "no rollout is configured any more; the file's weights are in force";
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
        self.rolling = Some(Rolling {
            deployment: deployment.name.clone(),
            run: Run::new(Memory::new(revision, settings, at_ms)),
        });
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

    fn rollout_facts(&self) -> Option<Facts> {
        let rolling = self.rolling.as_ref()?;
        let canary = self.deployments.get(&rolling.deployment)?;
        let mut totals = Evidence::default();
        let mut current = 0_u32;
        for (name, deployment) in &self.deployments {
            let is_canary = *name == rolling.deployment;
            if deployment.removed || !(is_canary || deployment.spec.takes_traffic) {
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
        })
    }

    /// Does what is asked of the rollout; what was done, in words.
    pub(super) fn obey_about_rollout(
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
    pub(super) fn take_rollout_back(&mut self, change: &Change) -> String {
        let Some(rolling) = &mut self.rolling else {
            return String::new();
        };
        let why = format!("taken back{}", by_whom(change));
        rolling.run.roll_back(why);
        rolling.run.memory.since_ms = change.at_ms;
        format!("rollout of {} taken back", rolling.deployment)
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
            self.rolling = Some(Rolling {
                deployment,
                run: Run::new(memory),
            });
        }
    }

    pub(super) fn describe_rollout(&self, deployment: &DeploymentName) -> Option<RolloutStatus> {
        let rolling = self.rolling.as_ref();
        let run = &rolling
            .filter(|rolling| rolling.deployment == *deployment)?
            .run;
        let held = run.hold().map(ToString::to_string);
        let (state, why) = match &run.memory.stage {
            Stage::Running => ("running", held),
            Stage::Paused => ("paused", None),
            Stage::Done => ("done", None),
            Stage::RolledBack(why) => ("rolled_back", Some(why.clone())),
        };
        Some(RolloutStatus {
            state: state.into(),
            since_ms: run.memory.since_ms,
            share: run.memory.share(),
            steps: run.memory.steps.clone(),
            taken: run.memory.taken,
            why,
            seen: run.seen().map(str::to_owned),
        })
    }
}

impl Rolling {
    /// The weights it asks for, of all deployments that share the traffic.
    pub(super) fn weights(&self, service: &Service) -> WeightMap {
        let others = service
            .deployments
            .values()
            .filter(|deployment| deployment.takes_traffic && deployment.name != self.deployment);
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
    let wanted = super::revision::wanted_addresses(&canary.spec);
    wanted.map_or_else(
        || canary.revision.to_string(),
        |addresses| addresses.join(" "),
    )
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

fn percents(steps: &[u32]) -> String {
    let each: Vec<String> = steps.iter().map(ToString::to_string).collect();
    format!("{} %", each.join(", "))
}
