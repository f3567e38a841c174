//! What is handed to `h2` to be written, and the account of it.
//!
//! `h2` says how much may be handed over, and never how much of it has left. Each piece tells that itself,
//! because whoever writes it advances it. So the bytes that wait in a connection are known, and so is
//! when a peer last took something, however little.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;

/// Bytes that may wait in a connection until its peer takes them, of all its streams together. More would
/// make nothing faster.
const HELD_MAX: usize = 256 << 10;

/// What a piece costs beside its bytes while it waits.
const PIECE_COST: usize = 256;

/// What was taken of one body.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Bytes, which only ever grow.
    bytes: AtomicU64,
    /// Bytes that were handed over.
    handed: AtomicU64,
    /// Whether more would be, if there were room in the connection.
    is_in_line: AtomicBool,
}

impl Taken {
    /// How many bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether some of it may be written as soon as the connection takes it, so that nothing else is in its
    /// way.
    pub(crate) fn is_on_its_way(&self) -> bool {
        self.is_in_line.load(Ordering::Relaxed)
            || self.handed.load(Ordering::Relaxed) > self.bytes()
    }

    pub(super) fn is_in_line(&self, is_in_line: bool) {
        self.is_in_line.store(is_in_line, Ordering::Relaxed);
    }
}

/// What waits in one connection.
#[derive(Debug, Default)]
pub(super) struct Room {
    held: AtomicUsize,
    waiting: Mutex<Vec<Waker>>,
}

impl Room {
    /// Ready when something may be handed over.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.held.load(Ordering::Relaxed) < HELD_MAX {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn gives_back(&self, bytes: usize) {
        const LOW: usize = HELD_MAX / 2;
        let before = self.held.fetch_sub(bytes, Ordering::Relaxed);
        if before >= LOW && before - bytes < LOW {
            self.waiting.lock().drain(..).for_each(Waker::wake);
        }
    }
}

/// Bytes to be written.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Bytes,
    /// Where they wait; none when there are no bytes.
    room: Option<Arc<Room>>,
    taken: Option<Arc<Taken>>,
}

impl Piece {
    /// Bytes that wait in `room` from now on, and are counted in `taken` when they have left.
    pub(super) fn new(bytes: Bytes, room: &Arc<Room>, taken: Option<&Arc<Taken>>) -> Self {
        let cost = bytes.len() + PIECE_COST;
        room.held.fetch_add(cost, Ordering::Relaxed);
        if let Some(taken) = taken {
            taken
                .handed
                .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Self {
            bytes,
            room: Some(Arc::clone(room)),
            taken: taken.cloned(),
        }
    }

    /// None, which only ends a stream.
    pub(super) fn nothing() -> Self {
        Self {
            bytes: Bytes::new(),
            room: None,
            taken: None,
        }
    }

    fn leaves(&self, bytes: usize) {
        if let Some(room) = &self.room {
            room.gives_back(bytes);
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        self.leaves(bytes);
        if let Some(taken) = &self.taken {
            taken.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

impl Drop for Piece {
    /// What has not left will not, because its stream was taken back.
    fn drop(&mut self) {
        self.leaves(self.bytes.len() + PIECE_COST);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn what_is_taken_and_what_is_dropped_makes_room() {
        let (room, taken) = (Arc::<Room>::default(), Arc::<Taken>::default());
        let is_ready = async || poll_fn(|cx| Poll::Ready(room.poll(cx).is_ready())).await;
        let waiting = || room.waiting.lock().len();
        let half = Bytes::from(vec![0; HELD_MAX / 2]);
        let mut first = Piece::new(half.clone(), &room, Some(&taken));
        assert!(is_ready().await);
        let second = Piece::new(half, &room, Some(&taken));
        assert!(!is_ready().await);
        assert!(!is_ready().await);
        assert_eq!(waiting(), 1, "one task waits once");
        first.advance(3);
        assert_eq!((taken.bytes(), taken.is_on_its_way()), (3, true));
        assert_eq!(waiting(), 1, "it is woken for more than that");
        drop(second);
        assert_eq!(
            waiting(),
            1,
            "and the other piece costs more than its bytes"
        );
        first.advance(HELD_MAX / 4);
        assert_eq!(waiting(), 0);
        drop(first);
        drop(Piece::nothing());
        assert_eq!(room.held.load(Ordering::Relaxed), 0);
        assert_eq!(
            taken.bytes(),
            3 + HELD_MAX as u64 / 4,
            "what was dropped was not taken"
        );
    }

    #[test]
    fn a_small_piece_costs_more_than_its_bytes() {
        let room = Arc::<Room>::default();
        let mut cx = Context::from_waker(Waker::noop());
        let most = HELD_MAX / PIECE_COST;
        let pieces: Vec<Piece> = (0..most)
            .map(|_| Piece::new(Bytes::from_static(b"x"), &room, None))
            .collect();
        assert!(room.poll(&mut cx).is_pending());
        drop(pieces);
        assert!(room.poll(&mut cx).is_ready());
    }
}
