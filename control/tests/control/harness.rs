//! A control service with fake workers, and a gateway made of a few numbers.

mod gateway;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use penstock_config::{
    Config,
    fleet::{DeploymentFleet, FleetSnapshot, LoadReport, Outcomes, Phase, WorkerId, WorkerState},
};
use penstock_control::{
    Control, ControlError, Drivers,
    driver::fixed::StaticDriver,
    revisions::{Origin, Via},
    store::{DemandRow, JournalQuery, Remembered, Store},
};
use tokio::sync::{mpsc, watch};

use crate::fake_driver::FakeDriver;

/// Long enough for everything that is meant to happen soon, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// From one look to the next at what does not tell when it changes.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub(crate) struct Harness {
    pub(crate) control: Arc<Control>,
    pub(crate) driver: Arc<FakeDriver>,
    pub(crate) fleet: watch::Receiver<Arc<FleetSnapshot>>,
    folder: Arc<tempfile::TempDir>,
    reports: mpsc::Sender<LoadReport>,
    sequence: u64,
    /// Whoever is queued in a report has just come.
    arrivals: u64,
    /// What has been reported of every deployment.
    outcomes: BTreeMap<String, Outcomes>,
    began: tokio::time::Instant,
}

/// The configuration with these services.
pub(crate) fn config(folder: &Path, services: &str) -> Arc<Config> {
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\nstate = \"state.db\"\n{services}"
    );
    let config = penstock_config::parse(&text, &folder.join("penstock.toml"));
    Arc::new(config.unwrap_or_else(|errors| panic!("{errors}")))
}

/// One service `chat` with a deployment `stable` that runs `command`.
pub(crate) fn chat(command: &str, more: &str) -> String {
    format!(
        "[services.chat.deployments.stable]\nprocess = {{ command = [\"{command}\"] }}\n\
         probes.ready = {{ tcp = true }}\n{more}\n"
    )
}

impl Harness {
    pub(crate) async fn start(services: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        Self::start_in(folder, services, None)
            .await
            .expect("control starts")
    }

    /// As [`Self::start`], with what an earlier run left in the state file.
    pub(crate) async fn start_after(left: Vec<DemandRow>, services: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let (store, _) = Store::open(&folder.path().join("state.db")).expect("a new file");
        left.into_iter().for_each(|row| store.put_demand(row));
        store.close().await;
        Self::start_in(folder, services, None)
            .await
            .expect("control starts")
    }

