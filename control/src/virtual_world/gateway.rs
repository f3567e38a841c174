//! A gateway as control sees it: gates, queues, counts, reports.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use penstock_config::fleet::{
    DeploymentFleet, DeploymentLoad, FleetSnapshot, LoadReport, Phase, WorkerId, WorkerState,
};

use super::door::{Door, Request};
use crate::core::Key;

/// From one report to the next.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A gateway between the requests of a world and the workers that it is told of: first come, first served, to the
/// least busy. It knows the deployments that it was told of.
pub struct Gateway {
    id: u64,
    started_at: Duration,
    sequence: u64,
    /// Which snapshot it obeys.
    pub generation: u64,
    doors: BTreeMap<Key, Door>,
    /// How long snapshots and reports are under way.
    pub delay: Duration,
    /// How long it gathers requests that find no worker before it reports them: none, but for worlds with many.
    pub gathers: Duration,
    /// Whether its reports get lost.
    pub is_silent: bool,
    next_report: Duration,
    poke_at: Option<Duration>,
    /// Reports under way, with their time of arrival.
    sent: VecDeque<(Duration, LoadReport)>,
    /// Snapshots under way, with their time of arrival.
    coming: VecDeque<(Duration, Arc<FleetSnapshot>)>,
    /// Requests that ended well.
    pub answered: u64,
    /// How long each request waited that got a worker.
    pub waits: Vec<Duration>,
}

impl Gateway {
    /// It knows of nothing yet.
    pub fn new(id: u64, now: Duration) -> Self {
        Self {
            id,
            started_at: now,
            sequence: 0,
            generation: 0,
            doors: BTreeMap::new(),
            delay: Duration::ZERO,
            gathers: Duration::ZERO,
            is_silent: false,
            next_report: now,
            poke_at: None,
            sent: VecDeque::new(),
            coming: VecDeque::new(),
            answered: 0,
            waits: Vec::new(),
        }
    }

    /// It was restarted: it counts from zero and obeys nothing yet; requests in flight and queued go on, as those
    /// of clients that come back.
    pub fn restart(&mut self, now: Duration) {
        (self.id, self.started_at, self.sequence) = (self.id + 1, now, 0);
        (self.next_report, self.poke_at) = (now, None);
        self.sent.clear();
        self.coming.clear();
        for door in self.doors.values_mut() {
            door.count_anew(now);
        }
    }

    /// It was killed together with control: it knows of no worker, and its clients come back.
    pub fn crash(&mut self, now: Duration) {
        self.restart(now);
        self.generation = 0;
        for door in self.doors.values_mut() {
            door.crash(now);
        }
    }

    /// A snapshot is on its way.
    pub fn publish(&mut self, snapshot: &Arc<FleetSnapshot>, now: Duration) {
        self.coming
            .push_back((now + self.delay, Arc::clone(snapshot)));
    }

    /// A request comes, be the deployment known yet or not.
    pub fn arrive(&mut self, key: &Key, request: Request, now: Duration) {
        if self.door_mut(key, now).arrive(request, now) {
            self.poke_at.get_or_insert(now + self.gathers);
        }
    }

    /// Mirrored copies come for a deployment that they may wake.
    pub fn copy(&mut self, key: &Key, count: u64, now: Duration) {
        if self.door_mut(key, now).copy(count) {
            self.poke_at = Some(now);
        }
    }

    /// So many clients do not ask again.
    pub fn send_away(&mut self, key: &Key, count: u32) {
        if let Some(door) = self.doors.get_mut(key) {
            door.send_away(count);
        }
    }

    /// Takes over snapshots that have come, ends requests, fills workers; how many requests are refused because
    /// no worker can come.
    pub fn run(&mut self, now: Duration) -> u64 {
        while self.coming.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, snapshot)) = self.coming.pop_front() {
                self.obey(&snapshot, now);
            }
        }
        let mut refused = 0;
        for door in self.doors.values_mut() {
            self.answered += door.end_requests(now);
            door.dispatch(&mut self.waits, now);
            refused += door.refuse(now);
        }
        refused
    }

    fn obey(&mut self, snapshot: &FleetSnapshot, now: Duration) {
        self.generation = snapshot.generation;
        for door in self.doors.values_mut() {
            door.is_listed = false;
        }
        for service in &snapshot.services {
            for deployment in &service.deployments {
                let key = Key {
                    service: service.spec.name.clone(),
                    deployment: deployment.spec.name.clone(),
                };
                obey(self.door_mut(&key, now), deployment);
            }
        }
        let doors = self.doors.values_mut();
        doors
            .filter(|door| !door.is_listed)
            .for_each(|door| door.obey(Vec::new()));
    }

    /// A worker is gone; how many requests were cut off.
    pub fn lose(&mut self, id: &WorkerId) -> usize {
        self.doors.values_mut().map(|door| door.lose(id)).sum()
    }

    /// Whether a worker may have a request, now or later.
    pub fn may_use(&self, id: &WorkerId) -> bool {
        self.doors.values().any(|door| door.may_use(id))
    }

    /// When something happens by itself next.
    pub fn next_at(&self) -> Duration {
        let ends = self.doors.values().filter_map(Door::next_end);
        let coming = self.coming.front().map(|(at, _)| *at);
        let sent = self.sent.front().map(|(at, _)| *at);
        let others = [coming, sent, self.poke_at].into_iter().flatten();
        ends.chain(others).fold(self.next_report, Duration::min)
    }

    /// Reports that arrive at control by now.
    pub fn reports_due(&mut self, now: Duration) -> Vec<LoadReport> {
        let is_poked = self.poke_at.is_some_and(|at| at <= now);
        if now >= self.next_report || is_poked {
            if now >= self.next_report {
                self.next_report = now + REPORT_EVERY;
            }
            self.poke_at = None;
            let report = self.report(now);
            if !self.is_silent {
                self.sent.push_back((now + self.delay, report));
            }
        }
        let due = self.sent.iter().take_while(|(at, _)| *at <= now).count();
        self.sent.drain(..due).map(|(_, report)| report).collect()
    }

    fn report(&mut self, now: Duration) -> LoadReport {
        self.sequence += 1;
        let loads = self.doors.iter_mut();
        let loads = loads.map(|(key, door)| door.load(key, now));
        let deployments: Vec<DeploymentLoad> = loads.collect();
        LoadReport {
            gateway: self.id,
            sequence: self.sequence,
            generation: self.generation,
            at: now - self.started_at,
            deployments,
            services: Vec::new(),
        }
    }

    /// One of its deployments.
    pub fn door(&self, key: &Key) -> Option<&Door> {
        self.doors.get(key)
    }

    fn door_mut(&mut self, key: &Key, now: Duration) -> &mut Door {
        self.doors
            .entry(key.clone())
            .or_insert_with(|| Door::new(now))
    }

    /// All its deployments.
    pub fn doors(&self) -> impl Iterator<Item = (&Key, &Door)> {
        self.doors.iter()
    }
}

fn obey(door: &mut Door, deployment: &DeploymentFleet) {
    door.is_listed = true;
    let workers = deployment.workers.iter();
    let workers = workers.map(|worker| (worker.id.clone(), worker.state == WorkerState::Ready));
    door.obey(workers.collect());
    door.limit = deployment.spec.max_concurrency.unwrap_or(u32::MAX);
    door.refuses = matches!(
        deployment.phase,
        Phase::Failed { .. } | Phase::Paused { .. }
    );
}
