//! Who opens an HTTP/2 connection, and who waits for one that is being opened.
//!
//! Requests that arrive together share connections. How many it takes is known from what the worker allowed
//! on the newest one: with those on their way, there shall be a place for everybody who waits.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, futures::OwnedNotified};

use super::shared::STREAMS_MAX;

/// The openings of connections to one worker.
#[derive(Debug)]
pub(super) struct Openings {
    state: Mutex<State>,
    /// Wakes all who wait when an opening ends.
    has_ended: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    /// Connections that are being opened.
    under_way: usize,
    /// Requests that count on a place on one of them, with those that open them.
    wanted: usize,
    /// Streams that one takes, as far as is known.
    streams: usize,
    /// Whether the worker allows no stream at the moment.
    is_busy: bool,
    /// Openings that succeeded, and that ended at all.
    succeeded: u64,
    ended: u64,
}

impl Default for Openings {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                under_way: 0,
                wanted: 0,
                streams: STREAMS_MAX,
                is_busy: false,
                succeeded: 0,
                ended: 0,
            }),
            has_ended: Arc::default(),
        }
    }
}

/// What a request does that finds no place.
pub(super) enum OpenOrWait {
    /// It opens a connection.
    Open(Opening),
    /// It waits until an opening ends, and looks again then.
    Wait(Waiting, OwnedNotified),
}

/// A connection that is being opened; its end is told on drop.
pub(super) struct Opening(Arc<Openings>);

/// A request that waits. It wants nothing any more on drop.
pub(super) struct Waiting {
    openings: Arc<Openings>,
    /// How many openings had ended when it began to wait.
    ended: u64,
}

impl Openings {
    /// What the request does whose turn it is.
    pub(super) fn turn(self: &Arc<Self>) -> OpenOrWait {
        let mut state = self.state.lock();
        if state.wanted >= state.under_way.saturating_mul(state.streams) {
            drop(state);
            return OpenOrWait::Open(self.open());
        }
        state.wanted += 1;
        let waiting = Waiting {
            openings: Arc::clone(self),
            ended: state.ended,
        };
        OpenOrWait::Wait(waiting, Arc::clone(&self.has_ended).notified_owned())
    }

    /// A connection is being opened, whoever else does so.
    pub(super) fn open(self: &Arc<Self>) -> Opening {
        let mut state = self.state.lock();
        if state.under_way == 0 {
            state.is_busy = false;
        }
        state.under_way += 1;
        state.wanted += 1;
        Opening(Arc::clone(self))
    }

    /// How many openings have succeeded.
    pub(super) fn succeeded(&self) -> u64 {
        self.state.lock().succeeded
    }

    /// Whether the worker took the newest connection, and no stream on it.
    pub(super) fn is_worker_busy(&self) -> bool {
        self.state.lock().is_busy
    }

    /// Whether a connection is being opened.
    pub(super) fn are_under_way(&self) -> bool {
        self.state.lock().under_way > 0
    }
}

impl Opening {
    /// The connection is there, and whether the worker allows a stream on it.
    pub(super) fn is_worker_busy(&self, is_busy: bool) {
        self.0.state.lock().is_busy = is_busy;
    }

    /// The connection is there and takes so many streams.
    pub(super) fn succeeded(self, streams: usize) {
        let mut state = self.0.state.lock();
        state.streams = streams.max(1);
        state.succeeded += 1;
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.under_way -= 1;
        state.ended += 1;
        // Whoever waits is woken, and joins again if it finds no place.
        state.wanted = state.under_way;
        drop(state);
        self.0.has_ended.notify_waiters();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.openings.state.lock();
        if state.ended == self.ended {
            state.wanted -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets so many requests take their turns: those that open a connection, and those that wait.
    fn take_turns(openings: &Arc<Openings>, requests: usize) -> (Vec<Opening>, Vec<Waiting>) {
        let (mut opening, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..requests {
            match openings.turn() {
                OpenOrWait::Open(one) => opening.push(one),
                OpenOrWait::Wait(one, _) => waiting.push(one),
            }
        }
        (opening, waiting)
    }

    #[test]
    fn one_connection_is_opened_for_as_many_as_it_takes() {
        let openings = Arc::<Openings>::default();
        let (mut opening, waiting) = take_turns(&openings, STREAMS_MAX);
        assert_eq!((opening.len(), waiting.len()), (1, STREAMS_MAX - 1));
        let (more, _) = take_turns(&openings, 1);
        assert_eq!(more.len(), 1, "no place is left on the first");
        drop(more);
        opening.remove(0).succeeded(4);
        assert!(!openings.are_under_way());
        let (opening, waiting) = take_turns(&openings, 10);
        assert_eq!((opening.len(), waiting.len()), (3, 7));
        assert_eq!(openings.succeeded(), 1);
    }

    #[test]
    fn who_stops_waiting_leaves_its_place_to_the_next() {
        let openings = Arc::<Openings>::default();
        openings.open().succeeded(2);
        let (opening, waiting) = take_turns(&openings, 2);
        drop(waiting);
        let (none, waiting) = take_turns(&openings, 1);
        assert_eq!((none.len(), waiting.len()), (0, 1));
        drop(opening);
        drop(waiting);
        let (opening, waiting) = take_turns(&openings, 3);
        assert_eq!((opening.len(), waiting.len()), (2, 1));
    }

    #[tokio::test]
    async fn all_who_wait_are_woken_when_an_opening_ends() {
        let openings = Arc::<Openings>::default();
        let opening = openings.open();
        let woken = [openings.turn(), openings.turn()].map(|turn| match turn {
            OpenOrWait::Open(_) => panic!("one is under way"),
            OpenOrWait::Wait(_waiting, ended) => ended,
        });
        drop(opening);
        for ended in woken {
            ended.await;
        }
    }
}
