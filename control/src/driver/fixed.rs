//! Workers at addresses that the user gave: nothing is started or stopped.
//!
//! Each address is a worker that exists from the start. A host name is looked up again and again;
//! when it leads elsewhere, the worker counts as ended and the next one takes its place.
//!
//! Behind a name there may be several addresses, such as `::1` and `127.0.0.1` behind `localhost`. They
//! are tried as browsers do, one shortly after the other, and the first that takes a connection is the
//! worker's. When it does not take any later and another one does, the name leads there from then on.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use penstock_config::{Source, StaticAddress, fleet::WorkerId};
use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpStream, lookup_host},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{Driver, ExitSender, NewWorker, StartError, StartedWorker, WorkerExit};

/// From one look-up of a host name to the next.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// From one look to the next whether the address in use takes connections, where a name has others.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// The next address of a name is tried when the one before has not answered for so long; RFC 8305
/// recommends it.
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// Longest wait for a connection to any address of a name.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

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

    /// A worker at `socket`, which is one of `all` that its address leads to.
    fn exists(
        &self,
        id: &WorkerId,
        address: &str,
        socket: SocketAddr,
        all: Vec<SocketAddr>,
    ) -> StartedWorker {
        if address.parse::<SocketAddr>().is_err() {
            self.look_again(id.clone(), address.to_owned(), socket, all);
        }
        let address = address.to_owned();
        let saved = Saved { address, socket };
        StartedWorker {
            processes: None,
            gpus: Vec::new(),
            address: socket,
            saved: serde_json::to_string(&saved).expect("two texts have a JSON form"),
        }
    }

    /// Reports an exit once the name does not lead to `socket` any more.
    fn look_again(&self, id: WorkerId, address: String, socket: SocketAddr, all: Vec<SocketAddr>) {
        let (key, exits, looking) = (id.clone(), self.exits.clone(), Arc::clone(&self.looking));
        // Locked until the entry is there, so that the task cannot remove it before.
        let mut entries = self.looking.lock();
        let task = tokio::spawn(async move {
            let now = moved(&address, socket, all).await;
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
        let socket = match sockets.as_slice() {
            // Whether a single one answers is for probes to find out.
            [only] => *only,
            // While none answers, the first is as good as any; the others are tried again later.
            several => first_to_answer(several).await.unwrap_or(several[0]),
        };
        Ok(self.exists(&worker.id, &own.address, socket, sockets))
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
        let all = match look_up(&address).await {
            Ok(sockets) => sockets,
            Err(_) => vec![socket],
        };
        let stayed = all.contains(&socket);
        stayed.then(|| self.exists(&worker.id, &address, socket, all))
    }
}

fn addresses(worker: &NewWorker) -> &[StaticAddress] {
    match &worker.spec.source {
        Source::Static(addresses) => addresses,
        Source::Process(_) | Source::Container(_) => &[],
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

/// The first of some addresses that takes a connection, in their order unless an earlier one is slow.
/// `None` when none does.
async fn first_to_answer(sockets: &[SocketAddr]) -> Option<SocketAddr> {
    let mut tries = JoinSet::new();
    let race = async {
        for &socket in sockets {
            tries.spawn(async move { TcpStream::connect(socket).await.ok().map(|_| socket) });
            // A refusal makes way for the next one at once.
            let answer = timeout(NEXT_AFTER, next_to_answer(&mut tries)).await;
            if let Ok(Some(socket)) = answer {
                return Some(socket);
            }
        }
        next_to_answer(&mut tries).await
    };
    timeout(CONNECT_LIMIT, race).await.ok().flatten()
}

/// The next of these tries that succeeds; `None` when all have failed.
async fn next_to_answer(tries: &mut JoinSet<Option<SocketAddr>>) -> Option<SocketAddr> {
    while let Some(ended) = tries.join_next().await {
        if let Ok(Some(socket)) = ended {
            return Some(socket);
        }
    }
    None
}

/// Returns, with where it leads now, once a name does not lead to `socket` any more, or there in vain
/// while another of its addresses takes connections. While it cannot be looked up it is believed to
/// lead where it did, to `all`.
async fn moved(address: &str, socket: SocketAddr, mut all: Vec<SocketAddr>) -> SocketAddr {
    let mut since_look_up = Duration::ZERO;
    loop {
        let pause = if all.len() > 1 { TRY_AGAIN } else { LOOK_AGAIN };
        sleep(pause).await;
        since_look_up += pause;
        if since_look_up >= LOOK_AGAIN {
            since_look_up = Duration::ZERO;
            match look_up(address).await {
                Ok(sockets) if sockets.contains(&socket) => all = sockets,
                Ok(sockets) => return first_to_answer(&sockets).await.unwrap_or(sockets[0]),
                Err(error) => tracing::warn!(%error, "a static worker keeps its last address"),
            }
        }
        if let Some(better) = better(&all, socket).await {
            return better;
        }
    }
}

/// Another address that takes connections while `socket` does not.
async fn better(all: &[SocketAddr], socket: SocketAddr) -> Option<SocketAddr> {
    let others: Vec<_> = all
        .iter()
        .copied()
        .filter(|other| *other != socket)
        .collect();
    if others.is_empty() || first_to_answer(&[socket]).await.is_some() {
        return None;
    }
    first_to_answer(&others).await
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio::{net::TcpListener, sync::mpsc};

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
        let socket = ([127, 0, 0, 9], 80).into();
        driver.exists(&id, "localhost:80", socket, vec![socket]);
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
        let socket = ([127, 0, 0, 9], 80).into();
        driver.exists(&id, "localhost:80", socket, vec![socket]);
        driver.stop(&id).await;
        drop(driver);
        assert_eq!(exits.recv().await, None);
    }

    async fn listener(ip: [u8; 4]) -> TcpListener {
        TcpListener::bind((IpAddr::from(ip), 0)).await.unwrap()
    }

    #[tokio::test]
    async fn of_several_addresses_the_first_that_takes_connections_is_used() {
        let listening = listener([127, 0, 0, 1]).await;
        let works = listening.local_addr().unwrap();
        let gone = ([127, 0, 0, 9], works.port()).into();
        assert_eq!(first_to_answer(&[gone, works]).await, Some(works));
        assert_eq!(first_to_answer(&[works, gone]).await, Some(works));
        assert_eq!(first_to_answer(&[gone]).await, None);
    }

    #[tokio::test]
    async fn a_name_whose_first_address_refuses_leads_to_the_next() {
        let (driver, _exits) = driver();
        let listening = listener([127, 0, 0, 1]).await;
        let works = listening.local_addr().unwrap();
        // Where the resolver gives ::1 first, nobody listens there.
        let address = format!("localhost:{}", works.port());
        let started = driver.start(&worker(0, &[&address])).await;
        assert_eq!(started.unwrap().address, works);
    }

    #[tokio::test]
    async fn an_address_that_answers_no_more_gives_way_to_one_that_does() {
        let listening = listener([127, 0, 0, 1]).await;
        let works = listening.local_addr().unwrap();
        let gone = ([127, 0, 0, 9], works.port()).into();
        assert_eq!(better(&[gone, works], gone).await, Some(works));
        assert_eq!(better(&[gone, works], works).await, None);
        assert_eq!(better(&[gone], gone).await, None, "it has no other");
    }
}
