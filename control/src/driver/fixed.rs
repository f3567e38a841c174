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

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::driver::testing;

    fn driver() -> (StaticDriver, mpsc::UnboundedReceiver<WorkerExit>) {
        let (exits, received) = mpsc::unbounded_channel();
        (StaticDriver::new(exits), received)
    }

    fn worker(slot: u32, addresses: &[&str]) -> NewWorker {
        let addresses = addresses.iter().map(|&address| StaticAddress {
            address: address.to_owned(),
            weight: 1,
        });
        testing::worker(slot, Source::Static(addresses.collect()))
    }

    #[tokio::test]
    async fn the_slot_says_which_address_a_worker_gets() {
        let (driver, _exits) = driver();
        let addresses = ["127.0.0.1:81", "[::1]:82", "localhost:83"];
        let mut found = Vec::new();
        for slot in 0..4 {
            let started = driver.start(&worker(slot, &addresses)).await;
            found.push(started.unwrap().address.port());
        }
        assert_eq!(found, [81, 82, 83, 81]);
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_looked_up_is_a_clear_failure() {
        let (driver, _exits) = driver();
        let error = driver.start(&worker(0, &["no-such-host.invalid:80"])).await;
        let reason = error.unwrap_err().to_string();
        assert!(
            reason.starts_with("looking up no-such-host.invalid:80: "),
            "{reason}"
        );
    }

    #[tokio::test]
    async fn a_worker_is_adopted_while_its_address_is_in_the_list() {
        let (driver, _exits) = driver();
        let started = driver.start(&worker(0, &["127.0.0.1:81"])).await.unwrap();
        let listed = worker(5, &["127.0.0.1:80", "127.0.0.1:81"]);
        assert_eq!(
            driver.adopt(&listed, &started.saved).await,
            Some(started.clone())
        );
        let gone = worker(0, &["127.0.0.1:80"]);
        assert_eq!(driver.adopt(&gone, &started.saved).await, None);
        assert_eq!(driver.adopt(&gone, "").await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_leads_elsewhere_ends_the_worker() {
        let (driver, mut exits) = driver();
        let id = worker(0, &[]).id;
        driver.exists(&id, "localhost:80", ([127, 0, 0, 9], 80).into());
        let exit = exits.recv().await.unwrap();
        assert_eq!(exit.id, id);
        let end = ", no longer to 127.0.0.9:80";
        assert!(
            exit.reason.starts_with("localhost:80 now leads to "),
            "{}",
            exit.reason
        );
        assert!(exit.reason.ends_with(end), "{}", exit.reason);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_was_stopped_reports_no_exit() {
        let (driver, mut exits) = driver();
        let id = worker(0, &[]).id;
        driver.exists(&id, "localhost:80", ([127, 0, 0, 9], 80).into());
        driver.stop(&id).await;
        drop(driver);
        assert_eq!(exits.recv().await, None);
    }
}
