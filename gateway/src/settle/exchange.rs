//! The account of one request, settled when it is dropped, on every way out.
//!
//! An exchange begins with the request head and moves along: into the waiting, into the answer's
//! body, into a tunnel. Wherever it is dropped (answer finished, client gone, worker reset, panic,
//! shutdown), its drop gives the lease back and books the request exactly once.

mod at_worker;
mod elsewhere;
mod own;
mod record;
mod seldom;
mod tokens;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::Method;
use penstock_config::fleet::Stage;

use self::seldom::Seldom;
use crate::{
    base::{
        clock::{Clock, Moment},
        dialect::Dialect,
        grpc,
        headers::{Forwarding, RequestId},
        reason::Reason,
    },
    count::{clients::ClientId, metrics::Settled, open::Listed},
    fleet::{deployment::DeploymentState, lease::Lease, pick_by::PickBy},
    request::{request_head::LoggedHead, request_key::NamedKey},
    settle::{thread::Thread, upload::Upload},
    socket::{client_gone::acknowledged, connection::Connection},
    upstream::answer_health::AnswerHealth,
};

/// Status in logs and metrics of a request whose client left before the answer's end (nginx's
/// number for it).
const CLIENT_GONE: u16 = 499;

/// What is known so far of how the worker did.
#[derive(Debug, Default)]
struct Judged {
    /// Time from getting the worker to the head of an answer that is good so far.
    head_took: Option<Duration>,
    /// Whether its trailers tell how it went (gRPC), and what they said.
    by_trailers: Option<AnswerHealth>,
}

/// One request from its head to the end of its answer.
pub(crate) struct Exchange {
    connection: Arc<Connection>,
    started: Duration,
    /// Whether the client speaks gRPC.
    pub(crate) is_grpc: bool,
    /// The API that it speaks, as far as that is known: how errors are told.
    pub(crate) dialect: Dialect,
    /// Whether client and worker may be silent for as long as they like.
    pub(crate) is_conversation: bool,
    /// When it could take a place at a worker.
    ready_at: Duration,
    /// Whether the answer must have no body, whatever its head says.
    is_head: bool,
    /// When the whole exchange has lasted too long, and what to call that.
    pub(crate) deadline: Option<(Duration, Reason)>,
    /// The id the request goes by, once it has one.
    pub(crate) request_id: Option<RequestId>,
    /// The API key that let it in, where the service has keys.
    pub(crate) api_key: Option<Arc<NamedKey>>,
    /// What it brings to the choice of its worker.
    pub(crate) pick_by: PickBy,
    /// Whose request it is, as far as the service tells clients apart.
    pub(crate) client: ClientId,
    /// Whether the client named the deployment by its host.
    pub(crate) is_direct: bool,
    /// Whether it may be served by a higher tier of its service.
    pub(crate) may_overflow: bool,
    /// The body being sent, if the request has one.
    pub(crate) upload: Option<Arc<Upload>>,
    /// Time spent on opening a connection to the worker, if one was opened.
    pub(crate) connect_time: Option<Duration>,
    /// Attempts after the first.
    pub(crate) retries: u32,
    /// Its place among the open requests of its thread.
    pub(crate) listed: Listed,
    deployment: Option<Arc<DeploymentState>>,
    lease: Option<Lease>,
    worker_slot: Option<u32>,
    leased_at: Duration,
    judged: Judged,
    first_byte: Option<Duration>,
    status: u16,
    reason: Option<Reason>,
    bytes_out: u64,
    complete: bool,
    logged: Option<LoggedHead>,
    seldom: Option<Box<Seldom>>,
}

