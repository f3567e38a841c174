//! HTTP/2 connections to workers, by prior knowledge or ALPN, shared by many requests.

use std::{sync::Arc, time::Duration};

use http::{Request, Response};
use penstock_config::{Timeouts, fleet::Stage};

use super::{
    Answer, Handback, SendError, Upstreams,
    connect::ConnectError,
    openings::{OpenOrWait, Opening},
    shared::{STREAMS_MAX, SharedConnection, StreamPlace},
    stream_limit::StreamLimit,
    wire::Wire,
};
use crate::{
    count::open::Entry,
    fleet::worker::WorkerState,
    http2::{self, Broken, Incoming, Sender, Terms, Unanswered},
    stream::request_body::UpstreamBody,
};

/// Tells a request that the worker says it did not process from one that it may have begun: a stream
/// above the last one named in its GOAWAY, or one that it refused (RFC 9113 §8.7).
fn send_error(error: h2::Error) -> SendError {
    let going_away = error.is_go_away();
    if error.is_remote() && (going_away || error.reason() == Some(h2::Reason::REFUSED_STREAM)) {
        let error = error.to_string();
        return SendError::NotProcessed { going_away, error };
    }
    SendError::Broken(error.into())
}

/// Receive window of a stream: what a worker may send that its client does not take, which is held here for
/// each of a hundred streams. A stream of tokens never waits for an update, and an image not for long:
/// workers are near, and where the way takes 1 ms that is 32 MB in a second.
const STREAM_WINDOW: u32 = 32 << 10;

