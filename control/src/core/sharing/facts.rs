//! Who lacks workers with GPUs, and who has some.

use std::{collections::BTreeMap, time::Duration};

use penstock_config::{Source, fleet::WorkerId};

use super::super::{
    Core, ServiceState,
    deployment::{DeploymentState, Key, count},
    gpus::{Device, Holding, Ledger},
    revision::is_current,
    worker::Worker,
};
use crate::{
    scale::{Bounds, Decision, Reason},
    share::{Facts, GroupFacts, Holder, Need, Owner, Promise, Want},
};

/// Numbers that stand for deployments, and for the workers that have GPUs.
#[derive(Default)]
pub(super) struct Numbers {
    pub(super) keys: Vec<Key>,
    by_key: BTreeMap<Key, usize>,
    pub(super) workers: Vec<WorkerId>,
}

impl Numbers {
    pub(super) fn of(&mut self, key: &Key) -> usize {
        if let Some(number) = self.by_key.get(key) {
            return *number;
        }
        self.keys.push(key.clone());
        self.by_key.insert(key.clone(), self.keys.len() - 1);
        self.keys.len() - 1
    }
}

impl Core {
    /// Who lacks workers with GPUs, and whether what was given up for it is kept for it. Where an image must be
    /// there first, that is seen to before anybody makes room.
    pub(super) fn wants(&mut self) -> Vec<(Key, Want, bool)> {
        let mut all = Vec::new();
        for key in std::mem::take(&mut self.wanting) {
            let Some(service) = self.services.get(&key.service) else {
                continue;
            };
            let Some(deployment) = service.deployments.get(&key.deployment) else {
                continue;
            };
            let Some(wanted) = deployment.gpus_to_start() else {
                continue;
            };
            let groups = self.gpus.usable(&key.service, &wanted);
            if groups.is_empty() {
                let reason = self.gpus.impossible(&wanted);
                self.cannot_be(&key, &reason);
                continue;
            }
            if deployment.must_prepare() {
                self.prepare(&key);
                continue;
            }
            let want = self.want(service, deployment, wanted.count, groups);
            let keeps = want.need > Need::Spare || deployment.is_updating();
            self.wanting.insert(key.clone());
            all.push((key, want, keeps));
        }
        all
    }

    /// Deployments whose old workers give their GPUs to new ones while they drain, and the groups that these
    /// may have theirs from.
    pub(super) fn updating(&self) -> BTreeMap<Key, Vec<usize>> {
        let promised = self.gpus.promised_to_own();
        let groups = promised.filter_map(|key| {
            let deployment = self.deployment(key)?;
            let wants = deployment.decision.desired > deployment.kept_workers();
            let wanted = deployment.gpus_to_start()?;
            let groups = || self.gpus.usable(&key.service, &wanted);
            (wants && deployment.is_updating()).then(|| (key.clone(), groups()))
        });
        groups.collect()
    }

    fn want(
        &self,
        service: &ServiceState,
        deployment: &DeploymentState,
        gpus: u32,
        groups: Vec<usize>,
    ) -> Want {
        let missing = u32::try_from(deployment.wanted.len()).unwrap_or(u32::MAX);
        let (need, missing) = deployment.need(missing, self.now.wall_ms);
        Want {
            who: 0,
            missing,
            gpus,
            groups,
            need,
            priority: deployment.spec.priority,
            waits: deployment.waiting.waits(self.now.at),
            bound: self.give_way_after.min(service.spec.queue.max_wait / 2),
            start: deployment.starts.times().map(|times| times.p50),
        }
    }

    /// Who has GPUs: workers that stay, and those that are on their way out.
    pub(super) fn collect_holders(&self, numbers: &mut Numbers, facts: &mut Facts) {
        let mut promises: BTreeMap<(usize, usize), Promise> = BTreeMap::new();
        let mut holders: BTreeMap<(&WorkerId, usize), u32> = BTreeMap::new();
        for (group, all) in self.gpus.groups().iter().enumerate() {
            let mut left = GroupFacts::default();
            for device in &all.devices {
                let stays = device.holder.as_ref().filter(|holder| self.stays(holder));
                if let Some(holder) = stays {
                    *holders.entry((&holder.id, group)).or_default() += 1;
                    continue;
                }
                let is_free = device.holder.is_none();
                let promised = match &device.holder {
                    None => device.promised.as_ref(),
                    Some(holder) => self.gpus.promised_by(&holder.id),
                };
                let (free, coming) = match promised {
                    None => (&mut left.free, &mut left.coming),
                    Some(to) => {
                        let who = numbers.of(to);
                        let promise = promises.entry((who, group)).or_insert(Promise {
                            who,
                            group,
                            free: 0,
                            coming: 0,
                        });
                        (&mut promise.free, &mut promise.coming)
                    }
                };
                *(if is_free { free } else { coming }) += 1;
            }
            facts.groups.push(left);
        }
        facts.promises = promises.into_values().collect();
        for ((id, group), gpus) in holders {
            if let Some((key, worker)) = self.worker(id) {
                let who = numbers.of(&key);
                numbers.workers.push(id.clone());
                facts.holders.push(self.holder(worker, who, group, gpus));
            }
        }
        let owners = numbers.keys.iter().map(|key| self.owner(key));
        facts.owners = owners.collect();
    }

