//! Upgrades: after both sides agreed, bytes go both ways until one side ends.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;

use crate::{exchange::Exchange, thread::Thread};

/// Bytes held per direction.
const BUFFER: usize = 16 * 1024;

/// Both ends of a tunnel that opens once the client has the answer.
pub(crate) struct Switch {
    /// The client's end.
    pub(crate) downstream: OnUpgrade,
    /// The worker's end.
    pub(crate) upstream: OnUpgrade,
}

/// Runs the tunnel in a task of its own; the exchange settles when it ends.
pub(crate) fn start(mut exchange: Box<Exchange>, thread: &Arc<Thread>, switch: Switch) {
    exchange.tunnelled();
    let open = thread.opened();
    tokio::spawn(async move {
        let _open = open;
        let ends = tokio::try_join!(switch.downstream, switch.upstream);
        let Ok((downstream, upstream)) = ends else {
            return;
        };
        let mut downstream = TokioIo::new(downstream);
        let mut upstream = TokioIo::new(upstream);
        let copied = copy_bidirectional_with_sizes(&mut downstream, &mut upstream, BUFFER, BUFFER);
        // An error is one side's way to end: a reset socket, a worker that was killed.
        if let Ok((_, to_client)) = copied.await {
            exchange.tunnel_sent(to_client);
        }
    });
}
