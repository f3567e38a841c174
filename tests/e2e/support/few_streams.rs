//! A worker that allows only so many HTTP/2 streams at once on a connection.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{Request, Response};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

use super::{Task, soon};

/// It says its settings, and answers, when the test lets it. A request to `/early` is answered at once, and
/// its body read then.
pub(crate) struct FewStreams {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _accepting: Task,
}

struct State {
    streams: u32,
    seen: watch::Sender<Seen>,
    may_say_settings: Semaphore,
    may_answer: Semaphore,
}

/// What it has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Connections that came, probes of the port included.
    pub(crate) connections: usize,
    /// Connections that brought a request.
    pub(crate) used: usize,
    /// Requests that came.
    pub(crate) requests: usize,
    /// Bodies that were read to their end.
    pub(crate) bodies: usize,
}

impl FewStreams {
    /// One that allows so many.
    pub(crate) async fn start(streams: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            streams,
            seen: watch::Sender::default(),
            may_say_settings: Semaphore::new(0),
            may_answer: Semaphore::new(0),
        });
        let accepted = Arc::clone(&state);
        let accepting = Task::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                accepted.seen.send_modify(|seen| seen.connections += 1);
                connections.spawn(serve(stream, Arc::clone(&accepted)));
            }
        });
        Self {
            address,
            state,
            _accepting: accepting,
        }
    }

    /// Says its settings, from now on.
    pub(crate) fn say_settings(&self) -> &Self {
        self.state.may_say_settings.close();
        self
    }

    /// Answers all requests, from now on.
    pub(crate) fn answer_all(&self) {
        self.state.may_answer.close();
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
}

/// Waits until the test opens the gate.
async fn passed(gate: &Semaphore) {
    assert!(
        gate.acquire().await.is_err(),
        "gates are closed to open them"
    );
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    passed(&state.may_say_settings).await;
    let mut builder = h2::server::Builder::new();
    let handshake = builder.max_concurrent_streams(state.streams);
    let Ok(mut connection) = handshake.handshake(stream).await else {
        return;
    };
    let mut is_used = false;
    let mut requests = JoinSet::new();
    while let Some(Ok((request, answer))) = connection.accept().await {
        state.seen.send_modify(|seen| {
            seen.used += usize::from(!is_used);
            seen.requests += 1;
        });
        is_used = true;
        requests.spawn(respond(request, answer, Arc::clone(&state)));
    }
}

async fn respond(request: Request<RecvStream>, mut answer: SendResponse<Bytes>, state: Arc<State>) {
    let is_early = request.uri().path() == "/early";
    if !is_early {
        passed(&state.may_answer).await;
    }
    let answered = answer.send_response(Response::new(()), false);
    let _ = answered.and_then(|mut body| body.send_data("ok".into(), true));
    let mut body = request.into_body();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
    }
    state.seen.send_modify(|seen| seen.bodies += 1);
}
