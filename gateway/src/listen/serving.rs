//! One downstream connection: protocol by preface, served as bytes, by hyper or by `h2`, to its end.

use std::{net::SocketAddr, os::fd::AsRawFd, pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use penstock_config::RequestLimits;
use pingora_core::server::ShutdownWatch;
use tokio::net::TcpStream;

use super::begin::{self, App};
use crate::{
    http2::{self, Incoming},
    serve::{proxy, relay},
    settle::thread::Open,
    socket::{
        connection::{Connection, stalled, watch},
        crowd::Place,
        io::DownstreamIo,
    },
};

/// Header fields hyper keeps on the stack; more of them cost an allocation per request.
const HYPER_DEFAULT_MAX_HEADERS: usize = 100;

/// Smallest buffer hyper accepts.
const HYPER_MIN_BUFFER: usize = 8192;

/// An HTTP/2 client has this long to hear that its idle connection ends (GOAWAY, RFC 9113 §6.8), so
/// that no request of its is lost on the way.
const GOAWAY_GRACE: Duration = Duration::from_secs(1);

/// Serves a connection that was just accepted, and counts as `open`.
#[allow(
    clippy::manual_async_fn,
    reason = "it would hold its arguments twice, and the memory of this is that of every connection"
)]
pub(super) fn serve(
    app: Arc<App>,
    stream: TcpStream,
    peer: SocketAddr,
    mut place: Place,
    shutdown: ShutdownWatch,
    open: Open,
) -> impl Future<Output = ()> + Send {
    async move {
        let _open = open;
        // Small writes (a token, a header) must leave at once. A socket that cannot be told so is closed
        // already.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let thread = &app.thread;
        let terms = app.terms();
        let settings = thread.shared.settings.load_full();
        let limits = &settings.limits;
        let fd = stream.as_raw_fd();
        let seat = Arc::clone(&place.seat);
        // What lasts for a moment, or is rare, is boxed: the size of this future is memory of every connection.
        let begun = Box::pin(async {
            let io = DownstreamIo::new(stream);
            let mut ends = shutdown.clone();
            tokio::select! {
                biased;
                begun = begin::begin(thread, &terms, io, peer, &mut place, limits) => begun,
                // Whoever has said nothing so far keeps nobody from ending, and nobody out.
                _ = ends.wait_for(|&down| down) => None,
                () = seat.asked_to_leave() => None,
            }
        });
        let Some((mut io, peer, h2)) = begun.await else {
            return;
        };
        let connection = Connection::new(Arc::clone(thread), peer, h2, fd, seat, terms);
        let connection = Arc::new(connection);
        if h2 {
            io.attach(Arc::clone(&connection));
            Box::pin(serve_h2(connection, io, *limits, shutdown)).await;
            return;
        }
        let (stream, read) = io.into_parts();
        let handed_on = relay::serve(&connection, stream, read, limits, &shutdown).await;
        if let Some(mut io) = handed_on {
            io.attach(Arc::clone(&connection));
            Box::pin(serve_h1(connection, *io, *limits, shutdown)).await;
        }
    }
}

async fn serve_h1(
    connection: Arc<Connection>,
    io: DownstreamIo,
    limits: RequestLimits,
    shutdown: ShutdownWatch,
) {
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(limits.max_header_bytes.max(HYPER_MIN_BUFFER))
        .max_header_size(limits.max_header_bytes)
        .timer(TokioTimer::new())
        // The connection's own timer tells an idle connection from a slow head; hyper's does not.
        .header_read_timeout(None);
    if limits.max_headers != HYPER_DEFAULT_MAX_HEADERS {
        builder.max_headers(limits.max_headers);
    }
    let service = {
        let connection = Arc::clone(&connection);
        service_fn(move |request: http::Request<hyper::body::Incoming>| {
            proxy::handle(Arc::clone(&connection), request.map(Incoming::Http1))
        })
    };
    let mut serving = pin!(
        builder
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades()
    );
    tokio::select! {
        biased;
        _ = &mut serving => return,
        () = watch(&connection, &limits, shutdown) => {}
    }
    if connection.gives_way() {
        return;
    }
    serving.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        _ = &mut serving => {}
        () = stalled(&connection, &limits) => {}
    }
}

async fn serve_h2(
    connection: Arc<Connection>,
    io: DownstreamIo,
    limits: RequestLimits,
    shutdown: ShutdownWatch,
) {
    let terms = http2::Limits {
        streams: limits.max_streams,
        head_max: limits.max_header_bytes,
    };
    let handle = {
        let connection = Arc::clone(&connection);
        move |request: http::Request<http2::Content>| {
            proxy::handle(Arc::clone(&connection), request.map(Incoming::Http2))
        }
    };
    let mut serving = http2::Serving::new(io, terms, handle);
    tokio::select! {
        biased;
        () = &mut serving => return,
        () = watch(&connection, &limits, shutdown) => {}
    }
    serving.graceful_shutdown();
    let goes_on = async {
        tokio::time::sleep(GOAWAY_GRACE).await;
        stalled(&connection, &limits).await;
    };
    tokio::select! {
        biased;
        () = &mut serving => {}
        () = goes_on => {}
    }
}
