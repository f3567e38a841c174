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
    effect::{Effect, Memory},
    event::{Moment, NewWorker},
    gpus::{FoundGpu, Holding},
    worker::Worker,
};
use crate::{
    remembered::{DesiredRow, Remembered, WorkerRow},
    reports::Gateways,
    revisions::{Origin, Via},
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
            costs_at: None,
            alarm: None,
            workers_made: 0,
            run: now.wall_ms,
            adopting: 0,
            stale: BTreeSet::new(),
            applied: Vec::new(),
            shutting_down: false,
            secret_key: Arc::new(remembered.key.clone()),
        };
        this.apply(config, None);
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
        self.restore_courses(remembered.revisions);
        let mut kept = Vec::new();
        for row in remembered.workers {
            match self.adopt(&row) {
                Some(id) => kept.push(id),
                None => self.effects.push(Effect::Forget(WorkerId(row.id.into()))),
            }
        }
        // Before the file is looked at: an update goes back to what has been ready.
        for row in remembered.starts {
            if let Some(deployment) = self.named_mut(&row.service, &row.deployment) {
                let took = Duration::from_millis(row.took_ms);
                deployment.starts.remember(took, &row.revision);
            }
        }
        // What the file says new meanwhile is an update of the workers that were taken over.
        self.note_revisions(&Origin::of(Via::Start));
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
            let remembered = history.last();
            deployment.begin_with(history, wall_ms, now);
            let desired = deployment.decision.desired;
            if remembered != Some(desired) && deployment.is_counted() {
                let row = DesiredRow::new(&deployment.key, desired, wall_ms);
                self.effects.push(Effect::Remember(Memory::Desired(row)));
            }
        }
        for (service, deployment) in histories.into_keys() {
            let forget = Memory::NoDemand(service, deployment);
            self.effects.push(Effect::Remember(forget));
        }
        for row in remembered.advice {
            let deployment = self.named_mut(&row.service, &row.deployment);
            if let Some(deployment) = deployment.filter(|deployment| deployment.advises()) {
                deployment.keep_on(row.kept, row.advised, now);
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
        if deployment.course.drained.contains_key(&row.id) {
            // It was told to end, and what it had ended with the last run.
            return None;
        }
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
    /// As many workers are desired as were before, within the bounds. That is not how many there are: in
    /// the middle of an update there are more. Only where nothing is remembered do they count.
    fn begin_with(&mut self, history: History, wall_ms: u64, now: Duration) {
        let remembered = history.last().filter(|_| !self.advises());
        let desired = match (&self.paused, remembered) {
            (None, Some(remembered)) => self.within_bounds(remembered, wall_ms),
            (None, None) => self.running_within_bounds(wall_ms),
            // The first decision lets them go.
            (Some(_), _) => u32::try_from(self.workers.len()).unwrap_or(u32::MAX),
        };
        self.scale = ScaleState::new(desired, history, now);
        self.decision = Decision::fixed(desired, desired, Reason::Asleep);
    }

    /// Whether its desired count is written down: it is neither given nor only advised.
    pub(super) fn is_counted(&self) -> bool {
        !self.is_static() && !self.advises() && self.paused.is_none()
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
        self.within_bounds(running, wall_ms)
    }

    fn within_bounds(&self, workers: u32, wall_ms: u64) -> u32 {
        let bounds = Bounds::at(&self.spec.scaling, wall_ms);
        workers.clamp(bounds.min, bounds.max)
    }
}
