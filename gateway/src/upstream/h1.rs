//! HTTP/1.1 connections to workers: one request at a time, reused.

use std::{
    mem::take,
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
    time::Duration,
};

use hyper::{Request, Response, client::conn::http1};
use penstock_config::{Timeouts, fleet::Stage};

use super::{
    Answer, IDLE_MAX, SendError, Upstreams, connect::ConnectError, shared::StreamPlace,
    watched::Allowance, wire::Wire,
};
use crate::{
    base::headers::Fields,
    count::open::Entry,
    fleet::worker::WorkerState,
    http2::{Incoming, Interim},
    socket::client_gone::is_established,
    stream::request_body::UpstreamBody,
};

type Sender = http1::SendRequest<UpstreamBody>;

/// Longest response head, and most that is read ahead of a client that reads slowly. hyper's own
/// bound of 400 KiB would let a hundred clients that do not read hold 100 MB.
const BUFFER_MAX: usize = 32 * 1024;

/// A connection that takes no request within this time is given up.
const READY_WITHIN: Duration = Duration::from_millis(20);

/// A connection that was idle for so long may have been closed by the worker for just that.
pub(super) const ASK_FROM: Duration = Duration::from_millis(100);

/// What is known of a connection beside its sender.
pub(crate) struct Link {
    /// The socket. Open for as long as the sender is not closed.
    fd: RawFd,
    allowance: Arc<Allowance>,
}

/// A connection that no request uses.
pub(super) struct IdleConnection {
    sender: Sender,
    link: Link,
    since: Duration,
    expires: Duration,
}

impl IdleConnection {
    pub(super) fn is_usable(&self, now: Duration) -> bool {
        !self.sender.is_closed() && now < self.expires
    }

    /// Whether the worker has not closed it, as the kernel knows it: the runtime may not have been told
    /// yet, and a request that cannot be sent twice must not find out. A connection in steady use
    /// is not asked, because a worker closes those that are idle.
    fn is_alive(&self, now: Duration) -> bool {
        now.saturating_sub(self.since) < ASK_FROM || is_established(self.link.fd)
    }
}

/// A connection whose answer is still being read. Give it back only after the end of the answer:
/// dropping it closes the connection, which is what a worker needs to see when nobody reads on.
pub(crate) enum Handback {
    /// An HTTP/1 connection, to be kept until `expires`.
    H1 {
        /// The connection.
        sender: http1::SendRequest<UpstreamBody>,
        /// What is known of it.
        link: Link,
        /// Whose it is.
        worker: u64,
        /// How long it may be idle.
        keepalive: Duration,
    },
    /// An HTTP/2 stream's place on its connection, which is shared anyway.
    H2(StreamPlace),
}

/// How long a connection may be idle: as the service says, but a little less than the worker says it
/// keeps it (`Keep-Alive: timeout=5`), lest a request cross its closing.
pub(crate) fn kept_for(fields: &impl Fields, keepalive: Duration) -> Duration {
    const MARGIN: Duration = Duration::from_secs(1);
    let Some(value) = fields.first("keep-alive") else {
        return keepalive;
    };
    let announced = str::from_utf8(value).unwrap_or_default().split(',');
    let seconds = announced
        .filter_map(|part| part.trim().strip_prefix("timeout="))
        .find_map(|seconds| seconds.parse().ok());
    match seconds.map(Duration::from_secs) {
        Some(announced) => keepalive.min(announced.saturating_sub(MARGIN).max(announced / 2)),
        None => keepalive,
    }
}

/// Whether another request can be sent: at once, but for a connection that is just closing, or whose
/// worker answered and does not read the rest of the request before.
async fn is_ready(sender: &mut Sender) -> bool {
    sender.is_ready()
        || tokio::time::timeout(READY_WITHIN, sender.ready())
            .await
            .is_ok_and(|ready| ready.is_ok())
}

/// Has hyper tell interim answers where they are to be told.
fn tell_interim(request: &mut Request<UpstreamBody>) {
    let Some(interim) = request.extensions_mut().remove::<Interim>() else {
        return;
    };
    hyper::ext::on_informational(request, move |answer| {
        let mut early = Response::new(());
        *early.status_mut() = answer.status();
        early.headers_mut().clone_from(answer.headers());
        interim.tell(early);
    });
}