impl Exchange {
    /// A request whose head just came in.
    #[inline]
    pub(crate) fn begin(
        connection: &Arc<Connection>,
        method: &Method,
        content_type: Option<&[u8]>,
        logged: Option<LoggedHead>,
    ) -> Self {
        connection.request_began();
        let started = connection.now();
        Self {
            connection: Arc::clone(connection),
            started,
            ready_at: started,
            dialect: Dialect::default(),
            is_grpc: content_type.is_some_and(grpc::is_grpc),
            is_conversation: content_type.is_some_and(grpc::is_conversation),
            is_head: *method == Method::HEAD,
            deadline: None,
            request_id: None,
            api_key: None,
            pick_by: PickBy::default(),
            client: ClientId::UNTOLD,
            is_direct: false,
            may_overflow: false,
            upload: None,
            connect_time: None,
            retries: 0,
            listed: Listed::default(),
            deployment: None,
            lease: None,
            worker_slot: None,
            leased_at: Duration::ZERO,
            judged: Judged::default(),
            first_byte: None,
            status: CLIENT_GONE,
            reason: None,
            bytes_out: 0,
            complete: false,
            logged,
            seldom: None,
        }
    }

    /// The thread it lives on.
    pub(crate) fn thread(&self) -> Arc<Thread> {
        Arc::clone(&self.connection.thread)
    }

    /// Whether the client speaks HTTP/2.
    pub(crate) fn is_h2(&self) -> bool {
        self.connection.h2
    }

    /// Bytes that the client's system has acknowledged on its connection, if that is known.
    pub(crate) fn acknowledged(&self) -> Option<u64> {
        acknowledged(self.connection.fd)
    }

    /// What the client's connection adds about who asked.
    pub(crate) fn forwarding(&self) -> &Forwarding {
        &self.connection.forwarding
    }

    /// The client's connection.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Time since the gateway's start; see [`Connection::now`].
    pub(crate) fn now(&self) -> Duration {
        self.connection.now()
    }

    /// The gateway's clock.
    pub(crate) fn clock(&self) -> Clock {
        self.connection.thread.clock()
    }

    /// Limits the whole exchange by the service's `total` and by what the client set.
    pub(crate) fn limit(&mut self, total: Option<Duration>, by_client: Option<Duration>) {
        let total = total.map(|total| (self.started + total, Reason::TotalTimeout));
        let by_client = by_client.map(|timeout| (self.started + timeout, Reason::Deadline));
        self.deadline = total
            .into_iter()
            .chain(by_client)
            .min_by_key(|&(deadline, _)| deadline);
    }

    /// The sooner of `at` and the exchange's own deadline, and what passes then.
    pub(crate) fn sooner(&self, at: Duration, reason: Reason) -> (Duration, Reason) {
        match self.deadline {
            Some(deadline) if deadline.0 < at => deadline,
            _ => (at, reason),
        }
    }

    /// Why the exchange should be over by now, if it should.
    pub(crate) fn overdue(&self, moment: &Moment) -> Option<Reason> {
        let (deadline, reason) = self.deadline?;
        (moment.now() >= deadline).then_some(reason)
    }

    /// When a piece of the request's body last moved; zero when it has none. A worker's silence counts
    /// from then at the earliest.
    pub(crate) fn upload_moved(&self) -> Duration {
        self.upload
            .as_ref()
            .map_or(Duration::ZERO, |upload| upload.moved())
    }

    /// Whether the client can be told in trailers that a call failed.
    pub(crate) fn takes_grpc_status(&self) -> bool {
        self.is_grpc && self.connection.h2
    }

    /// From now on the request, of this method and path, is part of `deployment`'s load.
    pub(crate) fn enter(&mut self, deployment: &Arc<DeploymentState>, named: (&str, &[u8])) {
        let (id, client) = (self.request_id.as_ref(), self.connection.peer.ip());
        let address = deployment.address();
        self.listed = Listed::begin(named, id, client, address, self.started);
        deployment
            .load
            .start(self.connection.thread.index, self.started);
        self.deployment = Some(Arc::clone(deployment));
    }

