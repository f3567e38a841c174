//! The gateway as the program sees it.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use arc_swap::ArcSwap;
use penstock_config::{
    AccessLogTo, Config, GatewaySettings, Listener,
    fleet::{FleetSnapshot, LoadReport},
};
use tokio::sync::{mpsc, watch};

use crate::{
    base::{clock::Clock, refusal::RefusalLog, tally::Tally},
    count::metrics::{DeploymentMetrics, Page},
    fleet::poke::Poke,
    listen::server::{Drained, Threads},
    route::table::Table,
    run::{follower::Follower, insight::Insight},
    settle::{
        access_log::{AccessLog, CurrentLog},
        thread::Shared,
    },
    socket::{terms::Settings, tls::Handshakes},
};

/// Services of which the metrics page has the lines in memory at once.
const SERVICES_AT_ONCE: usize = 256;

/// Why a gateway could not start, or could not take a new configuration.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// An address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// The access log cannot be written.
    #[error("gateway.access_log.path: cannot write {}", .0.display())]
    AccessLog(PathBuf, #[source] std::io::Error),
}

/// A running gateway.
pub struct Gateway {
    shared: Arc<Shared>,
    threads: Threads,
    settings: GatewaySettings,
}

impl Gateway {
    /// Starts the threads and follows `fleet`, but accepts nothing until [`Self::apply`] names
    /// addresses. Reports go to `reports`.
    pub fn start(
        settings: &GatewaySettings,
        fleet: watch::Receiver<Arc<FleetSnapshot>>,
        reports: mpsc::Sender<LoadReport>,
    ) -> Result<Self, GatewayError> {
        let shared = Arc::new(Shared {
            clock: Clock::start(),
            table: ArcSwap::from_pointee(Table::new(Vec::new(), None)),
            leaving: ArcSwap::default(),
            settings: ArcSwap::from_pointee(Settings::new(settings)),
            access_log: CurrentLog::new(open_log(settings)?),
            unrouted: DeploymentMetrics::unrouted(),
            open: AtomicUsize::new(0),
            upstream_places: Arc::default(),
            crowd: Arc::default(),
            accept_errors: Tally::default(),
            floods: Tally::default(),
            refused_headers: Tally::default(),
            refusals: RefusalLog::default(),
            handshakes: Handshakes::default(),
            certificates: ArcSwap::default(),
            obeyed: watch::Sender::new(0),
            poke: Poke::default(),
            reminders: Arc::default(),
        });
        let threads = Threads::start(settings.threads, &shared).map_err(GatewayError::Thread)?;
        let mut follower = Follower::new(Arc::clone(&shared), settings.threads);
        // What is known already is obeyed before the first connection is accepted.
        follower.apply(&fleet.borrow().clone());
        follow(follower, Arc::clone(&shared), fleet, reports).map_err(GatewayError::Thread)?;
        Ok(Self {
            shared,
            threads,
            settings: settings.clone(),
        })
    }

    /// Returns when the snapshot of this generation, or a newer one, is in force for every request
    /// that comes from now on.
    pub async fn obeys(&self, generation: u64) {
        let mut obeyed = self.shared.obeyed.subscribe();
        // The sender is in `shared`, so it is there as long as we are.
        let _ = obeyed.wait_for(|obeyed| *obeyed >= generation).await;
    }

    /// Takes the listeners and settings of a configuration. Services come by snapshots.
    ///
    /// On an error nothing has changed. The number of threads stays as it was at the start.
    pub fn apply(&mut self, config: &Config) -> Result<(), GatewayError> {
        let new = &config.gateway;
        let log = if new.access_log == self.settings.access_log {
            None
        } else {
            Some(open_log(new)?)
        };
        self.threads
            .listen(&config.listeners)
            .map_err(|(address, error)| GatewayError::Listen(address, error))?;
        let certificates = config.certificates().cloned().collect();
        self.shared.certificates.store(Arc::new(certificates));
        if let Some(log) = log {
            self.shared.access_log.store(log);
        }
        let settings = Settings::new(new);
        let head_max = settings.limits.max_header_bytes;
        let places = &self.shared.upstream_places;
        places.limit(settings.most.upstream, head_max);
        self.shared.settings.store(Arc::new(settings));
        self.settings = new.clone();
        Ok(())
    }

    /// The addresses accepted on, with the ports that were taken for port 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.threads.addresses()
    }

    /// The listeners as the configuration has them, with the addresses accepted on.
    pub fn listeners(&self) -> Vec<(SocketAddr, Listener)> {
        self.threads.listeners()
    }

    /// Opens the access log's file again, after it was rotated.
    pub fn reopen_access_log(&self) {
        if let Some(log) = &*self.shared.access_log.load() {
            log.reopen();
        }
    }

    /// Tells why a service may be slow.
    pub fn insight(&self) -> Insight {
        Insight::new(Arc::clone(&self.shared), self.threads.asker())
    }

    /// Writes the gateway's part of `/metrics`, in Prometheus' text format, piece by piece, until what
    /// it is given to wants no more.
    pub fn metrics(&self) -> impl Fn(&mut dyn FnMut(String) -> bool) -> bool + Send + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move |take| {
            let table = shared.table.load_full();
            let removed = shared.removed(&table);
            let services: Vec<_> = table.services().chunks(SERVICES_AT_ONCE).collect();
            let fill = |page: &mut Page, part: usize| match part.checked_sub(1) {
                None => {
                    shared.write_metrics(page);
                    for deployment in &removed {
                        deployment.write_last_metrics(page);
                    }
                }
                Some(part) => services[part]
                    .iter()
                    .for_each(|service| service.write_metrics(page)),
            };
            Page::write(1 + services.len(), fill, take)
        }
    }

    /// Stops accepting, finishes what is in flight within `timeout`, and ends all threads. Returns
    /// at once when nothing is open.
    pub async fn drain(self, timeout: Duration) -> Drained {
        let drained = self.threads.drain(timeout).await;
        if let Some(log) = self.shared.access_log.take() {
            // Not here: it may be that nobody reads it. That it panics nobody needs to know any more.
            let _ = tokio::task::spawn_blocking(move || log.finish()).await;
        }
        drained
    }
}

fn open_log(settings: &GatewaySettings) -> Result<Option<Arc<AccessLog>>, GatewayError> {
    AccessLog::open(&settings.access_log)
        .map(|log| log.map(Arc::new))
        .map_err(|error| {
            let path = match &settings.access_log.to {
                AccessLogTo::File(path) | AccessLogTo::Unasked(path) => path.clone(),
                AccessLogTo::Nowhere | AccessLogTo::Stdout => PathBuf::from("standard output"),
            };
            GatewayError::AccessLog(path, error)
        })
}

/// Runs the follower and the reminders on a thread of their own, until the process ends.
fn follow(
    follower: Follower,
    shared: Arc<Shared>,
    fleet: watch::Receiver<Arc<FleetSnapshot>>,
    reports: mpsc::Sender<LoadReport>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    std::thread::Builder::new()
        .name("gateway-fleet".to_owned())
        .spawn(move || {
            let reminders = shared.reminders.run(shared.clock);
            runtime.block_on(async { tokio::join!(follower.run(fleet, reports), reminders) })
        })?;
    Ok(())
}
