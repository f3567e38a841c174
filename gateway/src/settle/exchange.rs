//! The account of one request, settled when it is dropped, on every way out.
//!
//! An exchange begins with the request head and moves along: into the waiting, into the answer's
//! body, into a tunnel. Wherever it is dropped (answer finished, client gone, worker reset, panic,
//! shutdown), its drop gives the lease back and books the request exactly once.

mod at_worker;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response,
    header::{CONNECTION, CONTENT_LENGTH, LOCATION, SET_COOKIE},
};
use penstock_config::{ServiceName, fleet::Stage};

use crate::{
    admit::{classes::Class, limits::Held},
    base::{
        clock::{Clock, Moment},
        grpc,
        headers::{Forwarding, RequestId},
        outlook::Outlook,
        problem::problem,
        reason::Reason,
        refusal::Refusal,
    },
    count::{clients::ClientId, metrics::Settled, open::Listed, recent::Ended},
    fleet::{deployment::DeploymentState, lease::Lease, placement::Placement},
    request::{request_head::LoggedHead, request_key::NamedKey},
    route::table::ServiceState,
    settle::{access_log::AccessRecord, original::Mirrored, thread::Thread},
    socket::{client_gone::acknowledged, connection::Connection},
    stream::{request_body::Upload, response_body::DownstreamBody},
    upstream::verdict::Verdict,
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
    by_trailers: Option<Verdict>,
}

/// One request from its head to the end of its answer.
pub(crate) struct Exchange {
    connection: Arc<Connection>,
    started: Duration,
    /// Whether the client speaks gRPC.
    pub(crate) is_grpc: bool,
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
    /// Its places in limits on requests at once.
    pub(crate) held: Option<Held>,
    /// The service that did not let it in.
    pub(crate) turned_away: Option<Arc<ServiceState>>,
    /// What it brings to the choice of its worker.
    pub(crate) placement: Placement,
    /// A `Set-Cookie` for the client, whatever the answer is.
    pub(crate) cookie: Option<HeaderValue>,
    /// Whose request it is, as far as the service tells clients apart.
    pub(crate) client: ClientId,
    /// Whether the client named the deployment by its host.
    pub(crate) is_direct: bool,
    /// Its class in the queue.
    pub(crate) class: Option<Arc<Class>>,
    /// The body being sent, if the request has one.
    pub(crate) upload: Option<Arc<Upload>>,
    /// What it had to expect of the queue, where the client is to know.
    pub(crate) outlook: Option<Outlook>,
    /// Time spent in the queue, if it was.
    pub(crate) queue_wait: Option<Duration>,
    /// Time spent on opening a connection to the worker, if one was opened.
    pub(crate) connect_time: Option<Duration>,
    /// The link to its copy, if it has one.
    pub(crate) mirrored: Option<Mirrored>,
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
    /// What happened to it, in full, when that is to be logged.
    detail: Option<Box<str>>,
    bytes_out: u64,
    complete: bool,
    logged: Option<LoggedHead>,
}

