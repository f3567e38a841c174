//! The body of an answer on its way to the client.

mod begun;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use penstock_config::{MinRate, Timeouts};

use crate::{
    base::{
        clock::Moment,
        grpc::{GRPC_MESSAGE, GRPC_STATUS},
        headers::clean_trailers,
        pace::Taking,
        problem::X_PENSTOCK_REASON,
        reason::Reason,
        timer::Timer,
    },
    http2::{Incoming, Passing, Taken},
    settle::exchange::Exchange,
    stream::unread::Slot,
    upstream::Handback,
};

pub(crate) use self::begun::{Begun, Coming, begin};

/// The body of any answer.
pub(crate) enum DownstreamBody {
    /// The gateway's own answer, with the exchange that settles when it has been written.
    Own {
        /// What is still to be written.
        bytes: Bytes,
        /// Only to be dropped.
        _exchange: Option<Box<Exchange>>,
    },
    /// A worker's answer, as it comes.
    Streamed(Arc<Mutex<Slot>>),
    /// An answer that has begun before there was a worker.
    Begun(Box<Begun>),
}

/// What a worker sends, counted and timed.
pub(crate) struct WorkerBody {
    incoming: Incoming,
    exchange: Box<Exchange>,
    handback: Option<Handback>,
    idle: Duration,
    /// How fast its client must take it.
    rate: MinRate,
    /// Since when the worker is being waited for. A body that nobody reads, because the client is
    /// slow, is not the worker's fault.
    waiting_since: Option<Duration>,
    timer: Timer,
    /// Whether nothing more is said, whatever the worker has to say.
    failed: bool,
}

/// What whoever sends it is told when an answer must be cut off, so that the client notices.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off: {}", .0.slug())]
pub(crate) struct CutOff(pub(crate) Reason);

type FrameResult = Option<Result<Frame<Bytes>, CutOff>>;

impl DownstreamBody {
    /// The gateway's own answer.
    pub(crate) fn own(bytes: Bytes, exchange: Box<Exchange>) -> Self {
        Self::Own {
            bytes,
            _exchange: Some(exchange),
        }
    }

    /// No body.
    pub(crate) fn empty() -> Self {
        Self::Own {
            bytes: Bytes::new(),
            _exchange: None,
        }
    }

    /// Streams a worker's answer, within the limits of its service.
    pub(crate) fn stream(
        incoming: Incoming,
        exchange: Box<Exchange>,
        handback: Handback,
        timeouts: &Timeouts,
    ) -> Self {
        let mut rate = timeouts.min_rate();
        if exchange.is_conversation {
            rate.bytes_per_second = 0;
        }
        let mut body = WorkerBody {
            incoming,
            exchange,
            handback: Some(handback),
            idle: timeouts.idle,
            rate,
            waiting_since: None,
            timer: Timer::default(),
            failed: false,
        };
        if body.incoming.is_end_stream() {
            body.end(&body.exchange.clock().moment());
        }
        let slot = Arc::new(Mutex::new(Slot {
            body: Some(body),
            given_since: None,
            watched: false,
            taken: Arc::default(),
            taken_before: 0,
            acknowledged: None,
            taking: Taking::default(),
            reader: None,
        }));
        Self::Streamed(slot)
    }
}

/// Asks the body for its next piece, and notes whose turn it is then: the client's, which is to
/// take the piece, or the worker's, which is to send one.
fn poll_slot(slot: &Arc<Mutex<Slot>>, cx: &mut Context<'_>) -> Poll<FrameResult> {
    let mut held = slot.lock();
    let Slot {
        body,
        given_since,
        watched,
        taking,
        ..
    } = &mut *held;
    let Some(body) = body else {
        return Poll::Ready(Some(Err(CutOff(Reason::IdleTimeout))));
    };
    let moment = body.exchange.clock().moment();
    let polled = body.poll(cx, &moment);
    if matches!(polled, Poll::Pending | Poll::Ready(None)) || body.is_over() {
        *given_since = None;
        taking.rests();
        return polled;
    }
    *given_since = Some(moment.now());
    if !*watched {
        *watched = true;
        let slot = Arc::downgrade(slot);
        body.exchange.thread().unread.watch(slot);
    }
    polled
}

