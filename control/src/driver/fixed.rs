//! Workers at addresses that the user gave: nothing is started or stopped.
//!
//! Each address is a worker that exists from the start. A host name is looked up again and again;
//! when it leads elsewhere, the worker counts as ended and the next one takes its place.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use penstock_config::{Source, StaticAddress, fleet::WorkerId};
use serde::{Deserialize, Serialize};
use tokio::{net::lookup_host, task::AbortHandle, time::timeout};

use super::{Driver, ExitSender, NewWorker, StartError, StartedWorker, WorkerExit};

/// From one look-up of a host name to the next.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Longest wait for an answer about a host name.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(10);

/// Finds workers at given addresses.
///
/// The worker in slot n gets the n-th address of its deployment, counted around: whoever wants a
/// certain address gives a deployment with that one alone.
#[derive(Debug)]
pub struct StaticDriver {
    exits: ExitSender,
    /// What looks up the names of workers again; those at IP addresses have no entry.
    looking: Arc<Mutex<HashMap<WorkerId, Looking>>>,
}

/// Ends with its entry.
#[derive(Debug)]
struct Looking(AbortHandle);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.abort();
    }
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
            looking: Arc::default(),
        }
    }

    fn exists(&self, id: &WorkerId, address: &str, socket: SocketAddr) -> StartedWorker {
        if address.parse::<SocketAddr>().is_err() {
            self.look_again(id.clone(), address.to_owned(), socket);
        }
        let address = address.to_owned();
        let saved = Saved { address, socket };
        StartedWorker {
            address: socket,
            saved: serde_json::to_string(&saved).expect("two texts have a JSON form"),
        }
    }

    /// Reports an exit once the name does not lead to `socket` any more.
    fn look_again(&self, id: WorkerId, address: String, socket: SocketAddr) {
        let (key, exits, looking) = (id.clone(), self.exits.clone(), Arc::clone(&self.looking));
        // Locked until the entry is there, so that the task cannot remove it before.
        let mut entries = self.looking.lock();
        let task = tokio::spawn(async move {
            let now = moved(&address, socket).await;
            let reason = format!("{address} now leads to {now}, no longer to {socket}");
            // A worker that is not noted any more was stopped.
            if looking.lock().remove(&id).is_some() {
                let _ = exits.send(WorkerExit { id, reason });
            }
        });
        entries.insert(key, Looking(task.abort_handle()));
    }
}

#[async_trait]
impl Driver for StaticDriver {
    async fn start(&self, worker: &NewWorker) -> Result<StartedWorker, StartError> {
        let addresses = addresses(worker);
        let own = addresses.iter().cycle().nth(worker.slot as usize);
        let own = own.ok_or_else(|| StartError::Failed("there is no address".to_owned()))?;
        let sockets = look_up(&own.address).await.map_err(StartError::Failed)?;
        Ok(self.exists(&worker.id, &own.address, sockets[0]))
    }

    async fn stop(&self, id: &WorkerId) {
        self.looking.lock().remove(id);
    }

    async fn adopt(&self, worker: &NewWorker, saved: &str) -> Option<StartedWorker> {
        let Saved { address, socket } = serde_json::from_str(saved).ok()?;
        if addresses(worker)
            .iter()
            .all(|given| given.address != address)
        {
            return None;
        }
        // A name that cannot be looked up now is believed to lead where it did.
        let moved = look_up(&address)
            .await
            .is_ok_and(|sockets| !sockets.contains(&socket));
        (!moved).then(|| self.exists(&worker.id, &address, socket))
    }
}

fn addresses(worker: &NewWorker) -> &[StaticAddress] {
    match &worker.spec.source {
        Source::Static(addresses) => addresses,
        Source::Process(_) => &[],
    }
}

/// Every address behind `host:port`; never empty.
async fn look_up(address: &str) -> Result<Vec<SocketAddr>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("looking up {address}: {error}");
    let found = timeout(LOOK_UP_LIMIT, lookup_host(address)).await;
    let found = found.map_err(|_| wrong(&"no answer"))?;
    let sockets: Vec<_> = found.map_err(|error| wrong(&error))?.collect();
    if sockets.is_empty() {
        return Err(wrong(&"it has no address"));
    }
    Ok(sockets)
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
