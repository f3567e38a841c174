//! A scriptable worker inside the test: what it answers is set per path, what it sees is counted.

mod behaviour;
mod counted;
mod websocket;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use parking_lot::Mutex;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, broadcast, watch},
    task::JoinSet,
};

use super::{
    Task,
    client::{Body, BoxError},
    soon,
};

pub(crate) use behaviour::Behaviour;
use counted::Counted;
pub(crate) use websocket::config as websocket_config;

/// Events that may wait for a slow reader.
const EVENTS_MAX: usize = 4096;

/// Heads that are kept; more than any test looks at.
const HEADS_MAX: usize = 10_000;

/// A worker in the test's own process. Dropping it closes its port and every connection.
pub(crate) struct FakeWorker {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _accepting: Task,
}

struct State {
    behaviours: Mutex<BTreeMap<String, Behaviour>>,
    seen: watch::Sender<Seen>,
    heads: Mutex<Vec<Head>>,
    gate: Semaphore,
    events: broadcast::Sender<Bytes>,
}

impl State {
    fn remember(&self, request: &Request<Incoming>, connection: usize) {
        let mut heads = self.heads.lock();
        if heads.len() < HEADS_MAX {
            heads.push(Head {
                connection,
                method: request.method().clone(),
                path: request.uri().path().to_owned(),
                version: request.version(),
                headers: request.headers().clone(),
            });
        }
    }

    /// Waits until the test lets a request go.
    async fn pass_gate(&self) {
        // Closed means that everything may go.
        if let Ok(permit) = self.gate.acquire().await {
            permit.forget();
        }
    }
}

/// What a fake worker has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Open connections.
    pub(crate) connections: usize,
    /// Requests here now.
    pub(crate) current: usize,
    /// The most that `current` ever was.
    pub(crate) peak: usize,
    /// Requests that came.
    pub(crate) started: usize,
    /// Requests that were answered to their end.
    pub(crate) finished: usize,
    /// Requests that were given up by the other side, or that this worker broke off.
    pub(crate) aborted: usize,
}

/// The head of a request that came.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// Which of the accepted connections brought it, counted from 0.
    pub(crate) connection: usize,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
}

impl Head {
    /// A header's values joined by commas; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> String {
        let values = self.headers.get_all(name).iter();
        values
            .map(|value| value.to_str().expect("ASCII"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl FakeWorker {
    /// Starts one on a free port.
    pub(crate) async fn start() -> Self {
        Self::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn bind(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            behaviours: Mutex::default(),
            seen: watch::Sender::default(),
            heads: Mutex::default(),
            gate: Semaphore::new(0),
            events: broadcast::Sender::new(EVENTS_MAX),
        });
        let accepting = Task::spawn(accept(listener, Arc::clone(&state)));
        Self {
            address,
            state,
            _accepting: accepting,
        }
    }

    /// Sets what requests to this path get; others get 200 and `ok`.
    pub(crate) fn on(&self, path: &str, behaviour: Behaviour) -> &Self {
        self.state
            .behaviours
            .lock()
            .insert(path.to_owned(), behaviour);
        self
    }

    /// Lets so many held requests go.
    pub(crate) fn release(&self, requests: usize) {
        self.state.gate.add_permits(requests);
    }

    /// Lets all held requests go, now and from now on.
    pub(crate) fn release_all(&self) {
        self.state.gate.close();
    }

    /// Sends an event to every open stream of events; how many there are.
    pub(crate) fn send_event(&self, data: &str) -> usize {
        self.state
            .events
            .send(format!("data: {data}\n\n").into())
            .unwrap_or(0)
    }

    pub(crate) fn seen(&self) -> Seen {
        *self.state.seen.borrow()
    }

    /// Waits until what was seen is as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.state.seen.subscribe();
        *soon(what, seen.wait_for(|seen| wanted(seen)))
            .await
            .expect("the worker is there")
    }

    /// The heads of the first [`HEADS_MAX`] requests.
    pub(crate) fn heads(&self) -> Vec<Head> {
        self.state.heads.lock().clone()
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                connections.spawn(serve(TokioIo::new(stream), number, Arc::clone(&state)));
                number += 1;
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(io: TokioIo<tokio::net::TcpStream>, number: usize, state: Arc<State>) {
    state.seen.send_modify(|seen| seen.connections += 1);
    let service = service_fn(|request| answer(Arc::clone(&state), number, request));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().enable_connect_protocol();
    // An error is the other side leaving, or a behaviour that breaks off.
    let _ = builder.serve_connection_with_upgrades(io, service).await;
    state.seen.send_modify(|seen| seen.connections -= 1);
}

async fn answer(
    state: Arc<State>,
    connection: usize,
    request: Request<Incoming>,
) -> Result<Response<Body>, BoxError> {
    let counted = Counted::begin(&state);
    let path = request.uri().path().to_owned();
    state.remember(&request, connection);
    let behaviour = state
        .behaviours
        .lock()
        .get(&path)
        .cloned()
        .unwrap_or_default();
    behaviour.answer(&state, request, counted).await
}
