//! What operators ask of workers.

use std::sync::Arc;

use penstock_config::ServiceName;

use super::super::{
    Core, ServiceState,
    deployment::{DeploymentState, Key},
    deployment_mut,
    effect::{Answer, Declined, Effect},
    event::AskId,
    traffic::by_whom,
    worker::Life,
};
use crate::{
    pause,
    plan::{DrainCause, StopCause},
    revisions::{Scaled, Switched},
    status::RevisionsStatus,
    weights::{Change, Refused},
};

/// What an operator asks for.
#[derive(Debug)]
pub struct WorkersRequest {
    /// Of which service.
    pub service: String,
    /// Of which of its deployments; `None`: of all, or of the only one.
    pub deployment: Option<String>,
    /// What.
    pub ask: WorkersAsk,
    /// Who asks, as far as they say.
    pub by: Option<String>,
    /// Why, as far as they say.
    pub reason: Option<String>,
}

/// What may be asked for.
#[derive(Debug, Clone, Copy)]
pub enum WorkersAsk {
    /// Only to be told how things are.
    Show,
    /// To go to the revision with this number; `None`: to that of the file.
    Switch(Option<u64>),
    /// To replace the workers by others that run the same.
    Restart,
    /// To have so many workers; `None`: as many as the rules say.
    Scale(Option<u32>),
    /// To end the worker with this number.
    Drain(u32),
}

/// What was done, for the journal and for whoever asked.
struct Done {
    kind: &'static str,
    text: String,
}

impl Core {
    /// Does what is asked for; the answer comes when it is written down.
    pub(in crate::core) fn on_workers(&mut self, to: AskId, request: WorkersRequest) {
        let asks_for_change = !matches!(request.ask, WorkersAsk::Show);
        match self.do_with_workers(request) {
            Ok((name, status)) => {
                let saving = self.save_courses(&name);
                let answer = Answer::Workers(Ok(Box::new(status)));
                self.answer_when_saved(saving, asks_for_change, to, answer);
            }
            Err(refused) => {
                let answer = Answer::Workers(Err(Declined::Refused(refused)));
                self.effects.push(Effect::Answer(to, answer));
            }
        }
    }

    fn do_with_workers(
        &mut self,
        request: WorkersRequest,
    ) -> Result<(ServiceName, RevisionsStatus), Refused> {
        let name = self.known(&request.service)?;
        let service = &self.services[&name];
        let of = request.deployment.as_deref();
        pause::check(&service.spec, of)?;
        let change = Change {
            at_ms: self.now.wall_ms,
            by: request.by,
            reason: request.reason,
        };
        let keys = service.meant(of, request.ask)?;
        let mut told = Vec::new();
        for key in &keys {
            let Some(done) = self.do_with(key, request.ask, &change)? else {
                continue;
            };
            self.note(
                key,
                done.kind,
                &format!("{}{}", done.text, by_whom(&change)),
            );
            told.push(format!("{key}: {}", done.text));
            self.touched.insert(key.clone());
        }
        let service = &self.services[&name];
        let status = RevisionsStatus {
            service: name.to_string(),
            done: told,
            deployments: service.describe_revisions(of),
        };
        Ok((name, status))
    }

    fn do_with(
        &mut self,
        key: &Key,
        ask: WorkersAsk,
        change: &Change,
    ) -> Result<Option<Done>, Refused> {
        if let WorkersAsk::Drain(slot) = ask {
            return self.drain_by_hand(key, slot, change).map(Some);
        }
        let now = self.now.at;
        let Some(deployment) = deployment_mut(&mut self.services, key) else {
            return Ok(None);
        };
        Ok(Some(match ask {
            WorkersAsk::Show | WorkersAsk::Drain(_) => return Ok(None),
            WorkersAsk::Switch(to) => deployment.switch(to, change)?,
            WorkersAsk::Restart => deployment.restart(change),
            WorkersAsk::Scale(Some(workers)) => deployment.scale_to(workers, change)?,
            WorkersAsk::Scale(None) => deployment.scale_by_rules(now),
        }))
    }

    fn drain_by_hand(&mut self, key: &Key, slot: u32, change: &Change) -> Result<Done, Refused> {
        let now = self.now.at;
        let Some(deployment) = deployment_mut(&mut self.services, key) else {
            return Err(Refused::NoWorker {
                deployment: key.to_string(),
                slot,
                there_are: Vec::new(),
            });
        };
        let mut workers = deployment.workers.iter();
        let Some(worker) = workers.find(|worker| worker.new.slot == slot) else {
            let mut there_are: Vec<u32> = deployment.workers.iter().map(|w| w.new.slot).collect();
            there_are.sort_unstable();
            return Err(Refused::NoWorker {
                deployment: key.to_string(),
                slot,
                there_are,
            });
        };
        let (id, life) = (worker.id().clone(), worker.life);
        let drained = &mut deployment.course.drained;
        drained.insert(id.to_string(), change.clone());
        deployment.course_changed = true;
        match life {
            Life::Starting => self.stop(&id, StopCause::Unwanted, now),
            Life::Serving => self.drain(&id, DrainCause::Asked, now),
            Life::Draining { .. } => {
                if let Some((_, deployment, place)) = self.worker_mut(&id) {
                    deployment.workers[place].keep_draining();
                }
            }
            Life::Stopping => {}
        }
        let text = match life {
            Life::Starting => format!("worker {slot} is stopped; it had not been ready"),
            Life::Serving => format!("worker {slot} drains, then it ends"),
            Life::Draining { .. } => format!("worker {slot} drains already, and will end"),
            Life::Stopping => format!("worker {slot} is ending already"),
        };
        Ok(Done {
            kind: "drain",
            text,
        })
    }
}