impl Upstreams {
    pub(super) async fn send_h1(
        &self,
        worker: &WorkerState,
        wire: &Wire,
        request: &mut Request<UpstreamBody>,
        timeouts: &Timeouts,
        now: Duration,
        entry: Entry,
    ) -> Result<Answer, SendError> {
        let keepalive = timeouts.keepalive;
        tell_interim(request);
        while let Some((mut sender, link)) = self.take_idle(wire.key(worker), now) {
            if !is_ready(&mut sender).await {
                continue;
            }
            link.allowance.request_sent();
            match sender.try_send_request(take(request)).await {
                Ok(response) => {
                    link.allowance.head_came();
                    let handback = Handback::H1 {
                        sender,
                        link,
                        worker: wire.key(worker),
                        keepalive: kept_for(response.headers(), keepalive),
                    };
                    return Ok(Answer {
                        response: response.map(Incoming::Http1),
                        handback,
                        connect_time: None,
                    });
                }
                Err(mut error) => match error.take_message() {
                    // The worker closed the connection before a byte of the request was written.
                    Some(unsent) => *request = unsent,
                    None => return Err(SendError::Broken(error.into_error().into())),
                },
            }
        }
        self.send_h1_fresh(worker, wire, request, timeouts, entry)
            .await
    }

    async fn send_h1_fresh(
        &self,
        worker: &WorkerState,
        wire: &Wire,
        request: &mut Request<UpstreamBody>,
        timeouts: &Timeouts,
        entry: Entry,
    ) -> Result<Answer, SendError> {
        let begun = worker.now();
        entry.now_in(Stage::Connect, begun);
        let io = match self.connect(worker, wire, timeouts).await {
            Ok(io) => io,
            Err(error) => return Err(SendError::Connect(error)),
        };
        let watched = &io.inner().0;
        let link = Link {
            fd: watched.stream.as_raw_fd(),
            allowance: watched.reader.allowance(),
        };
        let connected = worker.now();
        entry.now_in(Stage::FirstByte, connected);
        let connect_time = connected.saturating_sub(begun);
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_MAX)
            .handshake(io)
            .await
            .map_err(|error| SendError::Broken(error.into()))?;
        // Ends by itself when the sender is dropped or the worker closes; its error reaches us
        // through the request it concerns.
        tokio::spawn(connection.with_upgrades());
        let response = match sender.try_send_request(take(request)).await {
            Ok(response) => response,
            Err(mut error) => {
                return Err(match error.take_message() {
                    Some(unsent) => {
                        *request = unsent;
                        let address = worker.address;
                        let text = format!("{address} closed a new connection at once");
                        SendError::Connect(ConnectError::of_worker(text))
                    }
                    None => SendError::Broken(error.into_error().into()),
                });
            }
        };
        link.allowance.head_came();
        let handback = Handback::H1 {
            sender,
            link,
            worker: wire.key(worker),
            keepalive: kept_for(response.headers(), timeouts.keepalive),
        };
        Ok(Answer {
            response: response.map(Incoming::Http1),
            handback,
            connect_time: Some(connect_time),
        })
    }

    fn take_idle(&self, worker: u64, now: Duration) -> Option<(Sender, Link)> {
        let mut workers = self.workers.lock();
        let idle = &mut workers.get_mut(&worker)?.idle;
        while let Some(connection) = idle.pop() {
            if connection.is_usable(now) && connection.is_alive(now) {
                return Some((connection.sender, connection.link));
            }
        }
        None
    }

    /// Takes a connection back whose answer was read to its end.
    pub(crate) fn give_back(&self, handback: Handback, now: Duration) {
        let Handback::H1 {
            sender,
            link,
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
                link,
                since: now,
                expires: now + keepalive,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_given_up_before_the_worker_says_it_closes_it() {
        let kept = |header: &str| {
            let answer = Response::builder().header("keep-alive", header).body(());
            kept_for(answer.unwrap().headers(), Duration::from_secs(4)).as_millis()
        };
        assert_eq!(kept("timeout=5, max=100"), 4_000);
        assert_eq!(kept("max=100, timeout=3"), 2_000);
        assert_eq!(kept("timeout=1"), 500);
        assert_eq!(kept("timeout=0"), 0);
        assert_eq!(kept("timeout=soon"), 4_000);
        assert_eq!(kept("max=7"), 4_000);
        let without = Response::new(());
        assert_eq!(
            kept_for(without.headers(), Duration::from_secs(4)).as_secs(),
            4
        );
    }
}
