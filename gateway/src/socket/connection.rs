//! One downstream connection: what its requests share, and when it has been idle or slow for too long.

use std::{
    future::poll_fn,
    net::SocketAddr,
    os::fd::RawFd,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Poll, ready},
    time::Duration,
};

use http::HeaderValue;
use parking_lot::Mutex;
use penstock_config::RequestLimits;
use pingora_core::server::ShutdownWatch;

use crate::{
    base::{alarm::Alarm, headers::Forwarding, timer::SharedTimer},
    settle::thread::Thread,
    socket::{crowd::Seat, terms::Terms},
};

/// In place of a time: there is nothing that is not complete.
const COMPLETE: u64 = u64::MAX;

/// In place of the time of a turn: nobody has asked for it yet, or no turn is under way.
const UNREAD: u64 = u64::MAX;
const NO_TURN: u64 = u64::MAX - 1;

/// What the requests of one connection share.
pub(crate) struct Connection {
    /// The thread it lives on.
    pub(crate) thread: Arc<Thread>,
    /// The client's address.
    pub(crate) peer: SocketAddr,
    /// Whether the client speaks HTTP/2.
    pub(crate) h2: bool,
    /// Most fields of a request's head.
    pub(crate) max_headers: usize,
    /// Most bytes of it.
    pub(crate) max_head_bytes: usize,
    /// What it adds to its requests about who asked.
    pub(crate) forwarding: Forwarding,
    /// On which terms it was taken.
    pub(crate) terms: Arc<Terms>,
    /// The socket, for looking at it only.
    pub(crate) fd: RawFd,
    /// What only those connections need that a library reads: most are relayed as bytes.
    library: OnceLock<Box<ForLibrary>>,
    /// Whether a request head is expected.
    pub(crate) expects_head: AtomicBool,
    /// Whether the client may still be sending a body that nobody has read (HTTP/1 only).
    pub(crate) sends_body: AtomicBool,
    /// What those see of it who look for a connection that can leave.
    seat: Arc<Seat>,
    /// Whether `since` is the start of a head.
    head_began: AtomicBool,
    /// Requests that were given up before their answer came to its end.
    given_up: AtomicU32,
    /// When the client began an HTTP/2 frame or a head of several that is not complete; ms of the
    /// clock, [`COMPLETE`] when it is.
    frame_began: AtomicU64,
    /// The time of the turn that its task has; ns of the clock, [`UNREAD`] or [`NO_TURN`].
    turn: AtomicU64,
}

/// What a connection needs that a library reads.
#[derive(Default)]
struct ForLibrary {
    timer: SharedTimer,
    head: Mutex<Vec<u8>>,
}

impl Connection {
    /// One that was just accepted.
    pub(crate) fn new(
        thread: Arc<Thread>,
        peer: SocketAddr,
        h2: bool,
        fd: RawFd,
        seat: Arc<Seat>,
        terms: Arc<Terms>,
    ) -> Self {
        seat.since.store(millis(thread.now()), Ordering::Relaxed);
        let (trusted, max_headers, max_head_bytes) = {
            let settings = thread.settings();
            let trusted = settings.trusted.contains(peer.ip());
            let limits = &settings.limits;
            (trusted, limits.max_headers, limits.max_header_bytes)
        };
        Self {
            forwarding: Forwarding::new(peer.ip(), terms.tls.is_some(), trusted),
            terms,
            max_headers,
            max_head_bytes,
            thread,
            peer,
            h2,
            fd,
            library: OnceLock::new(),
            expects_head: AtomicBool::new(true),
            sends_body: AtomicBool::new(false),
            seat,
            head_began: AtomicBool::new(false),
            given_up: AtomicU32::new(0),
            frame_began: AtomicU64::new(COMPLETE),
            turn: AtomicU64::new(NO_TURN),
        }
    }

    /// Limits how long workers may take to answer its requests, where a library reads them.
    pub(crate) fn timer(&self) -> &SharedTimer {
        &self.library.get_or_init(Box::default).timer
    }

    /// What is read while a request head is expected (HTTP/1 only), see `io`.
    pub(crate) fn head(&self) -> &Mutex<Vec<u8>> {
        &self.library.get_or_init(Box::default).head
    }

    /// What is said about HTTPS in every answer.
    pub(crate) fn hsts(&self) -> Option<&HeaderValue> {
        self.terms.hsts.as_ref()
    }

    /// Time since the gateway's start. Within a turn it stands still: what a task does between being woken
    /// and waiting again happens at one time, and the clock is read once.
    pub(crate) fn now(&self) -> Duration {
        match self.turn.load(Ordering::Relaxed) {
            NO_TURN => self.thread.now(),
            UNREAD => {
                let now = self.thread.now();
                let nanos = now.as_secs().saturating_mul(1_000_000_000);
                let nanos = nanos.saturating_add(u64::from(now.subsec_nanos()));
                self.turn.store(nanos.min(NO_TURN), Ordering::Relaxed);
                now
            }
            nanos => Duration::from_nanos(nanos),
        }
    }

    /// Does a turn of the only task that serves this connection.
    pub(crate) fn turn<T>(&self, work: impl FnOnce() -> T) -> T {
        self.turn.store(UNREAD, Ordering::Relaxed);
        let result = work();
        // Whoever ends the task from outside does so at a time of their own.
        self.turn.store(NO_TURN, Ordering::Relaxed);
        result
    }

