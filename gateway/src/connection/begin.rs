//! From an accepted connection to its first request: the client's address, its place, and whether it speaks HTTP/2.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use penstock_config::RequestLimits;
use pingora_core::{protocols::l4::stream::Stream as L4Stream, server::ShutdownWatch};
use tokio::{net::TcpStream, time::timeout};

use super::serve;
use crate::{
    crowd::{Client, Place},
    io::DownstreamIo,
    networks::Networks,
    proxy_header::Malformed,
    thread::Thread,
};

/// Serves the connections of one listener on one thread.
pub(crate) struct App {
    pub(super) thread: Arc<Thread>,
    /// Proxies whose connections begin with a PROXY protocol header; a reload may change them.
    proxies: Arc<ArcSwap<Networks>>,
}

impl App {
    /// Serves connections on `thread`. Where there are `proxies`, connections come from them and begin
    /// with a PROXY protocol header.
    pub(crate) fn new(thread: Arc<Thread>, proxies: Arc<ArcSwap<Networks>>) -> Self {
        Self { thread, proxies }
    }
}

impl App {
    /// Serves a connection in a task of its own, if there is a place for it.
    pub(crate) fn begin(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        shutdown: &ShutdownWatch,
    ) {
        let thread = &self.thread;
        // A proxy that names its clients is nobody's limit.
        let client = match self.proxies.load().is_empty() {
            true => limited(thread, peer.ip()),
            false => None,
        };
        let most = thread.settings().most;
        let Some(place) = thread.shared.crowd.enter(client, most, thread.now()) else {
            return;
        };
        let (app, shutdown) = (Arc::clone(self), shutdown.clone());
        let open = thread.opened();
        tokio::spawn(async move {
            let _open = open;
            // Small writes (a token, a header) must leave at once. A socket that cannot be told so is
            // closed already.
            if stream.set_nodelay(true).is_ok() {
                let stream = Box::new(L4Stream::from(stream));
                serve(&app, stream, peer, place, shutdown).await;
            }
        });
    }

    /// Counts that this machine lacks what it takes to accept a connection.
    pub(crate) fn cannot_accept(&self, error: &io::Error) {
        let errors = &self.thread.shared.accept_errors;
        if let Some(count) = errors.add(self.thread.now()) {
            tracing::warn!(%error, count, "connections wait: none can be accepted");
        }
    }
}

/// Reads what comes before the first request: the client's address, and whether it speaks HTTP/2.
/// `None` when that does not come, or not in time.
pub(super) async fn begin(
    app: &App,
    io: &mut DownstreamIo,
    peer: SocketAddr,
    place: &mut Place,
    limits: &RequestLimits,
) -> Option<(SocketAddr, bool)> {
    let thread = &*app.thread;
    let believed = {
        let proxies = app.proxies.load();
        (!proxies.is_empty()).then(|| proxies.contains(peer.ip()))
    };
    let client = match believed {
        None => peer,
        Some(true) => {
            let client = named_client(thread, io, peer, limits.header_timeout).await?;
            // A proxy that speaks for itself looks whether somebody is here.
            if client != peer && !has_room(thread, place, client.ip()) {
                return None;
            }
            client
        }
        Some(false) => {
            refuse_header(thread, peer, Malformed::Stranger);
            return None;
        }
    };
    let preface = io.reads_h2_preface(limits.header_timeout);
    let h2 = timeout(limits.idle_timeout, preface).await;
    Some((client, h2.ok()?.ok()?))
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
