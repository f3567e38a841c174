//! What came on the streams of one connection and nobody has taken: so much less may its peer send, on
//! whichever of them.

use std::sync::Arc;

use h2::{FlowControl, RecvStream};
use parking_lot::Mutex;

/// The bodies of one connection that are looked at.
#[derive(Default)]
pub(super) struct Window {
    bodies: Mutex<Bodies>,
}

#[derive(Default)]
struct Bodies {
    last: u64,
    open: Vec<(u64, FlowControl)>,
}

/// A body that is looked at until this is dropped, which must be before its stream is.
pub(super) struct Watched {
    window: Arc<Window>,
    number: u64,
}

impl Window {
    /// Looks at what comes on `stream`.
    pub(super) fn watch(self: &Arc<Self>, stream: &mut RecvStream) -> Watched {
        let mut bodies = self.bodies.lock();
        bodies.last += 1;
        let number = bodies.last;
        bodies.open.push((number, stream.flow_control().clone()));
        Watched {
            window: Arc::clone(self),
            number,
        }
    }
}

impl Watched {
    /// Bytes that came on all that are looked at, and that nobody has taken.
    pub(super) fn untaken(&self) -> usize {
        let bodies = self.window.bodies.lock();
        let untaken = bodies.open.iter().map(|(_, body)| body.used_capacity());
        untaken.sum()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut bodies = self.window.bodies.lock();
        bodies.open.retain(|(number, _)| *number != self.number);
    }
}