    /// The deployment that it was part of was removed, and from now on it is part of `deployment`'s load.
    pub(crate) fn move_to(&mut self, deployment: &Arc<DeploymentState>) {
        let (thread, now) = (self.connection.thread.index, self.connection.now());
        self.is_nowhere_else();
        deployment.load.start(thread, now);
        self.listed.entry().is_for(deployment.address());
        if let Some(left) = self.deployment.replace(Arc::clone(deployment)) {
            left.load.end(thread, now);
        }
    }

    /// When the request began.
    pub(crate) fn started(&self) -> Duration {
        self.started
    }

    /// When it could take a place at a worker: when it began, or when so much of its body had come as was to be
    /// waited for.
    pub(crate) fn ready_at(&self) -> Duration {
        self.ready_at
    }

    /// It could not take a place before now.
    pub(crate) fn is_ready(&mut self, now: Duration) {
        self.ready_at = now;
    }

    /// The head of an answer passes on to the client.
    pub(crate) fn passes_on(&self) {
        if let Some(upload) = &self.upload {
            upload.is_answered();
        }
    }

    /// A piece of the answer's body passes on to the client.
    pub(crate) fn sent(&mut self, bytes: usize, moment: &Moment) {
        if self.first_byte.is_none() {
            self.first_byte = Some(moment.now());
            self.listed.entry().now_in(Stage::Stream, moment.now());
        }
        if let Some(upload) = self.upload.as_ref().filter(|upload| !upload.ended()) {
            upload.moves(moment.now());
        }
        self.bytes_out += bytes as u64;
    }

    /// Bytes of the answer's body that were passed on.
    pub(crate) fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// A tunnel took over; it ends without an answer's end.
    pub(crate) fn tunnelled(&mut self) {
        self.complete = true;
        self.worker_did_well();
        let now = self.connection.now();
        self.listed.entry().now_in(Stage::Tunnel, now);
        // Its bytes are not an answer's, and its clocks have stopped.
        self.deadline = None;
    }

    /// Bytes went through a tunnel to the client.
    pub(crate) fn tunnel_sent(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// Whether the answer must have no body, whatever its head says.
    pub(crate) fn is_head(&self) -> bool {
        self.is_head
    }

    /// The id that the client and the worker know the request by.
    fn id(&self) -> &str {
        self.request_id.as_ref().map_or("-", RequestId::as_str)
    }

    fn settle(&mut self) {
        let now = self.connection.now();
        self.connection.request_ended(now);
        // Before the lease: where nothing is in flight, nothing is held.
        if let Some(seldom) = &mut self.seldom {
            seldom.held = None;
        }
        if !self.complete {
            self.connection.gives_up();
            self.status = CLIENT_GONE;
        }
        self.lease_ended(now);
        let duration = now.saturating_sub(self.started);
        let first_byte = self.first_byte.map(|at| at.saturating_sub(self.started));
        let settled = Settled {
            status: self.status,
            reason: self.reason,
            duration,
            first_byte,
            queue_wait: self.queue_wait(),
        };
        if let Some(deployment) = &self.deployment {
            deployment.load.end(self.connection.thread.index, now);
            deployment.metrics.request(&settled);
            let thread = self.connection.thread.index;
            let ended = self.ended(duration);
            if ended.failed {
                deployment.errors.fetch_add(1, Ordering::Relaxed);
            }
            deployment.recent.ended(thread, now, ended);
        } else {
            let seldom = self.seldom.as_ref();
            let service = seldom.and_then(|seldom| seldom.turned_away.as_deref());
            service
                .map_or(&self.connection.thread.shared.unrouted, |service| {
                    &service.turned_away
                })
                .request(&settled);
        }
        self.count_tokens(duration);
        let seldom = self.seldom.as_mut();
        if let Some(copy) = seldom.and_then(|seldom| seldom.mirrored.take()) {
            self.tell(copy);
        }
        self.log(duration, first_byte);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.settle();
    }
}
