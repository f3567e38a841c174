//! Workers at addresses that the user gave: nothing is started or stopped.
//!
//! Each address is a worker that exists from the start. A host name is looked up again and again;
//! when it leads elsewhere, the worker counts as ended and the next one takes its place.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use penstock_config::{DeploymentName, ServiceName, Source, StaticAddress, fleet::WorkerId};
use serde::{Deserialize, Serialize};
use tokio::{net::lookup_host, task::AbortHandle, time::timeout};

use super::{Driver, ExitSender, NewWorker, StartError, StartedWorker, WorkerExit};

/// From one look-up of a host name to the next.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Longest wait for an answer about a host name.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(10);

/// Gives addresses to workers.
#[derive(Debug)]
pub struct StaticDriver {
    exits: ExitSender,
    workers: Arc<Mutex<HashMap<WorkerId, Held>>>,
}

/// An address that a worker has.
#[derive(Debug)]
struct Held {
    service: ServiceName,
    deployment: DeploymentName,
    address: StaticAddress,
    /// Looks its name up again; `None` until it was found, and for IP addresses.
    looking: Option<AbortHandle>,
}

/// What is kept of a worker.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    address: String,
    socket: SocketAddr,
}

impl StaticDriver {
    /// A driver without workers.
    pub fn new(exits: ExitSender) -> Self {
        Self {
            exits,
            workers: Arc::default(),
        }
    }

    /// Takes an address that no other worker of the deployment has: the one at the place of the
    /// worker's slot if that is free, so that it stays put.
    fn take(&self, worker: &NewWorker) -> Result<StaticAddress, StartError> {
        let addresses = addresses(worker)?;
        let mut workers = self.workers.lock();
        let is_free = |address: &&StaticAddress| {
            !workers.values().any(|held| {
                held.address.address == address.address
                    && held.service == worker.service
                    && held.deployment == worker.deployment
            })
        };
        let own = addresses.get(worker.slot as usize).filter(is_free);
        let Some(address) = own.or_else(|| addresses.iter().find(is_free)).cloned() else {
            let count = addresses.len();
            let message = format!("each of the {count} addresses has a worker");
            return Err(StartError::NoRoom(message));
        };
        workers.insert(worker.id.clone(), Held::new(worker, address.clone()));
        Ok(address)
    }

    /// Takes this very address again; `false` when it is not in the list any more.
    fn take_again(&self, worker: &NewWorker, address: &str) -> bool {
        let addresses = addresses(worker).unwrap_or_default();
        let Some(address) = addresses.iter().find(|given| given.address == address) else {
            return false;
        };
        let held = Held::new(worker, address.clone());
        self.workers.lock().insert(worker.id.clone(), held);
        true
    }

    /// Looks from time to time whether the name still leads to `socket`.
    fn look_again(&self, id: &WorkerId, address: String, socket: SocketAddr) {
        if address.parse::<SocketAddr>().is_ok() {
            return;
        }
        let (key, exits, workers) = (id.clone(), self.exits.clone(), Arc::clone(&self.workers));
        // Locked, so that the task does not remove the entry before it has its handle.
        let mut held = self.workers.lock();
        let Some(entry) = held.get_mut(id) else {
            return;
        };
        let task = tokio::spawn(async move {
            let now = moved(&address, socket).await;
            workers.lock().remove(&key);
            let reason = format!("{address} now leads to {now}, no longer to {socket}");
            let _ = exits.send(WorkerExit { id: key, reason });
        });
        entry.looking = Some(task.abort_handle());
    }
}

impl Held {
    fn new(worker: &NewWorker, address: StaticAddress) -> Self {
        Self {
            service: worker.service.clone(),
            deployment: worker.deployment.clone(),
            address,
            looking: None,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(looking) = &self.looking {
            looking.abort();
        }
    }
}

#[async_trait]
impl Driver for StaticDriver {
    async fn start(&self, worker: &NewWorker) -> Result<StartedWorker, StartError> {
        let address = self.take(worker)?.address;
        let found = look_up(&address).await;
        let socket = found.map(|sockets| sockets[0]).map_err(|error| {
            self.workers.lock().remove(&worker.id);
            StartError::Failed(error)
        })?;
        self.look_again(&worker.id, address.clone(), socket);
        Ok(started(address, socket))
    }

    async fn stop(&self, id: &WorkerId) {
        self.workers.lock().remove(id);
    }

    async fn adopt(&self, worker: &NewWorker, saved: &str) -> Option<StartedWorker> {
        let Saved { address, socket } = serde_json::from_str(saved).ok()?;
        if !self.take_again(worker, &address) {
            return None;
        }
        let sockets = look_up(&address).await;
        // A name that cannot be looked up now is believed to lead where it did.
        if sockets.is_ok_and(|sockets| !sockets.contains(&socket)) {
            self.workers.lock().remove(&worker.id);
            return None;
        }
        self.look_again(&worker.id, address.clone(), socket);
        Some(started(address, socket))
    }

    fn weight(&self, id: &WorkerId) -> u32 {
        self.workers
            .lock()
            .get(id)
            .map_or(1, |held| held.address.weight)
    }
}

fn addresses(worker: &NewWorker) -> Result<&[StaticAddress], StartError> {
    match &worker.spec.source {
        Source::Static(addresses) => Ok(addresses),
        Source::Process(_) => {
            let message = format!("{} has a process, not addresses", worker.deployment);
            Err(StartError::Failed(message))
        }
    }
}

fn started(address: String, socket: SocketAddr) -> StartedWorker {
    let saved = Saved { address, socket };
    StartedWorker {
        address: socket,
        saved: serde_json::to_string(&saved).expect("two texts have a JSON form"),
    }
}

/// Every address behind `host:port`; never empty.
async fn look_up(address: &str) -> Result<Vec<SocketAddr>, String> {
    let found = timeout(LOOK_UP_LIMIT, lookup_host(address)).await;
    let found = found.map_err(|_| format!("looking up {address}: no answer"))?;
    let sockets: Vec<_> = found
        .map_err(|error| format!("looking up {address}: {error}"))?
        .collect();
    match sockets.is_empty() {
        true => Err(format!("looking up {address}: no address")),
        false => Ok(sockets),
    }
}

/// Returns, with where it leads now, once a name does not lead to `socket` any more. While it
/// cannot be looked up it is believed to lead where it did.
async fn moved(address: &str, socket: SocketAddr) -> SocketAddr {
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        match look_up(address).await {
            Ok(sockets) if sockets.contains(&socket) => {}
            Ok(sockets) => return sockets[0],
            Err(error) => tracing::warn!(%error, "a static worker keeps its last address"),
        }
    }
}
