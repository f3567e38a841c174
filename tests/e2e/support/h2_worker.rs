//! A worker by `h2` itself, which does with streams what a worker of the library's own would not.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use futures_util::future::poll_fn;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::{Task, soon};

/// What it does is said by the path:
///
/// | path | |
/// |---|---|
/// | `/stuck` | begins an answer and takes nothing of the body |
/// | `/chatty` | the same, and goes on with the answer |
/// | `/early` | answers whole and takes nothing of the body |
/// | `/refuse` | answers with 413 at once and takes the stream back |
/// | `/hold` | takes nothing and answers nothing |
/// | `/head/N` | answers with a head of about N bytes |
/// | `/events` | small frames without end, as far as they are taken |
/// | `/pour` | large ones |
/// | `/empty` | a hundred and fifty empty frames, then `ok` |
/// | `/early-hints` | two interim answers, then `ok` |
/// | `/trailers` | `ok` and trailers, some of which must not be there |
/// | others | takes the body and answers with its length, and its trailers in the head |
pub(crate) struct H2Worker {
    pub(crate) address: SocketAddr,
    seen: watch::Receiver<Seen>,
    _accepting: Task,
}

/// What it has seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Connections that brought a request.
    pub(crate) connections: usize,
    /// Connections that ended by an error.
    pub(crate) broken: usize,
    pub(crate) requests: usize,
    /// Requests that were taken back, and why.
    pub(crate) taken_back: Vec<Reason>,
}

impl H2Worker {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sees, seen) = watch::channel(Seen::default());
        let sees = Arc::new(sees);
        let accepting = Task::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                connections.spawn(serve(stream, Arc::clone(&sees)));
            }
        });
        Self {
            address,
            seen,
            _accepting: accepting,
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until what was seen is as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.clone();
        let seen = soon(what, seen.wait_for(|seen| wanted(seen))).await;
        seen.expect("the worker is there").clone()
    }
}

async fn serve(stream: TcpStream, sees: Arc<watch::Sender<Seen>>) {
    let mut builder = h2::server::Builder::new();
    builder.max_header_list_size(1 << 20);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    let mut is_used = false;
    let mut requests = JoinSet::new();
    while let Some(accepted) = connection.accept().await {
        let Ok((request, answer)) = accepted else {
            sees.send_modify(|seen| seen.broken += 1);
            return;
        };
        sees.send_modify(|seen| {
            seen.connections += usize::from(!is_used);
            seen.requests += 1;
        });
        is_used = true;
        requests.spawn(respond(request, answer, Arc::clone(&sees)));
    }
}

async fn respond(
    request: Request<RecvStream>,
    mut answer: SendResponse<Bytes>,
    sees: Arc<watch::Sender<Seen>>,
) {
    let path = request.uri().path().to_owned();
    let headers = request.headers().clone();
    let mut body = request.into_body();
    let reset = match &*path {
        "/hold" => poll_fn(|cx| answer.poll_reset(cx)).await.ok(),
        "/stuck" | "/chatty" | "/early" | "/events" | "/pour" => {
            let Ok(mut to) = answer.send_response(Response::new(()), false) else {
                return;
            };
            // Not dropped, which would take the stream back.
            let reset = match &*path {
                "/stuck" => {
                    let _ = to.send_data("begun".into(), false);
                    poll_fn(|cx| to.poll_reset(cx)).await.ok()
                }
                "/early" => {
                    let _ = to.send_data("answer".into(), true);
                    poll_fn(|cx| to.poll_reset(cx)).await.ok()
                }
                "/pour" => pour(&mut to, &[b'x'; 16 << 10]).await,
                _ => pour(&mut to, b"data: a small event\n").await,
            };
            drop(body);
            reset
        }
        "/refuse" => {
            let refusal = Response::builder().status(413).body(()).unwrap();
            let _ = answer.send_response(refusal, true);
            None
        }
        "/empty" => {
            if let Ok(mut to) = answer.send_response(Response::new(()), false) {
                for _ in 0..150 {
                    let _ = to.send_data(Bytes::new(), false);
                }
                let _ = to.send_data("ok".into(), true);
            }
            None
        }
        "/early-hints" => {
            for link in ["</a>", "</b>"] {
                let hint = Response::builder().status(103).header("link", link);
                let hint = hint.header("x-penstock-reason", "forged").body(());
                answer.send_informational(hint.unwrap()).unwrap();
            }
            if let Ok(mut to) = answer.send_response(Response::new(()), false) {
                let _ = to.send_data("ok".into(), true);
            }
            None
        }
        "/trailers" => {
            let mut response = Response::new(());
            if let Some(kind) = headers.get("content-type") {
                response.headers_mut().insert("content-type", kind.clone());
            }
            if let Ok(mut to) = answer.send_response(response, false) {
                let _ = to.send_data("ok".into(), false);
                let mut trailers = HeaderMap::new();
                for (name, value) in [
                    ("grpc-status", "0"),
                    ("content-length", "7"),
                    ("x-own", "1"),
                ] {
                    trailers.insert(name, HeaderValue::from_static(value));
                }
                let _ = to.send_trailers(trailers);
            }
            None
        }
        path if path.starts_with("/head/") => {
            let bytes = path["/head/".len()..].parse().unwrap();
            let mut response = Response::new(());
            // Several, because a field has bounds of its own.
            let mut left: usize = bytes;
            while left > 0 {
                let part = left.min(4000);
                let value = HeaderValue::try_from("h".repeat(part)).unwrap();
                response.headers_mut().append("x-part", value);
                left -= part;
            }
            if let Ok(mut to) = answer.send_response(response, false) {
                let _ = to.send_data("whole".into(), true);
            }
            None
        }
        _ => {
            let mut length = 0;
            while let Some(Ok(piece)) = body.data().await {
                length += piece.len();
                let _ = body.flow_control().release_capacity(piece.len());
            }
            let mut response = Response::new(());
            if let Ok(Some(trailers)) = body.trailers().await {
                for (name, value) in &trailers {
                    let name = format!("got-{name}");
                    let name = http::HeaderName::try_from(name).unwrap();
                    response.headers_mut().append(name, value.clone());
                }
            }
            if let Ok(mut to) = answer.send_response(response, false) {
                let _ = to.send_data(length.to_string().into(), true);
            }
            None
        }
    };
    if let Some(reset) = reset {
        sees.send_modify(|seen| seen.taken_back.push(reset));
    }
}

/// Sends the same again and again until the stream is taken back.
async fn pour(to: &mut SendStream<Bytes>, bytes: &'static [u8]) -> Option<Reason> {
    loop {
        to.reserve_capacity(bytes.len());
        let reset = poll_fn(|cx| {
            if let std::task::Poll::Ready(reset) = to.poll_reset(cx) {
                return std::task::Poll::Ready(Some(reset.ok()));
            }
            if to.capacity() >= bytes.len() {
                return std::task::Poll::Ready(None);
            }
            to.poll_capacity(cx).map(|_| None)
        })
        .await;
        if let Some(reset) = reset {
            return reset;
        }
        if to.capacity() >= bytes.len() {
            let _ = to.send_data(Bytes::from_static(bytes), false);
        }
        tokio::task::yield_now().await;
    }
}