impl WorkerBody {
    /// The longest silence, in either direction.
    pub(crate) fn idle(&self) -> Duration {
        self.idle
    }

    /// Takes what has come meanwhile out of the frames it came in, while the client takes nothing.
    pub(crate) fn gather(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        // How it ends is told in its turn.
        let _ = self.incoming.poll_ahead(&mut cx);
    }

    /// Whether the client speaks HTTP/2.
    pub(crate) fn is_h2(&self) -> bool {
        self.exchange.is_h2()
    }

    /// Bytes that the client's system has acknowledged on its connection, if that is known.
    pub(crate) fn acknowledged(&self) -> Option<u64> {
        self.exchange.acknowledged()
    }

    /// How fast the client must take it.
    pub(crate) fn rate(&self) -> MinRate {
        self.rate
    }

    /// Bytes that were handed out.
    pub(crate) fn handed_out(&self) -> u64 {
        self.exchange.bytes_out()
    }

    /// Why the whole exchange has lasted too long, if it has.
    pub(crate) fn overdue(&self, moment: &Moment) -> Option<Reason> {
        self.exchange.overdue(moment)
    }

    /// It is taken away from its client.
    pub(crate) fn is_taken_away(&mut self, reason: Reason) {
        if !self.is_over() {
            self.exchange.broke_off(reason);
        }
    }

    /// Whether nothing comes after what was handed out.
    fn is_over(&self) -> bool {
        self.failed || self.incoming.is_end_stream()
    }

