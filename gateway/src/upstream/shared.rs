//! An HTTP/2 connection to a worker that many requests use, and their places on it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{stream_limit::StreamLimit, watched::Allowance};
use crate::http2::Sender;

/// Streams put on one connection, whatever the worker allows, before another is opened. RFC 9113 §6.5.2
/// advises peers to allow at least so many.
pub(super) const STREAMS_MAX: usize = 100;

/// Streams that a connection carries in its life. Their numbers end at 2^30, and a worker may count before.
const STREAMS_IN_LIFE: usize = 1 << 18;

/// Streams that may be taken back on a connection. Workers end those of peers who do that too often
/// ("rapid reset"), with everybody's calls; servers in use allow 1,000 and more.
const TAKEN_BACK_MAX: u64 = 400;

/// A connection that many requests use.
pub(super) struct SharedConnection {
    sender: Sender,
    streams: Arc<Streams>,
}

struct Streams {
    open: AtomicUsize,
    /// Streams that were opened in its life.
    opened: AtomicUsize,
    limit: Arc<StreamLimit>,
    allowance: Arc<Allowance>,
    /// When the connection may be closed if no stream is open, in ms of the clock.
    expires: parking_lot::Mutex<Duration>,
}

impl Streams {
    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// A stream's place on a connection; given back on drop.
pub(crate) struct StreamPlace {
    streams: Arc<Streams>,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SharedConnection {
    /// One that was just opened, with the place of the first stream on it.
    pub(super) fn with_first_stream(
        sender: Sender,
        limit: Arc<StreamLimit>,
        allowance: Arc<Allowance>,
        expires: Duration,
    ) -> (Self, StreamPlace) {
        allowance.stream_opened();
        let streams = Arc::new(Streams {
            open: AtomicUsize::new(1),
            opened: AtomicUsize::new(1),
            limit,
            allowance,
            expires: parking_lot::Mutex::new(expires),
        });
        let place = StreamPlace {
            streams: Arc::clone(&streams),
        };
        (Self { sender, streams }, place)
    }

    /// Whether nothing can be sent on it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether no stream is open on it.
    pub(super) fn is_idle(&self) -> bool {
        self.streams.open() == 0
    }

    /// Whether it is kept: it has streams, or had some of late.
    pub(super) fn is_usable(&self, now: Duration) -> bool {
        let is_kept = || !self.is_retired() && now < *self.streams.expires.lock();
        !self.is_closed() && (!self.is_idle() || is_kept())
    }

    /// Whether it only finishes what it has, before the worker would end it.
    fn is_retired(&self) -> bool {
        self.streams.opened.load(Ordering::Relaxed) >= STREAMS_IN_LIFE
            || self.sender.taken_back() >= TAKEN_BACK_MAX
    }

    /// How many streams it takes.
    pub(super) fn streams_max(&self) -> usize {
        self.streams.limit.allowed().min(STREAMS_MAX)
    }

    /// Whether some of its streams may wait for others to end, because the worker allows fewer than it did
    /// when they were asked for.
    pub(super) fn holds_back(&self) -> bool {
        self.streams.open() > self.streams.limit.allowed()
    }

    /// A place for one more stream, if there is any. From its end the connection is kept until `expires`.
    pub(super) fn place(&self, expires: Duration) -> Option<(Sender, StreamPlace)> {
        if self.is_closed() || self.is_retired() || self.streams.open() >= self.streams_max() {
            return None;
        }
        self.streams.open.fetch_add(1, Ordering::Relaxed);
        self.streams.opened.fetch_add(1, Ordering::Relaxed);
        self.streams.allowance.stream_opened();
        *self.streams.expires.lock() = expires;
        let place = StreamPlace {
            streams: Arc::clone(&self.streams),
        };
        Some((self.sender.clone(), place))
    }
}
