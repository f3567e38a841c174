//! Gives GPUs to workers: collects who lacks and who has some, and carries out what
//! [`share`](crate::share) makes of it.

mod describe;
mod facts;

use std::{collections::BTreeMap, sync::Arc};

use penstock_config::fleet::WorkerId;

use self::facts::Numbers;
use super::{
    Core, deployment::Key, deployment_mut, gpus::Holding, tally::StartFailure, worker::Life,
};
use crate::{
    plan::{DrainCause, StopCause},
    share::{Denial, Facts, Sharing, WaitsFor, Want, Why, Yield, share},
};

impl Core {
    /// Deployments that lack workers with GPUs are given some, or others make room for them.
    pub(super) fn share_gpus(&mut self) {
        let wanting = self.wants();
        // A group that is not wanted any more, as after a change of the file, is kept for nobody.
        let kept: BTreeMap<&Key, &[usize]> = wanting
            .iter()
            .filter(|(_, _, keeps)| *keeps)
            .map(|(key, want, _)| (key, &*want.groups))
            .collect();
        let updating = self.updating();
        self.gpus.keep_promises(|key, group| {
            let groups = kept.get(key).copied();
            // One whose old workers still drain may want nothing yet.
            let groups = groups.or_else(|| updating.get(key).map(|groups| &**groups));
            groups.is_some_and(|groups| groups.contains(&group))
        });
        if wanting.is_empty() {
            return;
        }
        let mut numbers = Numbers::default();
        let wants = wanting.iter().map(|(key, want, _)| Want {
            who: numbers.of(key),
            ..want.clone()
        });
        let mut facts = Facts {
            wants: wants.collect(),
            ..Facts::default()
        };
        self.collect_holders(&mut numbers, &mut facts);
        let Sharing {
            grants,
            yields,
            denials,
        } = share(&facts);
        for grant in grants {
            let want = facts.wants.iter().find(|want| want.who == grant.who);
            let gpus = want.map_or(0, |want| want.gpus);
            self.grant(&numbers.keys[grant.who], grant.group, gpus);
        }
        for one in &yields {
            let (to, id) = (&numbers.keys[one.to], &numbers.workers[one.holder]);
            self.make_room(to, id, one);
        }
        let denied: BTreeMap<usize, Denial> = denials.iter().map(|one| (one.who, *one)).collect();
        // Many may want the same.
        let mut texts: BTreeMap<(&[usize], u32), String> = BTreeMap::new();
        for want in &facts.wants {
            let key = &numbers.keys[want.who];
            match denied.get(&want.who) {
                Some(denial) => {
                    let text = texts.entry((&want.groups, want.gpus)).or_insert_with(|| {
                        let wanted = self.deployment(key);
                        let wanted = wanted.and_then(|one| one.gpus_to_start());
                        self.gpus.no_room(&wanted.unwrap_or_default(), &want.groups)
                    });
                    let text = text.clone();
                    let is_vain =
                        denial.waits_for == WaitsFor::Room || !self.own_gpus_would_do(key, want);
                    self.deny(key, text, denial.waits_for, is_vain);
                }
                None => self.satisfy(key),
            }
        }
    }

    /// Starts a worker with GPUs of this group.
    fn grant(&mut self, key: &Key, group: usize, gpus: u32) {
        let now = self.now.at;
        let id = self.new_id(key);
        let Some(deployment) = deployment_mut(&mut self.services, key) else {
            return;
        };
        if deployment.wanted.is_empty() {
            return;
        }
        let slot = deployment.wanted.remove(0);
        let holder = Holding {
            id: id.clone(),
            key: key.clone(),
            slot,
        };
        let given = self.gpus.give(group, gpus, &holder);
        self.start_with(key, id, slot, Some(given), now);
        self.touched.insert(key.clone());
    }

