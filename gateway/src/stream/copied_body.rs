//! The body of a copied request: the way of its pieces from the original to the copy.
//!
//! The original's body hands every piece on as it passes, which never waits: a piece is kept until the
//! copy's connection asks for it. What is kept has a bound. When the copy is so slow that the next
//! piece would not fit, everything is let go and the copy is over.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::count::metrics::Dropped;

/// What keeping a piece costs besides its bytes, so that a body of tiny pieces is bounded as well.
const PIECE_COST: u64 = 64;

/// Shorter pieces are copied: each may hold on to a whole buffer that it was read into, and what is
/// kept would be many times what is counted.
const SHARED_MIN: usize = 16 << 10;

/// The original's end. Dropped before [`Tee::complete`] was called, it gives the copy up.
pub(crate) struct Tee(Arc<Pipe>);

/// The copy's end.
pub(crate) struct CopiedBody(Arc<Pipe>);

/// What the copy's task knows of its body.
pub(crate) struct Watch(Arc<Pipe>);

struct Pipe {
    state: Mutex<State>,
    /// Told when the state becomes [`End::Failed`].
    failed: Notify,
    /// Bytes kept for all copies of the deployment.
    kept_by_all: Arc<AtomicU64>,
    bytes_max: u64,
}

struct State {
    pieces: VecDeque<Piece>,
    /// Cost of what is in `pieces`.
    kept: u64,
    /// Bytes of body that are still to be read, if the original told its length.
    left: Option<u64>,
    end: End,
    reader: Option<Waker>,
}

enum Piece {
    Data(Bytes),
    Trailers(Box<HeaderMap>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// There is more to come.
    Open,
    /// The original's body has ended.
    Complete,
    /// The copy will not get the rest.
    Failed(Dropped),
    /// Nobody reads any more.
    Unread,
}

/// A pipe for a body whose length the original told, if it did. It keeps at most `bytes_max`, or one
/// piece if that is more, and counts what it keeps in `kept_by_all` too.
pub(crate) fn pipe(
    length: Option<u64>,
    bytes_max: u64,
    kept_by_all: Arc<AtomicU64>,
) -> (Tee, CopiedBody, Watch) {
    let pipe = Arc::new(Pipe {
        state: Mutex::new(State {
            pieces: VecDeque::new(),
            kept: 0,
            left: length,
            end: End::Open,
            reader: None,
        }),
        failed: Notify::new(),
        kept_by_all,
        bytes_max,
    });
    (
        Tee(Arc::clone(&pipe)),
        CopiedBody(Arc::clone(&pipe)),
        Watch(pipe),
    )
}

impl Tee {
    /// Hands a piece on.
    pub(crate) fn push(&self, frame: &Frame<Bytes>) {
        let piece = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) if data.is_empty() => return,
            (Some(data), _) if data.len() < SHARED_MIN => Piece::Data(Bytes::copy_from_slice(data)),
            (Some(data), _) => Piece::Data(data.clone()),
            (None, Some(trailers)) => Piece::Trailers(Box::new(trailers.clone())),
            (None, None) => return,
        };
        let cost = piece.cost();
        let mut state = self.0.state.lock();
        if state.end != End::Open {
            return;
        }
        if state.kept > 0 && state.kept + cost > self.0.bytes_max {
            drop(state);
            self.0.fail(Dropped::Behind);
            return;
        }
        state.kept += cost;
        state.pieces.push_back(piece);
        self.0.kept_by_all.fetch_add(cost, Ordering::Relaxed);
        wake(state);
    }

    /// The original's body has ended as it should.
    pub(crate) fn complete(&self) {
        let mut state = self.0.state.lock();
        if state.end == End::Open {
            state.end = End::Complete;
            wake(state);
        }
    }

    /// The original's body will not be read to its end.
    pub(crate) fn fail(&self, why: Dropped) {
        self.0.fail(why);
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.0.fail(Dropped::Unfinished);
    }
}

fn wake(mut state: parking_lot::MutexGuard<'_, State>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl Pipe {
    fn fail(&self, why: Dropped) {
        let mut state = self.state.lock();
        if state.end == End::Open {
            state.end = End::Failed(why);
            self.let_go(&mut state);
            wake(state);
            self.failed.notify_one();
        }
    }

    fn let_go(&self, state: &mut State) {
        state.pieces = VecDeque::new();
        let kept = std::mem::take(&mut state.kept);
        self.kept_by_all.fetch_sub(kept, Ordering::Relaxed);
    }
}

impl Piece {
    fn cost(&self) -> u64 {
        let bytes = match self {
            Self::Data(data) => data.len(),
            Self::Trailers(trailers) => trailers
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len())
                .sum(),
        };
        bytes as u64 + PIECE_COST
    }
}

impl CopiedBody {
    /// The next piece; `Some(Err)` when the rest will not come.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Dropped>>> {
        let mut state = self.0.state.lock();
        if let Some(piece) = state.pieces.pop_front() {
            let cost = piece.cost();
            state.kept -= cost;
            self.0.kept_by_all.fetch_sub(cost, Ordering::Relaxed);
            return Poll::Ready(Some(Ok(match piece {
                Piece::Data(data) => {
                    state.left = state
                        .left
                        .map(|left| left.saturating_sub(data.len() as u64));
                    Frame::data(data)
                }
                Piece::Trailers(trailers) => Frame::trailers(*trailers),
            })));
        }
        match state.end {
            End::Open => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            End::Complete | End::Unread => Poll::Ready(None),
            End::Failed(why) => Poll::Ready(Some(Err(why))),
        }
    }

    /// Whether all has been read.
    pub(crate) fn is_end(&self) -> bool {
        self.0.state.lock().is_read()
    }

    /// What is known of the rest's length.
    pub(crate) fn size_hint(&self) -> SizeHint {
        let left = self.0.state.lock().left;
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for CopiedBody {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if !state.is_read() && !matches!(state.end, End::Failed(_)) {
            state.end = End::Unread;
        }
        self.0.let_go(&mut state);
    }
}

impl State {
    fn is_read(&self) -> bool {
        self.end == End::Complete && self.pieces.is_empty()
    }
}

impl Watch {
    /// Returns when the copy will not get the rest of its body.
    pub(crate) async fn failed(&self) -> Dropped {
        loop {
            if let Some(why) = self.failure() {
                return why;
            }
            self.0.failed.notified().await;
        }
    }

    /// Why the copy does not get the rest, if so.
    pub(crate) fn failure(&self) -> Option<Dropped> {
        match self.0.state.lock().end {
            End::Failed(why) => Some(why),
            End::Open | End::Complete | End::Unread => None,
        }
    }

    /// Whether the body was read to its end.
    pub(crate) fn is_read(&self) -> bool {
        self.0.state.lock().is_read()
    }
}

#[cfg(test)]
mod tests;
