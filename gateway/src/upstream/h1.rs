//! HTTP/1.1 connections to workers: one request at a time, reused.

use std::time::Duration;

use hyper::{Request, client::conn::http1};
use penstock_config::Timeouts;

use super::{Answer, IDLE_MAX, SendError, Upstreams, connect::connect};
use crate::{request_body::UpstreamBody, worker::WorkerState};

type Sender = http1::SendRequest<UpstreamBody>;

/// Longest response head, and most that is read ahead of a client that reads slowly. hyper's own
/// bound of 400 KiB would let a hundred clients that do not read hold 100 MB.
const BUFFER_MAX: usize = 32 * 1024;

/// A connection that takes no request within this time is given up.
const READY_WITHIN: Duration = Duration::from_millis(20);

/// A connection that no request uses.
pub(super) struct IdleConnection {
    sender: Sender,
    expires: Duration,
}

impl IdleConnection {
    pub(super) fn is_usable(&self, now: Duration) -> bool {
        !self.sender.is_closed() && now < self.expires
    }
}

/// A connection whose answer is still being read. Give it back only after the end of the answer:
/// dropping it closes the connection, which is what a worker needs to see when nobody reads on.
pub(crate) enum Handback {
    /// An HTTP/1 connection, to be kept until `expires`.
    H1 {
        /// The connection.
        sender: http1::SendRequest<UpstreamBody>,
        /// Whose it is.
        worker: u64,
        /// How long it may be idle.
        keepalive: Duration,
    },
    /// An HTTP/2 stream: its connection is shared anyway. Holds the stream's place on it.
    H2 {
        /// Counts the stream.
        _stream: super::h2::StreamPlace,
    },
}

/// Whether another request can be sent: at once, but for a connection that is just closing, or whose
/// worker answered and does not read the rest of the request before.
async fn is_ready(sender: &mut Sender) -> bool {
    sender.is_ready()
        || tokio::time::timeout(READY_WITHIN, sender.ready())
            .await
            .is_ok_and(|ready| ready.is_ok())
}

impl Upstreams {
    pub(super) async fn send_h1(
        &self,
        worker: &WorkerState,
        mut request: Request<UpstreamBody>,
        timeouts: &Timeouts,
    ) -> Result<Answer, SendError> {
        let keepalive = timeouts.keepalive;
        while let Some(mut sender) = self.take_idle(worker) {
            if !is_ready(&mut sender).await {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let handback = Handback::H1 {
                        sender,
                        worker: worker.key,
                        keepalive,
                    };
                    return Ok(Answer {
                        response,
                        handback,
                        connect_time: None,
                    });
                }
                Err(mut error) => match error.take_message() {
                    // The worker closed the connection before a byte of the request was written.
                    Some(unsent) => request = unsent,
                    None => return Err(SendError::Broken(error.into_error())),
                },
            }
        }
        self.send_h1_fresh(worker, request, timeouts).await
    }

    async fn send_h1_fresh(
        &self,
        worker: &WorkerState,
        request: Request<UpstreamBody>,
        timeouts: &Timeouts,
    ) -> Result<Answer, SendError> {
        let begun = worker.now();
        let io = match connect(worker.address, timeouts.connect).await {
            Ok(io) => io,
            Err(error) => return Err(SendError::Connect(Box::new(request), error)),
        };
        let connect_time = worker.now().saturating_sub(begun);
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_MAX)
            .handshake(io)
            .await
            .map_err(SendError::Broken)?;
        // Ends by itself when the sender is dropped or the worker closes; its error reaches us
        // through the request it concerns.
        tokio::spawn(connection.with_upgrades());
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => {
                return Err(match error.take_message() {
                    Some(unsent) => SendError::Connect(
                        Box::new(unsent),
                        format!("{} closed a new connection at once", worker.address),
                    ),
                    None => SendError::Broken(error.into_error()),
                });
            }
        };
        let handback = Handback::H1 {
            sender,
            worker: worker.key,
            keepalive: timeouts.keepalive,
        };
        Ok(Answer {
            response,
            handback,
            connect_time: Some(connect_time),
        })
    }

    fn take_idle(&self, worker: &WorkerState) -> Option<Sender> {
        let now = worker.now();
        let mut workers = self.workers.lock();
        let idle = &mut workers.get_mut(&worker.key)?.idle;
        while let Some(connection) = idle.pop() {
            if connection.is_usable(now) {
                return Some(connection.sender);
            }
        }
        None
    }

    /// Takes a connection back whose answer was read to its end.
    pub(crate) fn give_back(&self, handback: Handback, now: Duration) {
        let Handback::H1 {
            sender,
            worker,
            keepalive,
        } = handback
        else {
            return;
        };
        if sender.is_closed() {
            return;
        }
        let mut workers = self.workers.lock();
        let idle = &mut workers.entry(worker).or_default().idle;
        if idle.len() < IDLE_MAX {
            idle.push(IdleConnection {
                sender,
                expires: now + keepalive,
            });
        }
    }
}