    /// There are not that many in any group: that is no want of room.
    fn cannot_be(&mut self, key: &Key, reason: &str) {
        let now = self.now.at;
        let Some(deployment) = deployment_mut(&mut self.services, key) else {
            return;
        };
        let slot = deployment.wanted.first().copied().unwrap_or_default();
        deployment.wanted.clear();
        deployment.starts.failed_for_good(reason.into(), now, now);
        deployment.tally.start_failed(StartFailure::NotStarted);
        deployment.changed = true;
        self.note(key, "start_failed", &format!("no worker {slot}: {reason}"));
        self.due.entry(now).or_default().insert(key.clone());
    }

    /// Sees to it that the image of a deployment is there before its workers take anything from anybody.
    fn prepare(&mut self, key: &Key) {
        let now = self.now.at;
        let id = self.new_id(key);
        let Some(deployment) = deployment_mut(&mut self.services, key) else {
            return;
        };
        let is_under_way = deployment.workers.iter().any(|worker| worker.prepares);
        if is_under_way || deployment.wanted.is_empty() {
            return;
        }
        let slot = deployment.wanted.remove(0);
        self.start_with(key, id, slot, None, now);
        self.touched.insert(key.clone());
    }

    fn make_room(&mut self, to: &Key, id: &WorkerId, one: &Yield) {
        let now = self.now.at;
        let about = self
            .deployment(to)
            .map(|deployment| deployment.waiting.waits(now));
        let about = about.unwrap_or_default();
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        let slot = deployment.workers[place].new.slot;
        let is_idle = matches!(one.why, Why::Idle(_));
        if is_idle {
            deployment.give_up_one(now);
        }
        deployment.tally.made_room(is_idle);
        let has_been_ready = deployment.workers[place].life == Life::Serving;
        let why = one.why;
        let there = if is_idle {
            format!(", and there {about}")
        } else {
            String::new()
        };
        self.gpus.promise(id, to);
        self.note(
            &key,
            "makes_room",
            &format!("worker {slot} makes room for {to}: {why}{there}"),
        );
        let text = format!("{key}#{slot} makes room for a worker: {about}");
        self.note(to, "gets_room", &text);
        if has_been_ready {
            let why = if is_idle {
                DrainCause::MakesRoom
            } else {
                DrainCause::GivesTurn
            };
            self.drain(id, why, now);
        } else {
            self.stop(id, StopCause::MakesRoom, now);
        }
        self.touched.insert(key);
    }

    fn deny(
        &mut self,
        key: &Key,
        mut reason: String,
        waits_for: WaitsFor,
        giving_way_is_vain: bool,
    ) {
        let making = match waits_for {
            WaitsFor::Room => self.gpus.making_room_for(key),
            _ => Vec::new(),
        };
        reason += &match making.len() {
            0 => format!("; {waits_for}"),
            1 => format!("; {} makes room", making[0]),
            _ => format!("; {} make room", making.join(", ")),
        };
        let Some(deployment) = deployment_mut(&mut self.services, key) else {
            return;
        };
        let reason: Arc<str> = reason.into();
        let is_new = deployment.starts.facts().no_room.is_none();
        deployment
            .starts
            .lacks_gpus(Arc::clone(&reason), giving_way_is_vain);
        if is_new {
            deployment.changed = true;
            self.stale.insert(key.service.clone());
            let slot = deployment.wanted.first().copied().unwrap_or_default();
            self.note(key, "no_room", &format!("no worker {slot}: {reason}"));
        }
    }

    fn satisfy(&mut self, key: &Key) {
        let Some(deployment) = deployment_mut(&mut self.services, key) else {
            return;
        };
        if deployment.starts.facts().lacks_gpus {
            deployment.starts.found_room();
            deployment.changed = true;
            self.stale.insert(key.service.clone());
        }
        if deployment.wanted.is_empty() {
            self.wanting.remove(key);
        }
    }

    /// What a worker has been given is free, or goes to whom it was given up for.
    pub(super) fn release_gpus(&mut self, id: &WorkerId) {
        if self.gpus.release(id) {
            self.room_may_exist();
        }
    }
}
