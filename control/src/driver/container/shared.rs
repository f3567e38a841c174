//! What the driver of containers and the lives of its workers share.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
};

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use penstock_config::{WorkerLogs, fleet::WorkerId};
use tokio::sync::Notify;

use super::{
    Running,
    engine::{Engine, Trouble},
    exit,
    image::Pulls,
    label,
    life::failed,
    saved::{Reach, Saved},
};
use crate::driver::{
    ExitSender, NewWorker, ProgressSender, StartError,
    process::{
        LogOrder, logs,
        port::{Port, Ports},
    },
};

/// What the driver and the lives of its workers share.
pub(super) struct Shared {
    pub(super) engine: Arc<Engine>,
    pub(super) pulls: Pulls,
    pub(super) installation: String,
    pub(super) logs: WorkerLogs,
    pub(super) ports: Arc<Ports>,
    pub(super) exits: ExitSender,
    pub(super) progress: Mutex<Option<ProgressSender>>,
    pub(super) workers: Mutex<HashMap<WorkerId, Running>>,
    /// Workers of an earlier run that are to be taken over: not to be ended by who sweeps.
    pub(super) spared: Mutex<Spared>,
    pub(super) is_used: AtomicBool,
    pub(super) sweep: Notify,
}

/// Workers of an earlier run. Which of them are to be taken over is told once, and maybe after some of
/// that has been tried.
#[derive(Default)]
pub(super) struct Spared {
    pub(super) waiting: HashSet<WorkerId>,
    pub(super) tried: HashSet<WorkerId>,
}

impl Shared {
    pub(super) fn tell_progress(&self, id: &WorkerId, text: String) {
        if let Some(tell) = &*self.progress.lock() {
            tell(id.clone(), text);
        }
    }

    pub(super) fn claim_port(&self) -> Result<Port, StartError> {
        let no_port = || StartError::NoRoom("no port from 20000 to 29999 is free".to_owned());
        self.ports.claim().ok_or_else(no_port)
    }

    pub(super) fn log_of(&self, worker: &NewWorker) -> LogOrder {
        logs::order(&self.logs, &worker.service, &worker.deployment, worker.slot)
    }

    /// What is to be known of a container, if it runs.
    pub(super) async fn living(
        &self,
        container: &str,
        saved: &str,
    ) -> Result<Option<Saved>, Trouble> {
        let docker = self.engine.client().await?;
        let found = match docker.inspect_container(container, None).await {
            Ok(found) => found,
            Err(error) => {
                return match self.engine.trouble(&error) {
                    Trouble::NotThere(_) => Ok(None),
                    other => Err(other),
                };
            }
        };
        if found.state.and_then(|state| state.running) != Some(true) {
            return Ok(None);
        }
        // A crash may have come before it was written down: the container itself knows it too.
        let labels = found.config.and_then(|config| config.labels);
        let label = labels.and_then(|mut labels| labels.remove(label::SAVED));
        let saved = Saved::from_text(saved).or_else(|| Saved::from_text(&label?));
        Ok(saved)
    }

    /// Where a container is reached.
    pub(super) async fn address(
        &self,
        container: &str,
        reach: &Reach,
    ) -> Result<SocketAddr, StartError> {
        let (network, port) = match reach {
            Reach::Loopback(port) => return Ok(([127, 0, 0, 1], *port).into()),
            Reach::Network(network, port) => (network, *port),
        };
        let docker = self.engine.client().await.map_err(failed)?;
        let found = docker.inspect_container(container, None).await;
        let found = found.map_err(|error| failed(self.engine.trouble(&error)))?;
        let settings = found.network_settings.as_ref();
        let own = settings.and_then(|settings| settings.networks.as_ref()?.get(network));
        match own.and_then(|own| own.ip_address.as_ref()?.parse().ok()) {
            Some(address) => Ok(SocketAddr::new(address, port)),
            // One that has ended already has none, and mostly that is the matter.
            None => Err(StartError::Failed(format!(
                "the container has no address in network {network} ({})",
                exit::reason(&found, None)
            ))),
        }
    }

    pub(super) fn sweep_later(&self) {
        self.sweep.notify_one();
    }

    /// Ends the containers of this installation whose worker nobody knows; gives their workers.
    pub(super) async fn sweep_now(&self) -> Result<Vec<WorkerId>, Trouble> {
        let all = self.engine.containers(&self.installation, None).await?;
        let unknown = all.into_iter().filter_map(|(container, worker)| {
            let id = WorkerId(worker.as_str().into());
            // Workers are noted before their containers are made, so that none is seen and not known.
            let is_known =
                self.workers.lock().contains_key(&id) || self.spared.lock().waiting.contains(&id);
            (!is_known).then_some((container, id))
        });
        let ended = unknown.map(async |(container, id)| {
            self.engine.remove(&container).await?;
            Ok(id)
        });
        try_join_all(ended).await
    }
}
