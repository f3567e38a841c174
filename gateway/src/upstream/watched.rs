//! A connection to a worker, with what it may cost.
//!
//! A worker may announce its answer by interim ones (1xx), which hyper passes over, and nothing there ends
//! that. So what comes before the head of an answer is counted here, and a worker that goes on and on is
//! cut off. Connections are counted too: each takes a descriptor.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::stream_limit::StreamLimit;
use crate::socket::{
    io::Sieve,
    read_through::{ReadThrough, Reader},
};

/// Bytes that a worker may send over HTTP/1 before the head of its answer is complete, with that head:
/// thousands of interim answers.
const BYTES_MAX: u64 = 128 << 10;

/// HEADERS frames that a worker may send over HTTP/2 for each request: interim answers, the answer, and
/// trailers.
const HEADS_PER_REQUEST: u64 = 100;

/// What requests did not use of it is kept up to this.
const HEADS_MAX: u64 = 10_000;

/// What a worker may still send without an answer: bytes over HTTP/1, heads over HTTP/2.
#[derive(Debug)]
pub(super) struct Allowance(AtomicU64);

impl Allowance {
    /// That of a connection which carries nothing yet.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(BYTES_MAX)))
    }

    /// A request is sent over HTTP/1.
    pub(super) fn request_sent(&self) {
        self.0.store(BYTES_MAX, Ordering::Relaxed);
    }

    /// The head of its answer is here; what comes now is read by somebody.
    pub(super) fn head_came(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }

    /// A request is sent over HTTP/2.
    pub(super) fn stream_opened(&self) {
        let left = self.0.load(Ordering::Relaxed).min(HEADS_MAX);
        self.0.store(left + HEADS_PER_REQUEST, Ordering::Relaxed);
    }

    /// Uses some of it; an error when it is used up.
    fn use_up(&self, used: u64) -> io::Result<()> {
        let left = self.0.load(Ordering::Relaxed);
        if left == u64::MAX {
            return Ok(());
        }
        match left.checked_sub(used) {
            Some(left) => {
                self.0.store(left, Ordering::Relaxed);
                Ok(())
            }
            None => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the worker sends interim answers without end",
            )),
        }
    }
}

/// How many connections to workers there may be, in all threads, and what may come on them.
#[derive(Debug)]
pub(crate) struct Places {
    open: AtomicUsize,
    most: AtomicUsize,
    /// The longest head of an answer.
    head_max: AtomicUsize,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(usize::MAX),
            head_max: AtomicUsize::new(usize::MAX),
        }
    }
}

impl Places {
    /// From now on there may be so many, and heads of answers so long.
    pub(crate) fn limit(&self, most: usize, head_max: usize) {
        self.most.store(most, Ordering::Relaxed);
        self.head_max.store(head_max, Ordering::Relaxed);
    }

    /// How long the head of an answer may be.
    pub(super) fn head_max(&self) -> usize {
        self.head_max.load(Ordering::Relaxed)
    }

    /// Whether all are taken.
    pub(super) fn are_taken(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.most.load(Ordering::Relaxed)
    }

    /// Takes one.
    pub(super) fn take(self: &Arc<Self>) -> Place {
        self.open.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(self))
    }
}

/// A connection's place; given back on drop.
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that is watched.
pub(super) type Watched<S> = ReadThrough<S, Watch>;

/// Looks at what is read.
#[derive(Debug)]
pub(super) struct Watch {
    allowance: Arc<Allowance>,
    h2: Option<Spoken>,
    _place: Place,
}

/// What is followed where HTTP/2 is spoken.
#[derive(Debug)]
struct Spoken {
    /// What the worker's frames are read through.
    sieve: Sieve,
    limit: Arc<StreamLimit>,
}

/// Watches `stream`, which has taken this place.
pub(super) fn watched<S>(stream: S, place: Place) -> Watched<S> {
    let reader = Watch {
        allowance: Allowance::new(),
        h2: None,
        _place: place,
    };
    ReadThrough { stream, reader }
}

impl Watch {
    /// What the worker may still send.
    pub(super) fn allowance(&self) -> Arc<Allowance> {
        Arc::clone(&self.allowance)
    }

    /// From now on HTTP/2 is spoken. What is given back learns how many streams the worker allows.
    pub(super) fn speaks_h2(&mut self) -> Arc<StreamLimit> {
        let limit = Arc::<StreamLimit>::default();
        self.h2 = Some(Spoken {
            sieve: Sieve::after(0),
            limit: Arc::clone(&limit),
        });
        limit
    }
}

impl<S: AsyncRead> Reader<S> for Watch {
    fn poll_read(
        &mut self,
        stream: Pin<&mut S>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let used = match &mut self.h2 {
            None => {
                ready!(stream.poll_read(cx, buf))?;
                (buf.filled().len() - before) as u64
            }
            Some(Spoken { sieve, limit }) => {
                let mut stream = stream;
                let read = |cx: &mut Context<'_>, buf: &mut ReadBuf<'_>| {
                    stream.as_mut().poll_read(cx, buf)
                };
                ready!(sieve.poll_read(cx, buf, read))?;
                let frames = &mut sieve.frames;
                if let Some(streams) = frames.take_streams_allowed() {
                    limit.is_now(streams);
                }
                u64::from(frames.take_heads())
            }
        };
        Poll::Ready(self.allowance.use_up(used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interim_answers_are_bounded_and_answers_are_not() {
        let h1 = Allowance::new();
        h1.request_sent();
        assert!(h1.use_up(BYTES_MAX).is_ok());
        assert!(h1.use_up(1).is_err());
        h1.request_sent();
        h1.head_came();
        assert!(h1.use_up(1 << 40).is_ok());

        let h2 = Allowance::new();
        (0..1000).for_each(|_| h2.stream_opened());
        let all = HEADS_MAX + HEADS_PER_REQUEST;
        assert!(h2.use_up(all).is_ok());
        assert!(h2.use_up(1).is_err());
    }

    #[test]
    fn a_connection_has_a_place_until_it_is_gone() {
        let places = Arc::new(Places::default());
        places.limit(1, 8192);
        assert!(!places.are_taken());
        let connection = watched((), places.take());
        assert!(places.are_taken());
        drop(connection);
        assert!(!places.are_taken());
    }
}
