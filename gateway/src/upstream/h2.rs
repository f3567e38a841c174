//! HTTP/2 connections to workers, by prior knowledge or ALPN, shared by many requests.

use std::{
    error::Error,
    mem::take,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use penstock_config::{Timeouts, fleet::Stage};

use super::{
    Answer, Handback, SendError, Upstreams, connect::ConnectError, watched::Allowance, wire::Wire,
};
use crate::{open::Entry, request_body::UpstreamBody, worker::WorkerState};

/// Tells a request that the worker says it did not process from one that it may have begun: a stream
/// above the last one named in its GOAWAY, or one that it refused (RFC 9113 §8.7).
fn send_error(error: hyper::Error) -> SendError {
    let Some(cause) = error
        .source()
        .and_then(|cause| cause.downcast_ref::<h2::Error>())
        .filter(|cause| cause.is_remote())
    else {
        return SendError::Broken(error);
    };
    let going_away = cause.is_go_away();
    if going_away || cause.reason() == Some(h2::Reason::REFUSED_STREAM) {
        let error = cause.to_string();
        return SendError::NotProcessed { going_away, error };
    }
    SendError::Broken(error)
}

type Sender = http2::SendRequest<UpstreamBody>;

/// Streams put on one connection before another is opened. RFC 9113 §6.5.2 advises peers to allow
/// at least 100; what they really allow hyper keeps, by holding further streams back.
const STREAMS_MAX: usize = 100;

/// Receive window of a stream: a stream of tokens never waits for an update, and an image seldom.
const STREAM_WINDOW: u32 = 256 << 10;

/// Receive window of a connection. It has room for every stream's window, so that clients that do
/// not read their answers cannot stop those of others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * (STREAMS_MAX as u32 + 1);

/// Longest head or trailers of an answer; hyper's own bound, said aloud.
const HEADER_LIST_MAX: u32 = 16 * 1024;

/// A connection that many requests use.
pub(super) struct SharedConnection {
    sender: Sender,
    streams: Arc<Streams>,
}

struct Streams {
    open: AtomicUsize,
    allowance: Arc<Allowance>,
    /// When the connection may be closed if no stream is open, in ms of the clock.
    expires: parking_lot::Mutex<Duration>,
}

/// A stream's place on a connection; given back on drop.
pub(crate) struct StreamPlace {
    streams: Arc<Streams>,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SharedConnection {
    pub(super) fn is_usable(&self, now: Duration) -> bool {
        let in_use = self.streams.open.load(Ordering::Relaxed) > 0;
        !self.sender.is_closed() && (in_use || now < *self.streams.expires.lock())
    }

    fn place(&self, expires: Duration) -> Option<StreamPlace> {
        if self.sender.is_closed() || self.streams.open.load(Ordering::Relaxed) >= STREAMS_MAX {
            return None;
        }
        self.streams.open.fetch_add(1, Ordering::Relaxed);
        self.streams.allowance.stream_opened();
        *self.streams.expires.lock() = expires;
        Some(StreamPlace {
            streams: Arc::clone(&self.streams),
        })
    }
}

impl Upstreams {
    pub(super) async fn send_h2(
        &self,
        worker: &WorkerState,
        wire: &Wire,
        request: &mut Request<UpstreamBody>,
        timeouts: &Timeouts,
        now: Duration,
        entry: Entry,
    ) -> Result<Answer, SendError> {
        let mut connect_time = None;
        loop {
            let (mut sender, place) = match self.stream(wire.key(worker), now + timeouts.keepalive)
            {
                Some(stream) => stream,
                None => {
                    let begun = worker.now();
                    entry.now_in(Stage::Connect, begun);
                    match self.open_h2(worker, wire, timeouts).await {
                        Ok(stream) => {
                            let connected = worker.now();
                            entry.now_in(Stage::FirstByte, connected);
                            connect_time = Some(connected.saturating_sub(begun));
                            stream
                        }
                        Err(error) => return Err(SendError::Connect(error)),
                    }
                }
            };
            match sender.try_send_request(take(request)).await {
                Ok(response) => {
                    let handback = Handback::H2 { _stream: place };
                    return Ok(Answer {
                        response,
                        handback,
                        connect_time,
                    });
                }
                Err(mut error) => match error.take_message() {
                    // A connection that was just opened and takes no stream would go on for ever.
                    Some(unsent) if connect_time.is_none() => *request = unsent,
                    Some(unsent) => {
                        *request = unsent;
                        let reason = format!(
                            "{} takes no HTTP/2 stream: {}",
                            worker.address,
                            error.into_error()
                        );
                        return Err(SendError::Connect(ConnectError::of_worker(reason)));
                    }
                    None => return Err(send_error(error.into_error())),
                },
            }
        }
    }

    fn stream(&self, worker: u64, expires: Duration) -> Option<(Sender, StreamPlace)> {
        let mut workers = self.workers.lock();
        let shared = &mut workers.get_mut(&worker)?.shared;
        shared.retain(|connection| !connection.sender.is_closed());
        shared
            .iter()
            .find_map(|connection| Some((connection.sender.clone(), connection.place(expires)?)))
    }

    /// Opens a connection. Requests of one thread that arrive together share it: whoever comes
    /// first opens, the others find it.
    async fn open_h2(
        &self,
        worker: &WorkerState,
        wire: &Wire,
        timeouts: &Timeouts,
    ) -> Result<(Sender, StreamPlace), ConnectError> {
        let key = wire.key(worker);
        let opening = Arc::clone(&self.workers.lock().entry(key).or_default().opening);
        let Ok(_opening) = tokio::time::timeout(timeouts.connect, opening.lock()).await else {
            let (address, limit) = (worker.address, timeouts.connect);
            let text = format!("no connection to {address} within {limit:?}");
            return Err(ConnectError::of_worker(text));
        };
        if let Some(stream) = self.stream(key, worker.now() + timeouts.keepalive) {
            return Ok(stream);
        }
        let mut io = self.connect(worker, wire, timeouts).await?;
        let watched = &mut io.inner_mut().0;
        watched.speaks_h2();
        let allowance = watched.allowance();
        allowance.stream_opened();
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST_MAX)
            .handshake(io);
        let (sender, connection) = handshake.await.map_err(|error| {
            let text = format!("{} does not speak HTTP/2: {error}", worker.address);
            ConnectError::of_worker(text)
        })?;
        tokio::spawn(connection);
        let connection = SharedConnection {
            sender: sender.clone(),
            streams: Arc::new(Streams {
                open: AtomicUsize::new(1),
                allowance,
                expires: parking_lot::Mutex::new(worker.now() + timeouts.keepalive),
            }),
        };
        let place = StreamPlace {
            streams: Arc::clone(&connection.streams),
        };
        self.workers
            .lock()
            .entry(wire.key(worker))
            .or_default()
            .shared
            .push(connection);
        Ok((sender, place))
    }
}
