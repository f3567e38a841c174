//! Upgrades: after both sides agreed, bytes go both ways until one side ends.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    sync::oneshot,
};

use crate::{
    http2,
    settle::{exchange::Exchange, thread::Thread},
};

/// Bytes held per direction.
const BUFFER: usize = 16 * 1024;

/// Once one side has ended, the other has this long to say the rest. Without a bound a client that
/// just stays would keep its worker from draining for ever.
const LINGER: Duration = Duration::from_secs(5);

/// Both ends of a tunnel that opens once the client has the answer.
pub(crate) struct Switch {
    /// The client's end.
    pub(crate) downstream: End,
    /// The worker's end.
    pub(crate) upstream: End,
}

/// One end of a tunnel.
pub(crate) enum End {
    /// A connection of HTTP/1.1.
    Http1(OnUpgrade),
    /// A stream of HTTP/2.
    Http2(Box<http2::Tunnel>),
    /// One that is opened with the answer.
    Asked(oneshot::Receiver<http2::Tunnel>),
}

trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

impl End {
    /// Its bytes; none when the other side has left before.
    async fn open(self) -> Option<Pin<Box<dyn Stream>>> {
        Some(match self {
            Self::Http1(upgrade) => Box::pin(TokioIo::new(upgrade.await.ok()?)),
            Self::Http2(tunnel) => Box::pin(tunnel),
            Self::Asked(tunnel) => Box::pin(tunnel.await.ok()?),
        })
    }
}

/// Runs the tunnel in a task of its own; the exchange settles when it ends.
pub(crate) fn start(mut exchange: Box<Exchange>, thread: &Arc<Thread>, switch: Switch) {
    exchange.tunnelled();
    let open = thread.opened();
    tokio::spawn(async move {
        let _open = open;
        let ends = tokio::join!(switch.downstream.open(), switch.upstream.open());
        let (Some(downstream), Some(upstream)) = ends else {
            return;
        };
        relay(downstream, upstream, &mut exchange).await;
    });
}

/// Copies both ways until both sides have ended, one side has been broken, or [`LINGER`] is over.
async fn relay(
    downstream: impl AsyncRead + AsyncWrite,
    upstream: impl AsyncRead + AsyncWrite,
    exchange: &mut Exchange,
) {
    let (from_client, to_client) = split(downstream);
    let (from_worker, to_worker) = split(upstream);
    let up = copy(from_client, to_worker, |_| {});
    let down = copy(from_worker, to_client, |bytes| exchange.tunnel_sent(bytes));
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    let rest = tokio::select! {
        ended = up.as_mut() => match ended {
            Ok(()) => tokio::time::timeout(LINGER, down).await,
            Err(_) => return,
        },
        ended = down.as_mut() => match ended {
            Ok(()) => tokio::time::timeout(LINGER, up).await,
            Err(_) => return,
        },
    };
    // Whether the rest came in time or not: the tunnel is over.
    drop(rest);
}

/// Copies to the end of `from` and then ends `to`.
async fn copy(
    from: impl AsyncRead,
    to: impl AsyncWrite,
    mut copied: impl FnMut(usize),
) -> io::Result<()> {
    let (mut from, mut to) = (std::pin::pin!(from), std::pin::pin!(to));
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
        to.flush().await?;
        copied(read);
    }
}