    /// Bytes came in.
    pub(crate) fn bytes_read(&self) {
        if !self.is_serving() && !self.head_began() {
            self.seat.since.store(millis(self.now()), Ordering::Relaxed);
            self.head_began.store(true, Ordering::Relaxed);
        }
    }

    /// Whether what came last over HTTP/2 ends in the middle of something.
    pub(crate) fn in_frame(&self, in_frame: bool) {
        if in_frame != (self.frame_began.load(Ordering::Relaxed) != COMPLETE) {
            let began = match in_frame {
                true => millis(self.thread.now()),
                false => COMPLETE,
            };
            self.frame_began.store(began, Ordering::Relaxed);
        }
    }

    /// The client sends frames that only make work, and is cut off.
    pub(crate) fn floods(&self) {
        let floods = &self.thread.shared.floods;
        if let Some(count) = floods.add(self.thread.now()) {
            let client = self.peer;
            tracing::warn!(%client, count, "connection closed: a flood of HTTP/2 frames without content");
        }
    }

    /// A request head is complete.
    pub(crate) fn request_began(&self) {
        self.seat.in_flight.fetch_add(1, Ordering::Relaxed);
        self.seat.known.store(true, Ordering::Relaxed);
        self.head_began.store(false, Ordering::Relaxed);
    }

    /// A request is over.
    pub(crate) fn request_ended(&self, now: Duration) {
        self.seat.since.store(millis(now), Ordering::Relaxed);
        self.seat.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// A request is given up before its answer came to its end.
    pub(crate) fn gives_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests were.
    pub(super) fn given_up(&self) -> u32 {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Whether a request is being served.
    pub(crate) fn is_serving(&self) -> bool {
        self.seat.in_flight.load(Ordering::Relaxed) > 0
    }

    /// Whether a head has begun and is not complete.
    pub(crate) fn head_began(&self) -> bool {
        self.head_began.load(Ordering::Relaxed)
    }

    /// Whether somebody else waits for its place, and there is nothing to be told.
    pub(crate) fn gives_way(&self) -> bool {
        self.seat.is_asked() && !self.is_serving()
    }

    /// Whether the connection should be closed by now.
    pub(crate) fn is_overdue(&self, limits: &RequestLimits) -> bool {
        let deadline = self.deadline(limits);
        deadline.is_some_and(|deadline| deadline <= self.now())
    }

    /// When the connection is to be closed if nothing changes; `None` while a request is served.
    pub(crate) fn deadline(&self, limits: &RequestLimits) -> Option<Duration> {
        if self.is_serving() {
            return None;
        }
        let since = Duration::from_millis(self.seat.since.load(Ordering::Relaxed));
        if !self.h2 && self.head_began() {
            return Some(since + limits.header_timeout);
        }
        let idle = since + limits.idle_timeout;
        // Over HTTP/2 what comes may be no head at all (a ping, a window update), and keeps nothing
        // alive; but whatever is begun must be ended.
        Some(match self.frame_began.load(Ordering::Relaxed) {
            COMPLETE => idle,
            began => idle.min(Duration::from_millis(began) + limits.header_timeout),
        })
    }
}

fn millis(time: Duration) -> u64 {
    time.as_secs()
        .saturating_mul(1000)
        .saturating_add(u64::from(time.subsec_millis()))
}

/// Returns when the connection should end: the gateway drains, somebody else needs the place, or the
/// client is idle or slow.
pub(crate) async fn watch(
    connection: &Connection,
    limits: &RequestLimits,
    shutdown: ShutdownWatch,
) {
    tokio::select! {
        biased;
        () = told_to_end(connection, shutdown) => {}
        () = stalled(connection, limits) => {}
    }
}

/// Returns when the gateway drains, or somebody else needs the place.
pub(crate) fn told_to_end(
    connection: &Connection,
    mut shutdown: ShutdownWatch,
) -> Alarm<impl Future<Output = ()> + Send + use<>> {
    let seat = Arc::clone(&connection.seat);
    Alarm::new(async move {
        tokio::select! {
            // An error means that the listener is gone, which is a reason to end as well.
            _ = shutdown.wait_for(|&down| down) => {}
            () = seat.asked_to_leave() => {}
        }
    })
}

/// Returns when the client has been idle or slow for too long.
///
/// Polled in the connection's own task, right after hyper: a head that just began or a request
/// that just ended moves the deadline without a message between tasks.
pub(crate) fn stalled(connection: &Connection, limits: &RequestLimits) -> impl Future<Output = ()> {
    let clock = connection.thread.clock();
    let mut sleep = Alarm::new(tokio::time::sleep_until(
        clock.instant(clock.now() + limits.idle_timeout),
    ));
    poll_fn(move |cx| {
        loop {
            let deadline = connection
                .deadline(limits)
                .map(|deadline| clock.instant(deadline));
            if let Some(deadline) = deadline.filter(|&deadline| deadline < sleep.deadline()) {
                sleep.reset(deadline);
            }
            ready!(Pin::new(&mut sleep).poll(cx));
            match deadline {
                Some(deadline) if deadline <= sleep.deadline() => return Poll::Ready(()),
                Some(deadline) => sleep.reset(deadline),
                // A request's own clocks count while it is served.
                None => sleep.reset(clock.instant(clock.now() + limits.idle_timeout)),
            }
        }
    })
}
