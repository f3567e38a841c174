//! Begins where an earlier run of control ended.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use penstock_config::{Config, fleet::WorkerId};

use super::{
    Core,
    advice::Advice,
    carry_out::at_address,
    deployment::DeploymentState,
    effect::Effect,
    event::{Moment, NewWorker},
    gpus::{FoundGpu, Holding},
    worker::Worker,
};
use crate::{
    remembered::{Remembered, WorkerRow},
    reports::Gateways,
    scale::{Bounds, Decision, History, Reason, ScaleState},
    status::ConfigStatus,
};

impl Core {
    /// Begins to follow a configuration, with what an earlier run left. Workers whose deployment
    /// still exists are taken over; if it changed meanwhile they are replaced as after a reload.
    /// All others are ended. The first snapshot is among the effects.
    pub fn new(config: &Arc<Config>, remembered: Remembered, now: Moment) -> (Self, Vec<Effect>) {
        let workers_ran = !remembered.workers.is_empty();
        let mut this = Self {
            now,
            effects: Vec::new(),
            config: ConfigStatus::default(),
            services: BTreeMap::new(),
            gateways: Gateways::new(workers_ran, now.at),
            owners: HashMap::new(),
            state_failure: None,
            saves: BTreeMap::new(),
            saves_made: 0,
            generation: 0,
            gpus: Default::default(),
            give_way_after: config.gpus.give_way_after,
            wanting: BTreeSet::new(),
            groups_told: Vec::new(),
            touched: BTreeSet::new(),
            due: BTreeMap::new(),
            next_tick: now.at,
            alarm: None,
            workers_made: 0,
            run: now.wall_ms,
            adopting: 0,
            stale: BTreeSet::new(),
            applied: Vec::new(),
            shutting_down: false,
            secret_key: Arc::new(remembered.key.clone()),
        };
        this.apply(config);
        this.take_over(remembered);
        this.tick();
        this.publish();
        this.set_alarm();
        let effects = std::mem::take(&mut this.effects);
        (this, effects)
    }

    fn take_over(&mut self, remembered: Remembered) {
        let Moment {
            at: now, wall_ms, ..
        } = self.now;
        self.restore_traffic(remembered.traffic);
        self.restore_pauses(remembered.pauses);
        let mut kept = Vec::new();
        for row in remembered.workers {
            match self.adopt(&row) {
                Some(id) => kept.push(id),
                None => self.effects.push(Effect::Forget(WorkerId(row.id.into()))),
            }
        }
        let mut histories: HashMap<(String, String), Vec<_>> = HashMap::new();
        for row in remembered.desired {
            let change = (self.now.of_wall_ms(row.at_ms), row.desired);
            histories
                .entry((row.service, row.deployment))
                .or_default()
                .push(change);
        }
        for deployment in self
            .services
            .values_mut()
            .flat_map(|service| service.deployments.values_mut())
        {
            let key = (
                deployment.key.service.to_string(),
                deployment.key.deployment.to_string(),
            );
            let history = History::restore(histories.remove(&key).unwrap_or_default());
            deployment.begin_with(history, wall_ms, now);
        }
        for row in remembered.advice {
            let deployment = self.named_mut(&row.service, &row.deployment);
            if let Some(deployment) = deployment.filter(|deployment| deployment.advises()) {
                deployment.keep_on(row.kept, row.advised, now);
            }
        }
        for row in remembered.starts {
            if let Some(deployment) = self.named_mut(&row.service, &row.deployment) {
                let took = Duration::from_millis(row.took_ms);
                let current = *row.revision == *deployment.revision;
                deployment.starts.remember(took, current);
            }
        }
        self.restore_demand(remembered.demand);
        // What is running and not in the state file, or not wanted any more.
        self.adopting += 1;
        self.effects.push(Effect::Sweep(kept));
    }

    /// Which GPUs this machine has.
    pub(super) fn on_gpus_found(&mut self, found: Vec<FoundGpu>) {
        self.gpus.take_found(found);
        self.next_tick = self.now.at;
    }

    /// A worker that is taken over has GPUs. Nothing was started yet that could have been given them.
    pub(super) fn on_holds(&mut self, id: &WorkerId, gpus: &[String]) {
        if let Some((key, deployment, place)) = self.worker_mut(id) {
            let new = &mut deployment.workers[place].new;
            new.gpus = Some(gpus.into());
            let (slot, id) = (new.slot, id.clone());
            self.gpus.reclaim(gpus, &Holding { id, key, slot });
        }
    }

    /// Takes over one worker; `None` when there is no place for it.
    fn adopt(&mut self, row: &WorkerRow) -> Option<WorkerId> {
        let now = self.now.at;
        let deployment = self.named_mut(&row.service, &row.deployment)?;
        let spec = if deployment.is_static() {
            at_address(&deployment.spec, &row.revision).filter(|_| !row.saved.is_empty())?
        } else {
            Arc::clone(&deployment.spec)
        };
        let key = deployment.key.clone();
        let new = NewWorker {
            id: WorkerId(row.id.as_str().into()),
            service: key.service.clone(),
            deployment: key.deployment.clone(),
            slot: row.slot,
            spec,
            gpus: None,
        };
        let id = new.id.clone();
        deployment.workers.push(Worker::new(
            new.clone(),
            row.revision.as_str().into(),
            true,
            now,
        ));
        self.owners.insert(id.clone(), key);
        self.adopting += 1;
        self.effects.push(Effect::Adopt {
            worker: new,
            saved: row.saved.clone(),
        });
        Some(id)
    }
}

impl DeploymentState {
    /// As many workers are desired as there are, within the bounds.
    fn begin_with(&mut self, history: History, wall_ms: u64, now: Duration) {
        let desired = match &self.paused {
            None => self.running_within_bounds(wall_ms),
            // The first decision lets them go.
            Some(_) => u32::try_from(self.workers.len()).unwrap_or(u32::MAX),
        };
        self.scale = ScaleState::new(desired, history, now);
        self.decision = Decision::fixed(desired, desired, Reason::Asleep);
    }

    /// As many workers are desired as were kept, and as many advised as were, by an earlier run.
    fn keep_on(&mut self, kept: u32, advised: u32, now: Duration) {
        self.scale.correct(advised, now);
        self.advice = Some(Box::new(Advice::new(kept)));
    }

    /// Workers that turned out not to be there are not desired either; but those that are kept are.
    pub(super) fn recount(&mut self, wall_ms: u64, now: Duration) {
        if self.advises() {
            return;
        }
        let desired = self
            .running_within_bounds(wall_ms)
            .min(self.scale.desired());
        self.scale.correct(desired, now);
        self.decision = Decision::fixed(desired, desired, Reason::Asleep);
    }

    fn running_within_bounds(&self, wall_ms: u64) -> u32 {
        let running = u32::try_from(self.workers.len()).unwrap_or(u32::MAX);
        let bounds = Bounds::at(&self.spec.scaling, wall_ms);
        running.clamp(bounds.min, bounds.max)
    }
}