/// Receive window of a connection. It has room for every stream's window, so that clients that do
/// not read their answers cannot stop those of others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * (STREAMS_MAX as u32 + 1);

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
            match sender.send(request, timeouts.idle).await {
                Ok(response) => {
                    let response = self.within_limits(response)?;
                    let handback = Handback::H2(place);
                    return Ok(Answer {
                        response,
                        handback,
                        connect_time,
                    });
                }
                // A connection that was just opened and takes no stream would go on for ever.
                Err(Unanswered::Unsent(_)) if connect_time.is_none() => {}
                Err(Unanswered::Unsent(error)) => {
                    let reason = format!("{} takes no HTTP/2 stream: {error}", worker.address);
                    return Err(SendError::Connect(ConnectError::of_worker(reason)));
                }
                Err(Unanswered::Broken(error)) => return Err(send_error(error)),
            }
        }
    }

    /// An answer whose head is no longer than it may be.
    fn within_limits(
        &self,
        answer: Response<http2::Content>,
    ) -> Result<Response<Incoming>, SendError> {
        let (size, limit) = (http2::head_size(answer.headers()), self.places.head_max());
        match size > limit {
            true => Err(SendError::Broken(Broken::LongHead { size, limit })),
            false => Ok(answer.map(Incoming::Http2)),
        }
    }

    fn stream(&self, worker: u64, expires: Duration) -> Option<(Sender, StreamPlace)> {
        let mut workers = self.workers.lock();
        let shared = &mut workers.get_mut(&worker)?.shared;
        shared.retain(|connection| !connection.is_closed());
        shared
            .iter()
            .find_map(|connection| connection.place(expires))
    }

    /// Whether a request that was sent to the worker may not have left yet, because the worker has come to
    /// allow fewer streams than were asked for.
    pub(crate) fn holds_back(&self, worker: &WorkerState, wire: &Wire) -> bool {
        let workers = self.workers.lock();
        let connections = workers.get(&wire.key(worker));
        connections.is_some_and(|connections| {
            let mut shared = connections.shared.iter();
            shared.any(SharedConnection::holds_back)
        })
    }

    /// Finds a place where there was none: opens a connection, or waits for one that is being opened and
    /// has room.
    async fn open_h2(
        &self,
        worker: &WorkerState,
        wire: &Wire,
        timeouts: &Timeouts,
    ) -> Result<(Sender, StreamPlace), ConnectError> {
        let key = wire.key(worker);
        let openings = Arc::clone(&self.workers.lock().entry(key).or_default().openings);
        let (begun, succeeded) = (worker.now(), openings.succeeded());
        loop {
            let opening = match openings.turn() {
                OpenOrWait::Open(opening) => opening,
                OpenOrWait::Wait(_waiting, ended) => {
                    let left = left(timeouts.connect, begun, worker);
                    match tokio::time::timeout(left, ended).await {
                        Ok(()) => match self.stream(key, worker.now() + timeouts.keepalive) {
                            Some(stream) => return Ok(stream),
                            None => continue,
                        },
                        // It takes connections, and others were quicker.
                        Err(_) if openings.succeeded() > succeeded => openings.open(),
                        Err(_) if openings.is_worker_busy() => {
                            return Err(no_stream(worker, timeouts.connect));
                        }
                        Err(_) => {
                            let (address, limit) = (worker.address, timeouts.connect);
                            let text = format!("no connection to {address} within {limit:?}");
                            return Err(ConnectError::of_worker(text));
                        }
                    }
                }
            };
            return self.open_shared(worker, wire, timeouts, opening).await;
        }
    }

    /// Opens a connection and waits until the worker has said how many streams it allows.
    async fn open_shared(
        &self,
        worker: &WorkerState,
        wire: &Wire,
        timeouts: &Timeouts,
        opening: Opening,
    ) -> Result<(Sender, StreamPlace), ConnectError> {
        let begun = worker.now();
        let mut io = self.connect(worker, wire, timeouts).await?;
        let watch = &mut io.inner_mut().0.reader;
        let (allowance, limit) = (watch.allowance(), watch.speaks_h2());
        let no_h2 = |error| {
            let text = format!("{} does not speak HTTP/2: {error}", worker.address);
            ConnectError::of_worker(text)
        };
        let terms = Terms {
            stream_window: STREAM_WINDOW,
            connection_window: CONNECTION_WINDOW,
            head_max: self.places.head_max(),
        };
        let opened = http2::open(io.into_inner(), terms).await;
        let (sender, connection) = opened.map_err(no_h2)?;
        let mut connection = tokio::spawn(connection);
        let allows_any = async {
            limit.until(StreamLimit::is_known).await;
            opening.is_worker_busy(limit.allowed() == 0);
            limit.until(|limit| limit.allowed() > 0).await;
        };
        tokio::select! {
            biased;
            () = allows_any => {}
            ended = &mut connection => {
                let text = match limit.is_known() {
                    true => "closed a new HTTP/2 connection at once",
                    false => "does not speak HTTP/2: it closed a new connection at once",
                };
                let text = format!("{} {text}", worker.address);
                return Err(match ended {
                    Ok(Err(error)) => no_h2(error),
                    _ => ConnectError::of_worker(text),
                });
            }
            () = tokio::time::sleep(left(timeouts.connect, begun, worker)) => {
                return Err(match limit.is_known() {
                    true => no_stream(worker, timeouts.connect),
                    false => no_settings(worker, timeouts.connect),
                });
            }
        }
        let expires = worker.now() + timeouts.keepalive;
        let (connection, place) =
            SharedConnection::with_first_stream(sender.clone(), limit, allowance, expires);
        let streams = connection.streams_max();
        let mut workers = self.workers.lock();
        let shared = &mut workers.entry(wire.key(worker)).or_default().shared;
        shared.push(connection);
        drop(workers);
        opening.succeeded(streams);
        Ok((sender, place))
    }
}

/// What is left of `limit` since `begun`.
fn left(limit: Duration, begun: Duration, worker: &WorkerState) -> Duration {
    limit.saturating_sub(worker.now().saturating_sub(begun))
}

/// The worker took the connection, and no stream on it.
fn no_stream(worker: &WorkerState, within: Duration) -> ConnectError {
    let address = worker.address;
    ConnectError::of_busy_worker(format!(
        "{address} allowed no HTTP/2 stream within {within:?}: SETTINGS_MAX_CONCURRENT_STREAMS was 0"
    ))
}

/// The worker took the connection, and did not say what every HTTP/2 server says first.
fn no_settings(worker: &WorkerState, within: Duration) -> ConnectError {
    let address = worker.address;
    ConnectError::of_worker(format!(
        "{address} sent no HTTP/2 SETTINGS within {within:?}"
    ))
}