impl Exchange {
    /// A request whose head just came in.
    pub(crate) fn begin(
        connection: &Arc<Connection>,
        method: &Method,
        content_type: Option<&[u8]>,
        logged: Option<LoggedHead>,
    ) -> Self {
        connection.request_began();
        let started = connection.thread.now();
        Self {
            connection: Arc::clone(connection),
            started,
            ready_at: started,
            is_grpc: content_type.is_some_and(grpc::is_grpc),
            is_conversation: content_type.is_some_and(grpc::is_conversation),
            is_head: *method == Method::HEAD,
            deadline: None,
            request_id: None,
            api_key: None,
            held: None,
            turned_away: None,
            placement: Placement::default(),
            cookie: None,
            client: ClientId::at(connection.peer.ip()),
            is_direct: false,
            class: None,
            upload: None,
            outlook: None,
            queue_wait: None,
            connect_time: None,
            mirrored: None,
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
            detail: None,
            bytes_out: 0,
            complete: false,
            logged,
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
    pub(crate) fn enter(&mut self, deployment: &Arc<DeploymentState>, named: (&str, &str)) {
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
        let (thread, now) = (self.connection.thread.index, self.connection.thread.now());
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
        let now = self.connection.thread.now();
        self.listed.entry().now_in(Stage::Tunnel, now);
        // Its bytes are not an answer's, and its clocks have stopped.
        self.deadline = None;
    }

    /// Bytes went through a tunnel to the client.
    pub(crate) fn tunnel_sent(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// Answers the request without a worker: the answer, with its whole body.
    pub(crate) fn refused(&mut self, refusal: &Refusal) -> Response<Bytes> {
        self.lease = None;
        self.reason = Some(refusal.reason);
        self.complete = true;
        self.outlook = self.outlook.or(refusal.outlook);
        let after = refusal.told_retry_after(rand::random());
        let full = refusal.in_full();
        let told = match self.connection.thread.settings().error_details {
            true => &*full,
            false => &*refusal.detail,
        };
        let id = self.request_id.as_ref();
        let mut answer = problem(refusal.reason, told, after, self.is_grpc, id);
        if let Some(location) = &refusal.location {
            let location = HeaderValue::clone(location);
            answer.headers_mut().insert(LOCATION, location);
        }
        self.write_own(answer.headers_mut());
        self.status = answer.status().as_u16();
        self.bytes_out = match self.is_head {
            true => 0,
            false => answer.body().len() as u64,
        };
        if refusal.cause.is_some() {
            self.log_cause(refusal.reason, &full);
        }
        if self.logged.is_some() {
            self.detail = Some(full.into());
        }
        answer
    }

    /// The same as hyper writes it.
    pub(crate) fn refuse(mut self: Box<Self>, refusal: &Refusal) -> Response<DownstreamBody> {
        let answer = self.refused(refusal);
        self.own_answer(answer)
    }

    /// Whether the answer must have no body, whatever its head says.
    pub(crate) fn is_head(&self) -> bool {
        self.is_head
    }

    /// The worker's connection broke in the middle of its answer.
    pub(crate) fn broken_by(&mut self, reason: Reason, error: &dyn std::fmt::Display) {
        let error = error.to_string();
        self.log_cause(reason, &error);
        if self.logged.is_some() {
            self.detail = Some(error.into());
        }
    }

    /// Tells the operator what the client is not told, by the id that the client has.
    fn log_cause(&self, reason: Reason, detail: &str) {
        let thread = &self.connection.thread;
        if !reason.status().is_server_error() {
            return;
        }
        let Some(left_out) = thread.shared.refusals.line(thread.now()) else {
            return;
        };
        let deployment = self.deployment.as_deref();
        tracing::warn!(
            request_id = self.id(),
            service = deployment.map(|deployment| deployment.service.as_str()),
            deployment = deployment.map(|deployment| deployment.name.as_str()),
            worker = self.worker_slot,
            reason = reason.slug(),
            left_out = (left_out > 0).then_some(left_out),
            "request failed: {detail}"
        );
    }

    /// The id that the client and the worker know the request by.
    fn id(&self) -> &str {
        self.request_id.as_ref().map_or("-", RequestId::as_str)
    }

    /// Whether [`Self::write_own`] has something to say.
    pub(crate) fn has_own(&self) -> bool {
        self.outlook.is_some() || self.cookie.is_some()
    }

    /// Adds Set-Cookie and the queue headers.
    pub(crate) fn write_own(&self, headers: &mut HeaderMap) {
        if let Some(outlook) = &self.outlook {
            outlook.write(headers, self.queue_wait);
        }
        if let Some(cookie) = &self.cookie {
            headers.append(SET_COOKIE, cookie.clone());
        }
    }

    fn own_answer(self: Box<Self>, answer: Response<Bytes>) -> Response<DownstreamBody> {
        let (mut parts, mut body) = answer.into_parts();
        if self.is_head {
            // hyper leaves the body out of an HTTP/1 answer only.
            let length = std::mem::take(&mut body).len();
            parts.headers.insert(CONTENT_LENGTH, length.into());
        }
        let unread = self.connection.sends_body.load(Ordering::Relaxed);
        if !self.connection.h2 && (unread || self.reason == Some(Reason::BadRequest)) {
            // Where the next request would begin is no longer certain; or there is a body before it
            // that nobody reads. hyper then closes the connection, and a client that was not told
            // would lose the next request.
            parts
                .headers
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Response::from_parts(parts, DownstreamBody::own(body, self))
    }

    fn settle(&mut self) {
        let now = self.connection.thread.now();
        self.connection.request_ended(now);
        // Before the lease: where nothing is in flight, nothing is held.
        self.held = None;
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
            queue_wait: self.queue_wait,
        };
        if let Some(deployment) = &self.deployment {
            deployment.load.end(self.connection.thread.index, now);
            deployment.metrics.request(&settled);
            let thread = self.connection.thread.index;
            deployment.recent.ended(thread, now, self.ended(duration));
        } else {
            let service = self.turned_away.as_deref();
            service
                .map_or(&self.connection.thread.shared.unrouted, |service| {
                    &service.turned_away
                })
                .request(&settled);
        }
        if let Some(copy) = self.mirrored.take() {
            self.tell(copy);
        }
        self.log(duration, first_byte);
    }

    /// What it comes to in the counts of the last minute.
    fn ended(&self, duration: Duration) -> Ended {
        let was_cut = self.reason.is_some() && self.status < 400;
        Ended {
            first_byte: self.first_byte.map(|at| at.saturating_sub(self.started)),
            // What the gateway refuses at once would make a service seem fast.
            whole: self.reason.is_none().then_some(duration),
            failed: self.complete && (self.status >= 500 || was_cut),
            left: !self.complete,
        }
    }

    /// Tells the copy how its original ended; by not telling it, that the client left.
    fn tell(&self, copy: Mirrored) {
        let first_byte = self.first_byte.map(|at| at.saturating_sub(self.leased_at));
        match (self.complete, self.reason) {
            (true, None) => copy.answered(self.status, first_byte, self.bytes_out),
            (true, Some(_)) => copy.refused(),
            (false, _) => {}
        }
    }

    fn log(&mut self, duration: Duration, first_byte: Option<Duration>) {
        let Some(head) = self.logged.take() else {
            return;
        };
        let Some(log) = &*self.connection.thread.shared.access_log.load() else {
            return;
        };
        let deployment = self.deployment.as_deref();
        let (host, path) = head.target();
        log.record(&AccessRecord {
            request_id: self.id(),
            client: self.connection.peer,
            method: head.method.as_str(),
            host,
            path,
            protocol: head.protocol,
            service: deployment
                .map(|deployment| &deployment.service)
                .or_else(|| Some(&self.turned_away.as_deref()?.spec.name))
                .map(ServiceName::as_str),
            deployment: deployment.map(|deployment| deployment.name.as_str()),
            api_key: self.api_key.as_deref().map(|key| &*key.name),
            class: self.class.as_deref().map(|class| &*class.name),
            worker: self.worker_slot,
            status: self.status,
            reason: self.reason.map(Reason::slug),
            detail: self.detail.as_deref(),
            bytes_in: self.upload.as_ref().map_or(0, |upload| upload.bytes()),
            bytes_out: self.bytes_out,
            queue_wait: self.queue_wait,
            connect: self.connect_time,
            first_byte,
            duration,
            retries: self.retries,
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.settle();
    }
}
