//! Serving the admin address within bounds, so that a client that is slow, greedy or hostile costs
//! the others nothing.
//!
//! A connection counts as busy from the moment its request is complete until the answer has been
//! taken. When there are too many connections, the oldest one that is not busy makes room: a client
//! that only holds connections, or sends its requests a byte at a time, keeps nobody away.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::Request,
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http_body_util::LengthLimitError;
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::AbortHandle,
    time::timeout,
};

use super::{Problem, access::Peer, impatient::Impatient};

/// How long to wait after a connection could not be accepted: there are no descriptors, and others
/// need time to give some back.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// What one client may take, and all together.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most open connections.
    pub connections: usize,
    /// Most requests that are worked on at the same time, health checks aside.
    pub requests: usize,
    /// Longest wait for a request's head, and longest time without a request.
    pub head: Duration,
    /// Longest time that a request's body may take.
    pub body: Duration,
    /// Largest body of a request, in bytes.
    pub body_bytes: usize,
    /// Longest work on a request, until its answer begins.
    pub answer: Duration,
    /// Longest time in which a client takes nothing of its answer.
    pub unread: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 256,
            requests: 128,
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            body_bytes: 64 << 10,
            answer: Duration::from_secs(60),
            unread: Duration::from_secs(30),
        }
    }
}

/// Busy while this lives. Kept with the request, then with its answer.
#[derive(Debug)]
struct Busy(Arc<AtomicU32>);

impl Busy {
    fn new(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many requests a connection is busy with.
#[derive(Debug, Clone, Default)]
struct Count(Arc<AtomicU32>);

/// An open connection.
struct Open {
    busy: Arc<AtomicU32>,
    task: AbortHandle,
}

/// Adds the bounds of a request to `router`.
pub(super) fn bounded(router: Router, bounds: Bounds) -> Router {
    let requests = Arc::new(Semaphore::new(bounds.requests));
    router.layer(middleware::from_fn(move |request, next| {
        within(bounds, Arc::clone(&requests), request, next)
    }))
}

/// Where connections come from.
pub(super) trait Accept: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, and from whom it is.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = Self::accept(self).await?;
        // Answers are small; a failure costs a few milliseconds.
        let _ = stream.set_nodelay(true);
        Ok((stream, Peer::Address(address)))
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = Self::accept(self).await?;
        let user = stream.peer_cred()?.uid();
        Ok((stream, Peer::Socket(user)))
    }
}

/// Accepts connections for ever.
pub(super) async fn serve(listener: impl Accept, router: Router, bounds: Bounds) {
    let mut open: Vec<Open> = Vec::new();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the admin address cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        open.retain(|connection| !connection.task.is_finished());
        if open.len() >= bounds.connections {
            let mut idle = open.iter();
            let Some(oldest) = idle.position(|open| open.busy.load(Ordering::Relaxed) == 0) else {
                // All are at work. Whoever comes now sees that by the end of the connection.
                continue;
            };
            open.remove(oldest).task.abort();
        }
        let count = Count::default();
        let busy = Arc::clone(&count.0);
        let task = tokio::spawn(connection(stream, peer, router.clone(), count, bounds));
        open.push(Open {
            busy,
            task: task.abort_handle(),
        });
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    router: Router,
    count: Count,
    bounds: Bounds,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(count.clone());
        request.extensions_mut().insert(peer);
        hyper::service::Service::call(&router, request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Impatient::new(stream, bounds.unread)), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the admin address broke");
    }
}

/// Reads the whole request, then works on it as one of a bounded number and for a bounded time.
async fn within(
    bounds: Bounds,
    requests: Arc<Semaphore>,
    request: Request,
    next: Next,
) -> Response {
    let request = match timeout(bounds.body, whole(request, bounds.body_bytes)).await {
        Ok(Ok(request)) => request,
        Ok(Err(problem)) => return problem.into_response(),
        Err(_) => {
            let detail = format!("the request's body did not come within {:?}", bounds.body);
            return Problem::new(StatusCode::REQUEST_TIMEOUT, detail).into_response();
        }
    };
    let busy = request
        .extensions()
        .get::<Count>()
        .map(|count| Busy::new(&count.0));
    // Whoever asks whether this process lives must learn it also when it has much to do.
    let permit = if matches!(request.uri().path(), "/healthz" | "/readyz") {
        None
    } else if let Ok(permit) = requests.try_acquire_owned() {
        Some(permit)
    } else {
        let detail = format!("{} requests are being answered already", bounds.requests);
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    };
    match timeout(bounds.answer, next.run(request)).await {
        Ok(answer) => answer.map(|body| {
            Body::new(Held {
                body,
                _held: (busy, permit),
            })
        }),
        Err(_) => {
            let detail = format!(
                "no answer within {:?}; what was asked for may still happen",
                bounds.answer
            );
            Problem::new(StatusCode::GATEWAY_TIMEOUT, detail).into_response()
        }
    }
}

/// The request with a body that has come in.
async fn whole(request: Request, bytes_max: usize) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, bytes_max).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        if source.is_some_and(|source| source.is::<LengthLimitError>()) {
            let detail = format!("the request's body is longer than {bytes_max} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        } else {
            Problem::new(StatusCode::BAD_REQUEST, format!("the body: {error}"))
        }
    })?;
    Ok(Request::from_parts(parts, bytes.into()))
}

/// A body that keeps something until it is gone.
struct Held {
    body: Body,
    _held: (Option<Busy>, Option<OwnedSemaphorePermit>),
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
