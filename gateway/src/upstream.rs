//! Connections to workers. Each thread has its own, so that nothing here is shared.
//!
//! HTTP/1 connections are taken from a stack of idle ones, the most recently used first, and put
//! back when the answer has been read to its end. HTTP/2 connections are shared by many requests.

pub(crate) mod answer_health;
mod connect;
mod h1;
mod h2;
mod openings;
pub(crate) mod raw;
mod shared;
mod stream_limit;
mod watched;
mod wire;

use std::{collections::HashMap, sync::Arc, time::Duration};

use foldhash::fast::RandomState;
use http::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use penstock_config::{Protocol, Timeouts};

pub(crate) use self::{
    connect::{ConnectError, Fault},
    h1::Handback,
    shared::StreamPlace,
    watched::Places,
    wire::Wire,
};
use self::{
    connect::{Connected, WorkerStream, connect},
    h1::IdleConnection,
    openings::Openings,
    raw::IdleRaw,
    shared::SharedConnection,
    watched::{Place, watched},
};
use crate::{
    count::open::Entry,
    fleet::worker::WorkerState,
    http2::{Broken, Incoming},
    socket::small_writes::SmallWrites,
    stream::request_body::UpstreamBody,
};

/// Idle HTTP/1 connections kept per worker and thread. More would only hold descriptors: a worker
/// answers few requests at once.
const IDLE_MAX: usize = 1024;

/// Turns of the other tasks of a thread within which a connection that nobody needs is closed.
const CLOSING_TURNS: usize = 8;

/// One thread's connections to all workers.
pub(crate) struct Upstreams {
    /// Those of all threads.
    places: Arc<Places>,
    /// By the keys of workers and TLS settings, which are hashes already.
    workers: Mutex<HashMap<u64, WorkerConnections, RandomState>>,
}

#[derive(Default)]
struct WorkerConnections {
    idle: Vec<IdleConnection>,
    raw: Vec<IdleRaw>,
    shared: Vec<SharedConnection>,
    /// The HTTP/2 connections that are being opened.
    openings: Arc<Openings>,
}

impl WorkerConnections {
    /// Closes a connection that no request uses, if there is one.
    fn close_idle(&mut self) -> bool {
        if self.idle.pop().is_some() || self.raw.pop().is_some() {
            return true;
        }
        let idle = self.shared.iter().position(SharedConnection::is_idle);
        idle.map(|index| self.shared.swap_remove(index)).is_some()
    }
}

/// A response head, and what is needed to use its connection again.
pub(crate) struct Answer {
    /// The response.
    pub(crate) response: Response<Incoming>,
    /// To be given back when the response has been read to its end.
    pub(crate) handback: Handback,
    /// How long opening the connection took; `None` when it was there already.
    pub(crate) connect_time: Option<Duration>,
}

/// Why a request got no response head.
pub(crate) enum SendError {
    /// No connection could be opened; nothing was sent, and the request is as it was.
    Connect(ConnectError),
    /// The worker said that it did not process the request, which does not come back.
    NotProcessed {
        /// Whether only the connection is at its end, and the worker not too busy.
        going_away: bool,
        /// What it said, for people.
        error: String,
    },
    /// The connection broke after the request was begun.
    Broken(Broken),
    /// The client has gone, or sends no more; nobody is to blame for the worker's silence.
    ClientGone,
}

impl SendError {
    /// The worker took a connection and closed it before anything could be sent.
    pub(crate) fn closed_at_once(text: String) -> Self {
        Self::Connect(ConnectError::of_worker(text))
    }
}

impl Upstreams {
    /// Without connections; each takes one of `places`.
    pub(crate) fn new(places: Arc<Places>) -> Self {
        Self {
            places,
            workers: Mutex::default(),
        }
    }

    /// Opens a connection for hyper.
    async fn connect(
        &self,
        worker: &WorkerState,
        wire: &Wire,
        timeouts: &Timeouts,
    ) -> Result<Connected, ConnectError> {
        let (stream, place) = self.open(worker, wire, timeouts).await?;
        Ok(TokioIo::new(SmallWrites(watched(stream, place))))
    }

    /// Opens a connection. Where all places are taken, one that is idle gives way.
    async fn open(
        &self,
        worker: &WorkerState,
        wire: &Wire,
        timeouts: &Timeouts,
    ) -> Result<(WorkerStream, Place), ConnectError> {
        if self.places.are_taken() && self.close_idle() {
            // Its task closes it; over HTTP/2 it says so first.
            for _ in 0..CLOSING_TURNS {
                tokio::task::yield_now().await;
                if !self.places.are_taken() {
                    break;
                }
            }
        }
        connect(worker, wire, timeouts.connect, &self.places).await
    }

    fn close_idle(&self) -> bool {
        let mut workers = self.workers.lock();
        workers.values_mut().any(WorkerConnections::close_idle)
    }

    /// Sends `request` to `worker` at `now` and waits for the response head. Times out only the opening of
    /// a connection: how long a worker may think is the caller's business.
    ///
    /// The request is taken out of its place only to be sent, because carrying it through every
    /// future on the way would copy it in each of them. What is left there is empty. While a connection is
    /// opened, its `entry` in the list of open requests says so.
    pub(crate) async fn send(
        &self,
        worker: &WorkerState,
        wire: &Wire,
        request: &mut Request<UpstreamBody>,
        timeouts: &Timeouts,
        now: Duration,
        entry: Entry,
    ) -> Result<Answer, SendError> {
        match wire.protocol {
            Protocol::Http1 => {
                self.send_h1(worker, wire, request, timeouts, now, entry)
                    .await
            }
            Protocol::H2 => {
                self.send_h2(worker, wire, request, timeouts, now, entry)
                    .await
            }
        }
    }

    /// Closes what has been idle for `keepalive` of its worker or is closed already.
    pub(crate) fn sweep(&self, now: Duration) {
        self.workers.lock().retain(|_, connections| {
            connections
                .idle
                .retain(|connection| connection.is_usable(now));
            connections
                .raw
                .retain(|connection| connection.is_usable(now));
            connections
                .shared
                .retain(|connection| connection.is_usable(now));
            !connections.idle.is_empty()
                || !connections.raw.is_empty()
                || !connections.shared.is_empty()
                || connections.openings.are_under_way()
        });
    }
}

#[cfg(test)]
mod tests;
