//! What comes on a stream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;

use super::{
    tunnel::Tunnel,
    window::{Watched, Window},
};

/// Bytes given out at a time of what was read ahead.
const PIECE_MAX: usize = 16 << 10;

/// Bytes after which a client may see its window of a connection as used up: one of a stream less than that.
const MUCH: usize = 3 << 20;

/// What comes after a head.
pub(crate) enum Content {
    /// The body of a request or an answer.
    Body(Box<Received>),
    /// The answer was the beginning of a tunnel.
    Tunnel(Box<Tunnel>),
    /// The request asks for a tunnel, which begins when it is answered.
    Asked(oneshot::Receiver<Tunnel>),
}

/// A body as it is received.
pub(crate) struct Received {
    /// The connection's, where what came on it may keep its peer from sending.
    window: Option<Arc<Window>>,
    watched: Option<Watched>,
    stream: RecvStream,
    /// What came while nobody wanted it, still to be given out. The peer's window opens for it only then.
    ahead: BytesMut,
    /// How that ended.
    failed: Option<h2::Error>,
    /// What is still to come, where the head said that.
    left: Option<u64>,
    are_data_over: bool,
    is_over: bool,
    /// Its stream, where we opened it.
    open: Option<Open>,
}

/// A stream that we have opened; taken back on drop unless its answer has come to its end.
pub(super) struct Open {
    /// Tells who sends the request's body.
    pub(super) upload: Option<oneshot::Sender<()>>,
    /// How many were taken back on the connection.
    pub(super) taken_back: Arc<AtomicU64>,
    pub(super) is_answered: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.is_answered {
            self.taken_back.fetch_add(1, Ordering::Relaxed);
        } else if let Some(upload) = self.upload.take() {
            // It goes on as long as the worker takes it. There may be nobody any more.
            let _ = upload.send(());
        }
    }
}

impl Received {
    /// What comes on `stream`, of the length that its head told.
    pub(super) fn new(stream: RecvStream, length: Option<u64>, open: Option<Open>) -> Box<Self> {
        let mut received = Box::new(Self {
            window: None,
            watched: None,
            ahead: BytesMut::new(),
            failed: None,
            left: length,
            are_data_over: false,
            is_over: false,
            open,
            stream,
        });
        received.look_for_end();
        received
    }

    /// What nobody takes of it is in the way of others in this `window`.
    pub(super) fn in_window(mut self: Box<Self>, window: &Arc<Window>) -> Box<Self> {
        self.window = Some(Arc::clone(window));
        self
    }

    /// Whether nothing comes any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    fn watch(&mut self) {
        if let (Some(window), None) = (&self.window, &self.watched) {
            self.watched = Some(window.watch(&mut self.stream));
        }
    }

    fn look_for_end(&mut self) {
        if !self.is_over && self.ahead.is_empty() && self.stream.is_end_stream() {
            self.ended();
        }
    }

    fn ended(&mut self) {
        self.is_over = true;
        if let Some(open) = &mut self.open {
            open.is_answered = true;
        }
        self.open = None;
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(PIECE_MAX);
            let piece = self.ahead.split_to(length).freeze();
            return Poll::Ready(Some(Ok(self.give_out(piece))));
        }
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        while !self.are_data_over {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() && !self.stream.is_end_stream() => {}
                Some(Ok(data)) => return Poll::Ready(Some(Ok(self.give_out(data)))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.are_data_over = true,
            }
        }
        match ready!(self.stream.poll_trailers(cx)) {
            Ok(trailers) => {
                self.ended();
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    fn give_out(&mut self, data: Bytes) -> Frame<Bytes> {
        // An error means that nothing more comes, for which no window is needed.
        let _ = self.stream.flow_control().release_capacity(data.len());
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        self.look_for_end();
        Frame::data(data)
    }

    /// Takes what has come out of the frames that it came in: many small ones cost much more than their
    /// bytes. Ready when the peer has taken the stream back or broken it off.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.failed.is_some() {
            return Poll::Ready(());
        }
        while !self.are_data_over {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => self.ahead.extend_from_slice(&data),
                Some(Err(error)) => {
                    self.failed = Some(error);
                    return Poll::Ready(());
                }
                None => self.are_data_over = true,
            }
        }
        Poll::Pending
    }
}

impl Content {
    /// The next frame.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        match self {
            Self::Body(body) => body.poll_frame(cx),
            Self::Tunnel(_) | Self::Asked(_) => Poll::Ready(None),
        }
    }

    /// Looks after what comes while nobody wants it. Ready when the rest will not come.
    pub(crate) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Body(body) => body.poll_ahead(cx),
            Self::Tunnel(_) | Self::Asked(_) => Poll::Pending,
        }
    }

    /// What comes of it may wait for long, and be in the way of others.
    pub(crate) fn watch(&mut self) {
        match self {
            Self::Body(body) => body.watch(),
            Self::Tunnel(_) | Self::Asked(_) => {}
        }
    }

    /// Whether its peer may have to wait because of what nobody has taken of others.
    pub(crate) fn is_held_up(&self) -> bool {
        match self {
            Self::Body(body) => {
                let watched = body.watched.as_ref();
                watched.is_some_and(|watched| watched.untaken() >= MUCH)
            }
            Self::Tunnel(_) | Self::Asked(_) => false,
        }
    }

    /// Whether nothing comes any more.
    pub(crate) fn is_end(&self) -> bool {
        match self {
            Self::Body(body) => {
                body.is_over || (body.ahead.is_empty() && body.stream.is_end_stream())
            }
            Self::Tunnel(_) | Self::Asked(_) => true,
        }
    }

    /// How much still comes.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            _ if self.is_end() => SizeHint::with_exact(0),
            Self::Body(body) => body.left.map_or_else(SizeHint::new, SizeHint::with_exact),
            Self::Tunnel(_) | Self::Asked(_) => SizeHint::new(),
        }
    }
}
