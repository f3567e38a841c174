//! The body of a request on its way to the worker.

mod early;
mod named;
mod replay;

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use penstock_config::{MinRate, Timeouts};

use crate::{
    base::{clock::Clock, headers::clean_trailers, pace::Pace, timer::Timer},
    count::metrics::Dropped,
    http2::{Incoming, Passing},
    settle::upload::{Upload, UploadFailure},
    socket::connection::Connection,
    stream::copied_body::{CopiedBody, Tee},
};

pub(crate) use self::replay::Replay;
use self::{
    early::{Early, EarlyBody},
    named::NamedBody,
    replay::Replayed,
};

/// A request body as the upstream connection reads it.
#[derive(Default)]
pub(crate) enum UpstreamBody {
    /// The request has none.
    #[default]
    Empty,
    /// What the client sends, as it comes.
    Streamed(Box<ClientBody>),
    /// The same, kept so that it can be sent again.
    Replayed(Replayed),
    /// What the client sends for another request, of which this one is a copy.
    Copied(CopiedBody),
}

/// What the client sends, counted, limited and timed.
pub(crate) struct ClientBody {
    incoming: Incoming,
    upload: Arc<Upload>,
    max_bytes: u64,
    idle: Duration,
    rate: MinRate,
    pace: Pace,
    /// What came before anybody was to get it.
    early: Option<Box<EarlyBody>>,
    /// Where it names a model.
    named: Option<Box<NamedBody>>,
    /// Since when the client is being waited for. A body that nobody reads, because the worker is
    /// slow, is not the client's fault.
    waiting_since: Option<Duration>,
    timer: Timer,
    /// Where a copy of the request is sent, its body.
    tee: Option<Tee>,
}

/// What whoever sends it is told when a body ends early.
#[derive(Debug, thiserror::Error)]
#[error("the request body ended early")]
pub(crate) struct EndedEarly;

impl ClientBody {
    fn fail(&self, failure: UploadFailure) -> Poll<Option<Result<Frame<Bytes>, EndedEarly>>> {
        self.upload.fails(failure);
        Poll::Ready(Some(Err(EndedEarly)))
    }

    /// What comes of a request's body.
    pub(crate) fn new(incoming: Incoming, connection: &Arc<Connection>) -> Box<Self> {
        Box::new(Self {
            incoming,
            upload: Arc::new(Upload::begin(connection)),
            max_bytes: u64::MAX,
            idle: Duration::MAX,
            rate: MinRate {
                bytes_per_second: 0,
                window: Duration::MAX,
            },
            pace: Pace::default(),
            early: None,
            named: None,
            waiting_since: None,
            timer: Timer::default(),
            tee: None,
        })
    }

    /// Limits it: to `max_bytes`, and by the clocks of a service. In a conversation either side may be silent.
    pub(crate) fn limit(
        &mut self,
        max_bytes: Option<u64>,
        timeouts: &Timeouts,
        is_conversation: bool,
    ) {
        self.max_bytes = max_bytes.unwrap_or(u64::MAX);
        (self.idle, self.rate) = (timeouts.idle, timeouts.min_rate());
        if is_conversation {
            self.rate.bytes_per_second = 0;
        }
    }

    /// Shows its pieces to `tee`, too.
    pub(crate) fn show_to(&mut self, tee: Option<Tee>) {
        self.tee = tee;
    }

    /// What comes of it may wait for long, and be in the way of others.
    pub(crate) fn watch(&mut self) {
        self.incoming.watch();
    }

    /// What is known of it.
    pub(crate) fn upload(&self) -> &Arc<Upload> {
        &self.upload
    }

