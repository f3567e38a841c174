//! Obeying snapshots and sending reports, on a thread of its own so that no request waits for it.

mod leaving;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use penstock_config::{
    ServiceName,
    fleet::{FleetSnapshot, LoadReport, ServiceFleet},
};
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use self::leaving::Leaving;
use crate::{
    fleet::{
        deployment::{DeploymentState, Surroundings},
        ejection, pick_by,
        poke::{POKE_EVERY, REPORT_EVERY},
        queue::Places,
    },
    route::table::{ServiceState, Table},
    settle::thread::Shared,
};

/// Follows control's snapshots and reports to it.
pub(crate) struct Follower {
    shared: Arc<Shared>,
    threads: usize,
    services: BTreeMap<ServiceName, Followed>,
    leaving: Leaving,
    generation: u64,
    gateway: u64,
    sequence: u64,
}

struct Followed {
    fleet: Arc<ServiceFleet>,
    state: Arc<ServiceState>,
    places: Arc<Places>,
}

impl Follower {
    /// A follower that knows nothing yet, for a gateway of so many threads.
    pub(crate) fn new(shared: Arc<Shared>, threads: usize) -> Self {
        Self {
            shared,
            threads,
            services: BTreeMap::new(),
            leaving: Leaving::default(),
            generation: 0,
            gateway: rand::random(),
            sequence: 0,
        }
    }

    /// Runs until the gateway ends. When control goes away the last snapshot stays in force.
    pub(crate) async fn run(
        mut self,
        mut fleet: watch::Receiver<Arc<FleetSnapshot>>,
        reports: mpsc::Sender<LoadReport>,
    ) {
        let mut tick = interval(REPORT_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let poke = self.shared.poke.clone();
        let mut control_is_there = true;
        fleet.mark_changed();
        loop {
            tokio::select! {
                changed = fleet.changed(), if control_is_there => match changed {
                    Ok(()) => {
                        let snapshot = Arc::clone(&fleet.borrow_and_update());
                        self.apply(&snapshot);
                        self.report(&reports);
                    }
                    Err(_) => control_is_there = false,
                },
                () = poke.poked() => {
                    self.report(&reports);
                    tokio::time::sleep(POKE_EVERY).await;
                }
                _ = tick.tick() => self.report(&reports),
            }
        }
    }

    pub(crate) fn apply(&mut self, snapshot: &FleetSnapshot) {
        let mut table_changed = false;
        let mut before = std::mem::take(&mut self.services);
        for fleet in &snapshot.services {
            let name = fleet.spec.name.clone();
            let followed = match before.remove(&name) {
                Some(followed) if Arc::ptr_eq(&followed.fleet, fleet) => followed,
                previous => {
                    let (followed, changed) = self.follow(fleet, previous);
                    table_changed |= changed;
                    followed
                }
            };
            self.services.insert(name, followed);
        }
        for removed in before.into_values() {
            table_changed = true;
            let removed = removed.state.deployments.iter();
            self.leaving.add(removed.cloned());
        }
        // Before the table, so that no deployment is on neither list.
        let leaving = Arc::new(self.leaving.all());
        self.shared.leaving.store(Arc::clone(&leaving));
        if table_changed {
            let services = self
                .services
                .values()
                .map(|followed| Arc::clone(&followed.state));
            let table = Table::new(services.collect(), Some(&self.shared.table.load()));
            self.shared.table.store(Arc::new(table));
        }
        // After the table, so that whoever waits there in vain finds the way that leads elsewhere.
        for deployment in leaving.iter() {
            deployment.retire();
        }
        self.generation = snapshot.generation;
        self.shared.obeyed.send_replace(snapshot.generation);
    }

    /// Brings one service up to date; also whether requests must see a new [`ServiceState`].
    fn follow(
        &mut self,
        fleet: &Arc<ServiceFleet>,
        previous: Option<Followed>,
    ) -> (Followed, bool) {
        let places = previous
            .as_ref()
            .map(|previous| Arc::clone(&previous.places))
            .unwrap_or_default();
        let mut known: HashMap<_, _> = previous
            .iter()
            .flat_map(|previous| &previous.state.deployments)
            .map(|deployment| (deployment.name.clone(), Arc::clone(deployment)))
            .collect();
        for returning in self.leaving.take_back(fleet) {
            known.entry(returning.name.clone()).or_insert(returning);
        }
        let policy = pick_by::policy(&fleet.spec);
        let eject = ejection::rules(&fleet.spec.ejection);
        let mut deployments = Vec::with_capacity(fleet.deployments.len());
        for part in &fleet.deployments {
            let state = match known.remove(&part.spec.name) {
                Some(state) => {
                    state.apply(part, policy, eject);
                    state
                }
                None => Arc::new(DeploymentState::new(
                    part,
                    policy,
                    eject,
                    Surroundings {
                        service: &fleet.spec.name,
                        places: Arc::clone(&places),
                        poke: self.shared.poke.clone(),
                        reminders: Arc::clone(&self.shared.reminders),
                        clock: self.shared.clock,
                        threads: self.threads,
                    },
                )),
            };
            deployments.push(state);
        }
        self.leaving.add(known.into_values());
        let unchanged = previous
            .as_ref()
            .filter(|previous| previous.state.suits(fleet))
            .map(|previous| Arc::clone(&previous.state));
        let changed = unchanged.is_none();
        let state = unchanged.unwrap_or_else(|| {
            let previous = previous.as_ref().map(|previous| &*previous.state);
            Arc::new(ServiceState::new(fleet, deployments, previous))
        });
        let followed = Followed {
            fleet: Arc::clone(fleet),
            state,
            places,
        };
        (followed, changed)
    }

    fn report(&mut self, reports: &mpsc::Sender<LoadReport>) {
        let now = self.shared.clock.now();
        if self.leaving.settle(now) {
            self.shared.leaving.store(Arc::new(self.leaving.all()));
        }
        let deployments = self
            .services
            .values()
            .flat_map(|followed| &followed.state.deployments)
            .chain(self.leaving.open())
            .map(|deployment| deployment.report(now))
            .collect();
        let services = self.services.values();
        let services = services.filter_map(|followed| followed.state.report());
        let services = services.collect();
        self.sequence += 1;
        let report = LoadReport {
            gateway: self.gateway,
            sequence: self.sequence,
            generation: self.generation,
            at: now,
            deployments,
            services,
        };
        // A full channel means that control is busy. The next report says everything again.
        let _ = reports.try_send(report);
    }
}