impl ServiceState {
    /// The deployments that a request is about.
    fn meant(&self, of: Option<&str>, ask: WorkersAsk) -> Result<Vec<Key>, Refused> {
        let here = self.deployments.values();
        let here = here.filter(|deployment| !deployment.removed);
        let named = here
            .filter(|deployment| of.is_none_or(|of| *of == *deployment.key.deployment.as_str()));
        let named: Vec<_> = named.collect();
        let own: Vec<_> = named.iter().filter(|one| !one.is_static()).collect();
        if matches!(ask, WorkersAsk::Show) {
            return Ok(Vec::new());
        }
        if own.is_empty() {
            return Err(Refused::GivenWorkers {
                target: match of {
                    Some(of) => format!("{}/{of}", self.spec.name),
                    None => self.spec.name.to_string(),
                },
            });
        }
        if own.len() > 1 && !matches!(ask, WorkersAsk::Restart) {
            return Err(Refused::WhichDeployment {
                service: self.spec.name.to_string(),
                there_are: own
                    .iter()
                    .map(|one| one.key.deployment.to_string())
                    .collect(),
            });
        }
        Ok(own.into_iter().map(|one| one.key.clone()).collect())
    }
}

impl DeploymentState {
    /// Goes to another revision, or on with the one that stopped.
    fn switch(&mut self, to: Option<u64>, change: &Change) -> Result<Done, Refused> {
        let name = self.key.to_string();
        let of_file = self.course.of_file().map_or(0, |of_file| of_file.number);
        let to = to.unwrap_or(of_file);
        let before = self.course.in_force().map_or(0, |in_force| in_force.number);
        if self.course.get(to).is_none() {
            return Err(Refused::NoRevision {
                deployment: name,
                number: to,
                there_are: self.course.revisions().map(|known| known.number).collect(),
            });
        }
        if to != of_file && self.kept(to).is_none() {
            return Err(Refused::RevisionLost {
                deployment: name,
                number: to,
            });
        }
        let override_ = Switched {
            number: to,
            change: change.clone(),
        };
        self.course.switched = (to != of_file).then_some(override_);
        self.course_changed = true;
        let stopped = self.course.update.as_ref();
        let stopped = stopped.is_some_and(|update| update.stopped.is_some());
        self.aim(false, change.at_ms);
        let goes_on = stopped && self.go_on(change.at_ms);
        self.changed = true;
        let of_the_file = if to == of_file {
            ", that of the file"
        } else {
            ""
        };
        let text = match (before == to, goes_on) {
            (true, true) => format!("the update to revision {to} is tried again"),
            (true, false) => format!("revision {to} is in force already{of_the_file}"),
            (false, _) => format!("switched from revision {before} to {to}{of_the_file}"),
        };
        Ok(Done {
            kind: "switch",
            text,
        })
    }

    /// An update that stopped goes on, if it is still the same one.
    pub(in crate::core) fn go_on(&mut self, wall_ms: u64) -> bool {
        let Some(update) = &mut self.course.update else {
            return false;
        };
        if update.stopped.take().is_none() {
            return false;
        }
        update.began_ms = wall_ms;
        self.starts_other();
        self.course_changed = true;
        true
    }

    fn restart(&mut self, change: &Change) -> Done {
        let workers = self
            .workers
            .iter()
            .filter(|worker| worker.is_kept())
            .count();
        let text = match workers {
            0 => "no worker runs, so there is nothing to restart".to_owned(),
            1 => "its worker is replaced by one that runs the same".to_owned(),
            more => format!("its {more} workers are replaced by others that run the same"),
        };
        if workers > 0 {
            self.course.restart();
            self.course_changed = true;
            self.aim(true, change.at_ms);
        }
        Done {
            kind: "restart",
            text,
        }
    }

    fn scale_to(&mut self, workers: u32, change: &Change) -> Result<Done, Refused> {
        let name = self.key.to_string();
        let max = self.spec.scaling.max;
        if workers == 0 {
            return Err(Refused::ScaleToNothing { deployment: name });
        }
        if workers > max {
            return Err(Refused::AboveMax {
                deployment: name,
                workers,
                max,
            });
        }
        self.course.scaled = Some(Scaled {
            workers,
            change: change.clone(),
        });
        self.course_changed = true;
        let s = if workers == 1 { "" } else { "s" };
        let text = format!("{workers} worker{s} by hand, until penstock scale {name} --auto");
        Ok(Done {
            kind: "scale",
            text,
        })
    }

    fn scale_by_rules(&mut self, now: std::time::Duration) -> Done {
        let text = match self.course.scaled.take() {
            None => "the rules decide already".to_owned(),
            Some(scaled) => {
                self.course_changed = true;
                let desired = self.decision.desired;
                self.scale.hand_back(desired, now);
                format!("the rules decide again; it was {} by hand", scaled.workers)
            }
        };
        Done {
            kind: "scale",
            text,
        }
    }

    /// Why the count is as it is, if an operator set it.
    pub(in crate::core) fn scaled(&self) -> Option<(u32, Arc<str>)> {
        let scaled = self.course.scaled.as_ref()?;
        let max = self.spec.scaling.max;
        let workers = scaled.workers.min(max);
        let mut about = format!("{} by hand{}", scaled.workers, by_whom(&scaled.change));
        if workers < scaled.workers {
            about += &format!("; max is {max}");
        }
        about += &format!(" (penstock scale {} --auto)", self.key);
        Some((workers, about.into()))
    }
}