    fn clock(&self) -> Clock {
        self.upload.connection().thread.clock()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EndedEarly>>> {
        let polled = match self.early.as_mut().map(|early| early.next()) {
            None => self.poll_named(cx),
            Some(Early::Piece(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Early::Over) => Poll::Ready(None),
            Some(Early::Goes) => {
                self.early = None;
                self.poll_named(cx)
            }
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(tee) = &self.tee {
                    tee.push(frame);
                }
                if self.is_end() {
                    self.end();
                }
            }
            Poll::Ready(None) => self.end(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EndedEarly>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            return self.poll_stalled(cx);
        };
        let waited_since = self.waiting_since.take();
        let frame = match frame {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    clean_trailers(trailers);
                }
                frame
            }
            Some(Err(_)) => return self.fail(UploadFailure::Aborted),
            None => return Poll::Ready(None),
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        let sent = self.upload.comes(length);
        if sent > self.max_bytes {
            return self.fail(UploadFailure::TooLarge);
        }
        let now = self.clock().now();
        if let Some(since) = waited_since
            && self.is_paced()
            && self
                .pace
                .moved(self.rate, now.saturating_sub(since), length)
        {
            return self.fail(UploadFailure::TooSlow);
        }
        self.upload.moves(now);
        Poll::Ready(Some(Ok(frame)))
    }

    /// Looks after what the client does while the worker takes nothing. Ready when it has left.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.incoming
            .poll_ahead(cx)
            .map(|()| drop(self.fail(UploadFailure::Aborted)))
    }

    fn end(&self) {
        self.upload.end();
        if let Some(tee) = &self.tee {
            tee.complete();
        }
    }

    fn is_end(&self) -> bool {
        match &self.early {
            Some(early) => early.is_over(),
            None => self.incoming.is_end_stream(),
        }
    }

    /// What is known of the length of what is to be passed on.
    pub(crate) fn size_hint(&self) -> SizeHint {
        let early = self.early.as_ref().map_or(0, |early| early.length());
        let changes = self.named.as_ref().is_some_and(|named| named.changes());
        if changes && !self.is_whole() {
            return SizeHint::default();
        }
        longer(&self.incoming.size_hint(), early)
    }

    /// Whether the client is to send as fast as it must: not where it may be silent because it listens.
    fn is_paced(&self) -> bool {
        !self.upload.has_answer() || self.incoming.size_hint().exact().is_some()
    }

    /// The client sends nothing right now: fails once that has lasted for `idle` and the worker has
    /// sent nothing either, for a client may well listen for long before it goes on; or when it is too slow.
    fn poll_stalled(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EndedEarly>>> {
        let clock = self.clock();
        loop {
            let since = *self.waiting_since.get_or_insert_with(|| clock.now());
            let stalled = since.max(self.upload.moved()).saturating_add(self.idle);
            let too_slow = self.pace.ends(self.rate, since);
            let (at, failure) = match too_slow.filter(|&at| at < stalled && self.is_paced()) {
                Some(at) => (at, UploadFailure::TooSlow),
                None => (stalled, UploadFailure::Stalled),
            };
            ready!(self.timer.poll_until(cx, clock.instant(at)));
            if failure == UploadFailure::Stalled || !self.incoming.is_held_up() {
                return self.fail(failure);
            }
            // It may be waiting for us.
            self.waiting_since = None;
        }
    }
}

/// What is known of a length that is so much more than `rest`.
fn longer(rest: &SizeHint, by: u64) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(rest.lower() + by);
    if let Some(upper) = rest.upper() {
        hint.set_upper(upper + by);
    }
    hint
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = EndedEarly;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EndedEarly>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Streamed(body) => body.poll(cx),
            Self::Replayed(body) => body.poll(cx),
            Self::Copied(body) => body
                .poll(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|_| EndedEarly))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed(body) => body.is_end(),
            Self::Replayed(body) => body.is_end_stream(),
            Self::Copied(body) => body.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed(body) => body.size_hint(),
            Self::Replayed(body) => body.size_hint(),
            Self::Copied(body) => body.size_hint(),
        }
    }
}

impl Passing for UpstreamBody {
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Streamed(body) => body.poll_ahead(cx),
            Self::Replayed(body) => body.poll_ahead(cx),
            // A copy is given up by itself.
            Self::Empty | Self::Copied(_) => Poll::Pending,
        }
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let Some(tee) = &self.tee
            && self.upload.failure() == Some(UploadFailure::Aborted)
        {
            tee.fail(Dropped::ClientGone);
        }
        // hyper drains or closes the connection; either way the next bytes it reads may be a head.
        self.upload
            .connection()
            .expects_head
            .store(true, Ordering::Relaxed);
    }
}