    /// Whether a deployment would have enough GPUs of one group once its workers of an older revision are gone.
    pub(super) fn own_gpus_would_do(&self, key: &Key, want: &Want) -> bool {
        let Some(deployment) = self.deployment(key) else {
            return false;
        };
        let is_own_and_old = |holder: &Holding| {
            let mut workers = deployment.workers.iter();
            let worker = workers.find(|worker| *worker.id() == holder.id);
            worker.is_some_and(|worker| deployment.is_outdated(worker))
        };
        let would_have = |device: &Device| match &device.holder {
            None => device.promised.as_ref().is_none_or(|to| to == key),
            Some(holder) => is_own_and_old(holder),
        };
        want.groups.iter().any(|group| {
            let devices = self.gpus.groups()[*group].devices.iter();
            devices.filter(|device| would_have(device)).count() >= want.gpus as usize
        })
    }

    fn stays(&self, holder: &Holding) -> bool {
        let worker = self.worker(&holder.id);
        worker.is_some_and(|(_, worker)| worker.is_kept())
    }

    pub(super) fn worker(&self, id: &WorkerId) -> Option<(Key, &Worker)> {
        let key = self.owners.get(id)?;
        let deployment = self.deployment(key)?;
        let worker = deployment.workers.iter().find(|worker| worker.id() == id)?;
        Some((key.clone(), worker))
    }

    pub(in crate::core) fn deployment(&self, key: &Key) -> Option<&DeploymentState> {
        self.services
            .get(&key.service)?
            .deployments
            .get(&key.deployment)
    }

    fn holder(&self, worker: &Worker, who: usize, group: usize, gpus: u32) -> Holder {
        let now = self.now.at;
        // What has happened since the last report is not known: a worker with a request now and then is not idle.
        let heard = self.gateways.heard_of_all_at().unwrap_or_default();
        let deployment = self
            .owners
            .get(worker.id())
            .and_then(|key| self.deployment(key));
        let in_flight =
            deployment.map_or(0, |deployment| deployment.tracker.in_flight(worker.id()));
        let since = |at: Duration| now.saturating_sub(at);
        Holder {
            who,
            group,
            gpus,
            idle: worker.idle_since.map(|at| heard.saturating_sub(at)),
            ready: worker.ready_at.map(since),
            in_flight,
        }
    }

    fn owner(&self, key: &Key) -> Owner {
        let Some(deployment) = self.deployment(key) else {
            return Owner {
                priority: 0,
                spare: 0,
                waits: Default::default(),
                start: None,
            };
        };
        let kept = deployment.kept_workers();
        let min = deployment.min_at(self.now.wall_ms);
        Owner {
            priority: deployment.spec.priority,
            spare: kept.saturating_sub(min),
            waits: deployment.waiting.waits(self.now.at),
            start: deployment.starts.times().map(|times| times.p50),
        }
    }
}

impl DeploymentState {
    /// How urgently it lacks workers, and how many it lacks so urgently.
    fn need(&self, missing: u32, wall_ms: u64) -> (Need, u32) {
        let kept = self.kept_workers();
        if kept >= self.decision.desired {
            // A successor that is to stand beside what it replaces.
            return (Need::Spare, missing);
        }
        if self.measured.queued > 0 {
            return (Need::Waited, missing);
        }
        let min = self.min_at(wall_ms);
        if kept < min {
            return (Need::Minimum, missing.min(min - kept));
        }
        if self.measured.current > 0 {
            (Need::Load, missing)
        } else {
            (Need::Spare, missing)
        }
    }

    fn kept_workers(&self) -> u32 {
        count(self.workers.iter().filter(|worker| worker.is_kept()))
    }

    /// Whether it keeps fewer workers than it wants, those counted for which GPUs are given up already.
    pub(in crate::core) fn lacks_successors(&self, gpus: &Ledger) -> bool {
        let promised = |worker: &&Worker| gpus.promised_by(worker.id()) == Some(&self.key);
        let promised = count(self.workers.iter().filter(promised));
        self.kept_workers().saturating_add(promised) < self.decision.desired
    }

    /// Workers that it keeps whatever the load.
    fn min_at(&self, wall_ms: u64) -> u32 {
        let min = Bounds::at(&self.spec.scaling, wall_ms).min;
        let min = min.max(self.workers_min.min(self.spec.scaling.max));
        // Rules do not decide about these: to take one away would only have it started anew.
        let by_hand = self.scaled().map_or(0, |(workers, _)| workers);
        let advised = if self.advises() {
            self.decision.desired
        } else {
            0
        };
        min.max(by_hand).max(advised)
    }

    fn is_updating(&self) -> bool {
        self.workers.iter().any(|worker| self.is_outdated(worker))
    }

    fn is_outdated(&self, worker: &Worker) -> bool {
        !is_current(&self.spec, &self.revision, &worker.revision)
    }

    fn must_prepare(&self) -> bool {
        let (spec, revision) = self.what_to_start();
        let is_container = matches!(spec.source, Source::Container(_));
        is_container && self.prepared.as_ref() != Some(&revision)
    }

    /// An idle worker goes, and is not wanted back before there is something to do.
    pub(super) fn give_up_one(&mut self, now: Duration) {
        if !self.by_rules || self.advises() {
            return;
        }
        let desired = self.decision.desired.saturating_sub(1);
        self.scale.correct(desired, now);
        self.decision = Decision::fixed(desired, desired, Reason::Asleep);
    }

    /// Notes which workers have nothing to do.
    pub(in crate::core) fn note_idle(&mut self, is_trusted: bool, now: Duration) {
        let measured = &self.measured;
        let is_alone = self.ready() <= 1;
        let nothing = is_trusted && measured.queued == 0;
        let nothing_at_all = measured.current == 0 && measured.load.arrivals == 0;
        for worker in &mut self.workers {
            let is_ready = worker.is_ready();
            let has_none = self.tracker.in_flight(worker.id()) == 0;
            let idle = nothing && has_none && (nothing_at_all || (is_ready && !is_alone));
            if idle {
                worker.idle_since.get_or_insert(now);
            } else {
                worker.idle_since = None;
            }
        }
    }
}
