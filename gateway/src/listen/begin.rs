//! From an accepted connection to its first request: the client's address, its place, TLS, and
//! whether it speaks HTTP/2.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use penstock_config::RequestLimits;
use pingora_core::server::ShutdownWatch;
use tokio::{net::TcpStream, time::timeout};

use super::serving::serve;
use crate::{
    settle::thread::Thread,
    socket::{
        crowd::{Client, Place},
        io::DownstreamIo,
        proxy_header::Malformed,
        terms::Terms,
        tls,
    },
};

/// Serves the connections of one listener on one thread.
pub(crate) struct App {
    pub(super) thread: Arc<Thread>,
    /// A reload may change them.
    terms: Arc<ArcSwap<Terms>>,
}

impl App {
    /// Serves connections on `thread`, on the terms that hold when they come.
    pub(crate) fn new(thread: Arc<Thread>, terms: Arc<ArcSwap<Terms>>) -> Self {
        Self { thread, terms }
    }

    /// The terms of a connection that comes now.
    pub(super) fn terms(&self) -> Arc<Terms> {
        self.terms.load_full()
    }

    /// Serves a connection in a task of its own, if there is a place for it.
    pub(crate) fn begin(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        shutdown: &ShutdownWatch,
    ) {
        let thread = &self.thread;
        // A proxy that names its clients is nobody's limit.
        let client = match self.terms.load().proxies.is_empty() {
            true => limited(thread, peer.ip()),
            false => None,
        };
        let most = thread.settings().most;
        let Some(place) = thread.shared.crowd.enter(client, most, thread.now()) else {
            return;
        };
        let open = thread.opened();
        let shutdown = shutdown.clone();
        tokio::spawn(serve(Arc::clone(self), stream, peer, place, shutdown, open));
    }

    /// Counts that this machine lacks what it takes to accept a connection.
    pub(crate) fn cannot_accept(&self, error: &io::Error) {
        let errors = &self.thread.shared.accept_errors;
        if let Some(count) = errors.add(self.thread.now()) {
            tracing::warn!(%error, count, "connections wait: none can be accepted");
        }
    }
}

/// Reads what comes before the first request: the client's address, TLS, and whether it speaks HTTP/2.
/// `None` when that does not come, or not in time.
pub(super) async fn begin(
    thread: &Thread,
    terms: &Terms,
    mut io: DownstreamIo,
    peer: SocketAddr,
    place: &mut Place,
    limits: &RequestLimits,
) -> Option<(DownstreamIo, SocketAddr, bool)> {
    let client = client(thread, terms, &mut io, peer, place, limits).await?;
    let handshakes = &thread.shared.handshakes;
    if let Some(tls) = &terms.tls {
        // Boxed, because the future is large and most connections have none.
        let secured = Box::pin(io.secure(Arc::clone(tls), limits.header_timeout)).await;
        io = match secured {
            Ok(io) => io,
            Err(failed) => {
                handshakes.failed(client, failed.outcome, &failed.error, thread.now());
                return None;
            }
        };
        handshakes.done();
    }
    let preface = io.reads_h2_preface(limits.header_timeout);
    let h2 = timeout(limits.idle_timeout, preface).await;
    let h2 = h2.ok()?.ok()?;
    if terms.tls.is_none() && io.begins_with_tls() {
        handshakes.failed(client, tls::Outcome::PlainListener, "", thread.now());
        return None;
    }
    Some((io, client, h2))
}

/// The client's address: that of the peer, unless the peer is a proxy that names its client.
async fn client(
    thread: &Thread,
    terms: &Terms,
    io: &mut DownstreamIo,
    peer: SocketAddr,
    place: &mut Place,
    limits: &RequestLimits,
) -> Option<SocketAddr> {
    if terms.proxies.is_empty() {
        return Some(peer);
    }
    if !terms.proxies.contains(peer.ip()) {
        refuse_header(thread, peer, Malformed::Stranger);
        return None;
    }
    let client = named_client(thread, io, peer, limits.header_timeout).await?;
    // A proxy that speaks for itself looks whether somebody is here.
    (client == peer || has_room(thread, place, client.ip())).then_some(client)
}

/// Who is behind the proxy that the connection comes from; `None` when that does not say so in the way
/// or the time it should.
async fn named_client(
    thread: &Thread,
    io: &mut DownstreamIo,
    peer: SocketAddr,
    limit: Duration,
) -> Option<SocketAddr> {
    let header = timeout(limit, io.read_proxy_header()).await;
    let malformed = match header {
        Ok(Ok(Ok(client))) => return Some(client.unwrap_or(peer)),
        // Nothing but a look whether somebody listens here.
        Ok(Err(_)) => return None,
        Ok(Ok(Err(malformed))) => malformed,
        Err(_) => Malformed::Incomplete,
    };
    refuse_header(thread, peer, malformed);
    None
}

/// Whether a client may have one more connection.
fn has_room(thread: &Thread, place: &mut Place, client: IpAddr) -> bool {
    let most = thread.settings().most;
    limited(thread, client).is_none_or(|client| place.belongs_to(client, most, thread.now()))
}

/// The client whose connections are counted: a trusted proxy brings those of many.
fn limited(thread: &Thread, client: IpAddr) -> Option<Client> {
    let settings = thread.settings();
    let is_trusted = settings.trusted.contains(client);
    (!is_trusted).then(|| Client::at(client, settings.limits.ipv6_prefix))
}

fn refuse_header(thread: &Thread, peer: SocketAddr, why: Malformed) {
    let refused = &thread.shared.refused_headers;
    if let Some(count) = refused.add(thread.now()) {
        tracing::warn!(%peer, %why, count, "connection closed");
    }
}