    fn poll(&mut self, cx: &mut Context<'_>, moment: &Moment) -> Poll<FrameResult> {
        loop {
            if self.failed {
                return Poll::Ready(None);
            }
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                return self.poll_stalled(cx, moment);
            };
            self.waiting_since = None;
            match frame {
                // A body that never pauses never waits for the timer.
                Some(Ok(frame)) => match self.exchange.overdue(moment) {
                    Some(reason) => return Poll::Ready(self.fail(reason)),
                    None => {
                        if let Some(frame) = self.pass(frame, moment) {
                            return Poll::Ready(Some(Ok(frame)));
                        }
                    }
                },
                Some(Err(error)) => {
                    let reason = self.exchange.upload_failure().unwrap_or_else(|| {
                        self.exchange.broken_by(Reason::UpstreamReset, &error);
                        Reason::UpstreamReset
                    });
                    return Poll::Ready(self.fail(reason));
                }
                None => {
                    self.end(moment);
                    let held = self.exchange.held_back();
                    self.failed = !held.is_empty();
                    let frame = self.failed.then(|| Ok(Frame::data(held)));
                    return Poll::Ready(frame);
                }
            }
        }
    }

    /// What passes on of a frame; `None`: nothing of it.
    fn pass(&mut self, mut frame: Frame<Bytes>, moment: &Moment) -> Option<Frame<Bytes>> {
        if let Some(trailers) = frame.trailers_mut() {
            clean_trailers(trailers);
            self.exchange.trailers(trailers);
        }
        let is_over = self.incoming.is_end_stream();
        if self.exchange.is_read() && frame.is_data() {
            frame = self.read(frame, is_over, moment)?;
        }
        self.exchange
            .sent(frame.data_ref().map_or(0, Bytes::len), moment);
        if is_over {
            self.end(moment);
        }
        Some(frame)
    }

    /// Reads a frame of data: what passes on of it.
    fn read(
        &mut self,
        frame: Frame<Bytes>,
        is_over: bool,
        moment: &Moment,
    ) -> Option<Frame<Bytes>> {
        let piece = frame.into_data().unwrap_or_default();
        let mut passes = self.exchange.passes(piece, moment);
        if is_over {
            let held = self.exchange.held_back();
            if !held.is_empty() {
                passes = [passes, held].concat().into();
            }
        }
        (is_over || !passes.is_empty()).then(|| Frame::data(passes))
    }

    /// The worker sends nothing right now: fails once that has lasted for `idle` and the client has
    /// sent nothing either, or when the whole exchange has lasted too long.
    fn poll_stalled(&mut self, cx: &mut Context<'_>, moment: &Moment) -> Poll<FrameResult> {
        let clock = self.exchange.clock();
        let since = *self.waiting_since.get_or_insert_with(|| moment.now());
        let since = since.max(self.exchange.upload_moved());
        let (deadline, reason) = self.exchange.sooner(since + self.idle, Reason::IdleTimeout);
        ready!(self.timer.poll_until(cx, clock.instant(deadline)));
        Poll::Ready(self.fail(reason))
    }

    /// The answer was read to its end: the connection can serve another request.
    fn end(&mut self, moment: &Moment) {
        if let Some(handback) = self.handback.take() {
            self.exchange.answer_ended(Some(handback), moment.now());
        }
    }

    /// The answer breaks off. gRPC and streams of models have forms for that which clients understand;
    /// everything else is cut off so that nobody takes it for complete.
    fn fail(&mut self, reason: Reason) -> FrameResult {
        self.failed = true;
        self.handback = None;
        // The worker is told at once, whenever the client may take what is left to be said.
        self.incoming = Incoming::Empty;
        self.exchange.broke_off(reason);
        if !self.exchange.takes_grpc_status() {
            let event = self.exchange.error_event(reason);
            return Some(event.map(Frame::data).ok_or(CutOff(reason)));
        }
        let mut trailers = HeaderMap::with_capacity(3);
        trailers.insert(
            GRPC_STATUS,
            HeaderValue::from(u16::from(reason.grpc_code())),
        );
        trailers.insert(GRPC_MESSAGE, HeaderValue::from_static(reason.title()));
        trailers.insert(X_PENSTOCK_REASON, HeaderValue::from_static(reason.slug()));
        Some(Ok(Frame::trailers(trailers)))
    }
}

impl Passing for DownstreamBody {
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let slot = match self {
            Self::Streamed(slot) => slot,
            Self::Begun(begun) => return begun.poll_ahead(cx),
            Self::Own { .. } => return Poll::Pending,
        };
        let mut held = slot.lock();
        match &mut held.body {
            // How it ends is told in its turn, after what came before.
            Some(body) => drop(body.incoming.poll_ahead(cx)),
            None => return Poll::Ready(()),
        }
        let reader = held.reader.get_or_insert_with(|| cx.waker().clone());
        reader.clone_from(cx.waker());
        Poll::Pending
    }

    fn taken(&self) -> Option<Arc<Taken>> {
        match self {
            Self::Own { .. } => None,
            Self::Streamed(slot) => Some(Arc::clone(&slot.lock().taken)),
            Self::Begun(begun) => Some(begun.taken()),
        }
    }
}

impl Body for DownstreamBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<FrameResult> {
        match self.get_mut() {
            Self::Own { bytes, .. } if bytes.is_empty() => Poll::Ready(None),
            Self::Own { bytes, .. } => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streamed(slot) => poll_slot(slot, cx),
            Self::Begun(begun) => begun.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own { bytes, .. } => bytes.is_empty(),
            Self::Streamed(slot) => slot.lock().body.as_ref().is_some_and(WorkerBody::is_over),
            Self::Begun(begun) => begun.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed(slot) => match &slot.lock().body {
                Some(body) if !body.exchange.strips() => body.incoming.size_hint(),
                _ => SizeHint::default(),
            },
            Self::Begun(_) => SizeHint::default(),
        }
    }
}
