//! Connections that are kept: over HTTP/1.1 one for each request at a time, over HTTP/2 shared.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::Arc,
};

use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use penstock_config::Protocol;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use super::super::endpoint::Endpoint;

/// Streams on a connection of HTTP/2 before another is opened: what most servers allow.
const STREAMS: usize = 100;

type Body = Full<Bytes>;

/// The connections of a thread.
pub(super) struct Pool {
    endpoint: Arc<Endpoint>,
    /// A request waits here while as many are under way as there may be.
    places: Semaphore,
    idle: RefCell<Vec<http1::SendRequest<Body>>>,
    shared: RefCell<Vec<Shared>>,
    connections: usize,
    /// Held while a shared connection is being opened, so that those who wait for it do not open more.
    opening: Mutex<()>,
}

/// A connection of HTTP/2, and how many requests are on it.
#[derive(Clone)]
struct Shared {
    sender: http2::SendRequest<Body>,
    streams: Rc<Cell<usize>>,
}

/// A connection for one request.
pub(super) struct Connection<'p> {
    pool: &'p Pool,
    over: Over,
    is_new: bool,
    is_kept: bool,
    _place: SemaphorePermit<'p>,
}

enum Over {
    /// `None` once it was given back.
    Http1(Option<http1::SendRequest<Body>>),
    H2(Shared),
}

impl Pool {
    pub(super) fn new(endpoint: Arc<Endpoint>, connections: usize) -> Self {
        let places = match endpoint.protocol() {
            Protocol::Http1 => connections,
            Protocol::H2 => connections.saturating_mul(STREAMS),
        };
        Self {
            endpoint,
            places: Semaphore::new(places.min(Semaphore::MAX_PERMITS)),
            idle: RefCell::default(),
            shared: RefCell::default(),
            connections,
            opening: Mutex::new(()),
        }
    }

    /// A connection, as soon as there may be one more request.
    pub(super) async fn take(&self) -> io::Result<Connection<'_>> {
        let place = self.places.acquire().await.map_err(io::Error::other)?;
        let (over, is_new) = match self.endpoint.protocol() {
            Protocol::Http1 => {
                let (sender, is_new) = self.http1().await?;
                (Over::Http1(Some(sender)), is_new)
            }
            Protocol::H2 => {
                let (shared, is_new) = self.h2().await?;
                shared.streams.set(shared.streams.get() + 1);
                (Over::H2(shared), is_new)
            }
        };
        Ok(Connection {
            pool: self,
            over,
            is_new,
            is_kept: false,
            _place: place,
        })
    }

    async fn http1(&self) -> io::Result<(http1::SendRequest<Body>, bool)> {
        // The one that was used last: the others grow old and are closed by the other side.
        while let Some(sender) = self.pop() {
            if sender.is_ready() {
                return Ok((sender, false));
            }
        }
        let stream = TokioIo::new(self.endpoint.connect().await?);
        let (mut sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
        tokio::task::spawn_local(connection);
        sender.ready().await.map_err(io::Error::other)?;
        Ok((sender, true))
    }

    fn pop(&self) -> Option<http1::SendRequest<Body>> {
        self.idle.borrow_mut().pop()
    }

    async fn h2(&self) -> io::Result<(Shared, bool)> {
        if let Some(shared) = self.least_used() {
            return Ok((shared, false));
        }
        let _opening = self.opening.lock().await;
        // Meanwhile somebody else may have opened one.
        if let Some(shared) = self.least_used() {
            return Ok((shared, false));
        }
        let stream = TokioIo::new(self.endpoint.connect().await?);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .handshake(stream)
            .await
            .map_err(io::Error::other)?;
        tokio::task::spawn_local(connection);
        let shared = Shared {
            sender,
            streams: Rc::default(),
        };
        self.shared.borrow_mut().push(shared.clone());
        Ok((shared, true))
    }

    /// A shared connection with room, or any where no more may be opened.
    fn least_used(&self) -> Option<Shared> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|one| !one.sender.is_closed());
        let is_full = shared.len() >= self.connections;
        let least = shared.iter().min_by_key(|one| one.streams.get())?;
        (is_full || least.streams.get() < STREAMS).then(|| least.clone())
    }
}

impl Connection<'_> {
    /// Sends a request over it. An error brings the request back where nothing of it was sent.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Option<Request<Body>>> {
        match &mut self.over {
            Over::Http1(None) => Err(Some(request)),
            Over::Http1(Some(sender)) => sender
                .try_send_request(request)
                .await
                .map_err(|mut error| error.take_message()),
            Over::H2(shared) => {
                if shared.sender.ready().await.is_err() {
                    return Err(Some(request));
                }
                shared
                    .sender
                    .try_send_request(request)
                    .await
                    .map_err(|mut error| error.take_message())
            }
        }
    }

    /// Whether it was opened for this request.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// The answer was read to its end, so that the connection can serve the next request.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        match &mut self.over {
            Over::Http1(sender) => {
                let sender = sender.take().filter(|_| self.is_kept);
                self.pool.idle.borrow_mut().extend(sender);
            }
            Over::H2(shared) => shared.streams.set(shared.streams.get() - 1),
        }
    }
}
