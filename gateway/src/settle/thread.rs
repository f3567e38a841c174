//! What a thread of the gateway has to itself, and what all threads share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use penstock_config::Certificate;
use tokio::sync::{Notify, watch};

use crate::{
    base::{
        clock::Clock, reason::Reason, refusal::RefusalLog, reserve::Reserve, swept::Sweeper,
        tally::Tally,
    },
    count::metrics::{DeploymentMetrics, Page, Settled},
    fleet::{deployment::DeploymentState, poke::Poke, reminders::Reminders},
    route::table::Table,
    settle::access_log::CurrentLog,
    socket::{crowd::Crowd, terms::Settings, tls::Handshakes},
    upstream::{Places, Upstreams},
};

/// Bytes of bodies that a thread holds for requests without a worker: 512 of the longest that are read
/// early, by default. When they are used up, requests begin with what has come of theirs.
const EARLY_MAX: u64 = 64 << 20;

/// Bytes of bodies that a thread holds until they have named their models. When they are used up, further long
/// ones are refused.
const NAMED_MAX: u64 = 128 << 20;

/// What all threads share.
pub(crate) struct Shared {
    /// The gateway's clock.
    pub(crate) clock: Clock,
    /// Routes and deployments; swapped whole.
    pub(crate) table: ArcSwap<Table>,
    /// Removed deployments whose last requests are not over yet, or have not been for long.
    pub(crate) leaving: ArcSwap<Vec<Arc<DeploymentState>>>,
    /// Settings that requests look at; swapped whole.
    pub(crate) settings: ArcSwap<Settings>,
    /// The access log, when there is one.
    pub(crate) access_log: CurrentLog,
    /// Counts of requests that reached no deployment.
    pub(crate) unrouted: DeploymentMetrics,
    /// Downstream connections and tunnels open on all threads.
    pub(crate) open: AtomicUsize,
    /// How many connections to workers there may be.
    pub(crate) upstream_places: Arc<Places>,
    /// How many connections of clients there may be, and which gives way.
    pub(crate) crowd: Arc<Crowd>,
    /// How often this machine lacked what it takes to accept a connection.
    pub(crate) accept_errors: Tally,
    /// HTTP/2 connections cut off because they only made work.
    pub(crate) floods: Tally,
    /// Connections that did not begin with the PROXY protocol header they should have.
    pub(crate) refused_headers: Tally,
    /// Bounds how many refusals are logged.
    pub(crate) refusals: RefusalLog,
    /// TLS handshakes with clients.
    pub(crate) handshakes: Handshakes,
    /// The certificates of the listeners.
    pub(crate) certificates: ArcSwap<Vec<Certificate>>,
    /// Generation of the newest snapshot that is in force on all threads.
    pub(crate) obeyed: watch::Sender<u64>,
    /// Makes the reporter report at once.
    pub(crate) poke: Poke,
    /// When deployments are to look after their workers.
    pub(crate) reminders: Arc<Reminders>,
}

impl Shared {
    /// Adds to the metrics page what belongs to no service.
    pub(crate) fn write_metrics(&self, page: &mut Page) {
        page.add_connections(self.open.load(Ordering::Relaxed));
        page.add_refused_headers(self.refused_headers.count());
        page.add_crowd(&self.crowd, &self.floods, &self.accept_errors);
        page.add_tls(&self.handshakes, &self.certificates.load());
        page.add_unrouted(&self.unrouted);
    }

    /// Counts a request whose head could not be read.
    pub(crate) fn head_refused(&self, reason: Reason) {
        self.unrouted.request(&Settled {
            status: reason.status().as_u16(),
            reason: Some(reason),
            duration: Duration::ZERO,
            first_byte: None,
            queue_wait: None,
        });
    }

    /// Removed deployments that `table`, which was read before, does not list.
    pub(crate) fn removed(&self, table: &Table) -> Vec<Arc<DeploymentState>> {
        let mut removed = Vec::clone(&self.leaving.load());
        removed.retain(|deployment| !table.lists(&deployment.service, &deployment.name));
        removed
    }
}

/// One thread of the gateway.
pub(crate) struct Thread {
    /// 0, 1, 2, …
    pub(crate) index: usize,
    /// What all threads share.
    pub(crate) shared: Arc<Shared>,
    /// This thread's connections to workers.
    pub(crate) upstreams: Upstreams,
    /// This thread's answers that go on for a while.
    pub(crate) unread: Sweeper,
    /// Memory for bodies that are read before their requests take places at workers.
    pub(crate) early: Arc<Reserve>,
    /// Memory for bodies that are read until they have named their models.
    pub(crate) named: Arc<Reserve>,
    open: AtomicUsize,
    closed: Notify,
}

impl Thread {
    /// A thread without connections.
    pub(crate) fn new(index: usize, shared: Arc<Shared>) -> Self {
        Self {
            index,
            upstreams: Upstreams::new(Arc::clone(&shared.upstream_places)),
            shared,
            unread: Sweeper::default(),
            early: Reserve::of(EARLY_MAX),
            named: Reserve::of(NAMED_MAX),
            open: AtomicUsize::new(0),
            closed: Notify::new(),
        }
    }

    /// The gateway's clock.
    pub(crate) fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// Time since the gateway's start.
    pub(crate) fn now(&self) -> Duration {
        self.shared.clock.now()
    }

    /// The current settings.
    pub(crate) fn settings(&self) -> arc_swap::Guard<Arc<Settings>> {
        self.shared.settings.load()
    }

    /// Whether requests are logged.
    pub(crate) fn logs_access(&self) -> bool {
        self.shared.access_log.is_on()
    }

    /// Counts a downstream connection or a tunnel until the guard is dropped.
    pub(crate) fn opened(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Clears away what has been idle for too long.
    pub(crate) fn sweep(&self) {
        let now = self.now();
        self.upstreams.sweep(now);
        self.unread.sweep(self.clock());
    }

    /// Downstream connections and tunnels that are open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Returns once no downstream connection and no tunnel is open.
    pub(crate) async fn all_closed(&self) {
        loop {
            let closed = self.closed.notified();
            if self.open() == 0 {
                return;
            }
            closed.await;
        }
    }
}

/// A downstream connection or tunnel that is open.
pub(crate) struct Open(Arc<Thread>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.shared.open.fetch_sub(1, Ordering::Relaxed);
        if self.0.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.closed.notify_waiters();
        }
    }
}