    /// Waits until control has broken down; what it says of that.
    pub(crate) async fn until_failed(&self) -> String {
        loop {
            if let Some(failure) = self.control.failure() {
                return failure;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What is left in the state file after control has ended.
    pub(crate) async fn end(self) -> Remembered {
        self.control.crash().await;
        let file = self.folder.path().join("state.db");
        let (store, remembered) = Store::open(&file).expect("it is free");
        store.close().await;
        remembered
    }

    /// Another control on the same state file, with the workers of the first.
    pub(crate) async fn again(self, services: &str) -> Self {
        let Self {
            control,
            driver,
            folder,
            ..
        } = self;
        control.crash().await;
        Self::start_in(folder, services, Some(driver))
            .await
            .expect("control starts")
    }

    pub(crate) async fn another_on_the_same_state(
        &self,
        services: &str,
    ) -> Result<Self, ControlError> {
        Self::start_in(Arc::clone(&self.folder), services, None).await
    }

    async fn start_in(
        folder: Arc<tempfile::TempDir>,
        services: &str,
        driver: Option<Arc<FakeDriver>>,
    ) -> Result<Self, ControlError> {
        let (exits, exited) = mpsc::unbounded_channel();
        let driver = driver.unwrap_or_else(|| FakeDriver::new(exits.clone()));
        let fixed = Arc::new(StaticDriver::new(exits));
        let drivers = Drivers {
            process: Arc::clone(&driver) as _,
            container: Arc::clone(&driver) as _,
            fixed,
        };
        let config = config(folder.path(), services);
        let control = Arc::new(Control::start_with(config, drivers, exited).await?);
        let (fleet, reports) = (control.fleet(), control.reports());
        let began = tokio::time::Instant::now();
        Ok(Self {
            control,
            driver,
            fleet,
            folder,
            reports,
            sequence: 0,
            arrivals: 0,
            outcomes: BTreeMap::new(),
            began,
        })
    }

    pub(crate) async fn apply(&self, services: &str) {
        self.control
            .apply(config(self.folder.path(), services), Origin::of(Via::File))
            .await;
    }

    /// Looks until there is something to see. The one place where these tests poll: for what control
    /// says when it is asked, and for what some reports in a row lead to.
    pub(crate) async fn eventually<T>(
        &mut self,
        mut look: impl AsyncFnMut(&mut Self) -> Option<T>,
    ) -> T {
        let seen = async {
            loop {
                if let Some(seen) = look(self).await {
                    return seen;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, seen).await;
        match seen {
            Ok(seen) => seen,
            Err(_) => panic!("still {:#?}", self.control.status().await),
        }
    }

    /// Waits until the deployment is as wanted; gives it.
    pub(crate) async fn until(
        &mut self,
        wanted: impl Fn(&DeploymentFleet) -> bool,
    ) -> DeploymentFleet {
        let found = self
            .fleet
            .wait_for(|fleet| deployment(fleet).is_some_and(|found| wanted(&found)));
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(fleet) => deployment(&fleet.expect("control lives")).expect("it was there"),
            Err(_) => panic!("still {:#?}", self.control.status().await),
        }
    }

    /// Waits until the deployments of `chat` have these weights in force.
    pub(crate) async fn until_weights(&mut self, wanted: &[(&str, u32)]) {
        let found = self.fleet.wait_for(|fleet| weights(fleet) == wanted);
        if tokio::time::timeout(PATIENCE, found).await.is_err() {
            panic!("not {wanted:?}: {:#?}", self.control.status().await);
        }
    }

    pub(crate) fn weights_are(&self, wanted: &[(&str, u32)]) -> bool {
        weights(&self.fleet.borrow()) == wanted
    }

    /// Waits until so many services are published.
    pub(crate) async fn until_services(&mut self, count: usize) {
        let found = self.fleet.wait_for(|fleet| fleet.services.len() == count);
        let found = tokio::time::timeout(PATIENCE, found).await;
        assert!(
            found.is_ok_and(|fleet| fleet.is_ok()),
            "not {count} services"
        );
    }

    pub(crate) async fn until_ready(&mut self, count: usize) -> Vec<WorkerId> {
        let found = self
            .until(|deployment| ready(deployment).len() == count)
            .await;
        ready(&found)
    }

    /// Waits until the driver runs what is wanted.
    pub(crate) async fn until_running(&self, wanted: impl Fn(&FakeDriver) -> bool) {
        let wait = async {
            loop {
                let changed = self.driver.changed.notified();
                if wanted(&self.driver) {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!(
                "still running {:?}, {:#?}",
                self.driver.running(),
                self.control.status().await
            );
        }
    }

    /// How many workers of `stable` are wanted once everything that was reported is taken in. It waits
    /// for no tick: control answers between two turns, and the first of the two answers may come
    /// before the reports that were there already.
    pub(crate) async fn decided(&self) -> u32 {
        self.control.status().await.expect("control lives");
        let status = self.control.status().await.expect("control lives");
        let mut services = status.services.iter();
        let chat = services.find(|service| service.name == "chat");
        chat.expect("it is there").deployments[0].desired
    }

    /// Waits until so many workers of all services are ready.
    pub(crate) async fn until_all_ready(&mut self, count: usize) {
        let all = |fleet: &FleetSnapshot| {
            let services = fleet.services.iter();
            let deployments = services.flat_map(|service| &service.deployments);
            deployments.map(|found| ready(found).len()).sum::<usize>()
        };
        let found = self.fleet.wait_for(|fleet| all(fleet) == count);
        let found = tokio::time::timeout(PATIENCE * 2, found).await;
        assert!(
            found.is_ok_and(|fleet| fleet.is_ok()),
            "not {count} workers"
        );
    }

    /// What the journal says of this kind about the service `chat`, oldest first.
    pub(crate) async fn journal(&self, kind: &str) -> Vec<String> {
        let query = JournalQuery {
            service: Some("chat".to_owned()),
            deployment: None,
            limit: 1000,
        };
        let entries = self.control.journal(query).await.expect("it can be read");
        let about = entries.into_iter().rev();
        let about = about.filter(|entry| entry.kind == kind);
        about.map(|entry| entry.text).collect()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.fleet.borrow().generation
    }
}

fn weights(fleet: &FleetSnapshot) -> Vec<(&str, u32)> {
    let mut services = fleet.services.iter();
    let chat = services.find(|service| service.spec.name.as_str() == "chat");
    let deployments = chat.map_or(&[][..], |service| &service.deployments);
    deployments
        .iter()
        .map(|found| (found.spec.name.as_str(), found.weight))
        .collect()
}

fn deployment(fleet: &FleetSnapshot) -> Option<DeploymentFleet> {
    let service = fleet
        .services
        .iter()
        .find(|service| service.spec.name.as_str() == "chat")?;
    service
        .deployments
        .iter()
        .find(|found| found.spec.name.as_str() == "stable")
        .cloned()
}

pub(crate) fn ready(deployment: &DeploymentFleet) -> Vec<WorkerId> {
    let ready = deployment
        .workers
        .iter()
        .filter(|worker| worker.state == WorkerState::Ready);
    ready.map(|worker| worker.id.clone()).collect()
}

pub(crate) fn draining(deployment: &DeploymentFleet) -> Vec<WorkerId> {
    let draining = deployment
        .workers
        .iter()
        .filter(|worker| worker.state == WorkerState::Draining);
    draining.map(|worker| worker.id.clone()).collect()
}

pub(crate) fn failure(deployment: &DeploymentFleet) -> Option<&str> {
    match &deployment.phase {
        Phase::Failed { reason, .. } => Some(reason),
        _ => None,
    }
}
