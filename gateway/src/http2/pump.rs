//! Sends a body on a stream.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Frame;

use super::{
    Passing,
    piece::{Piece, Room, Taken},
};

/// Bytes handed over at a time, a frame of the usual size.
const PIECE_MAX: usize = 16 << 10;

/// A body and the stream that it is sent on.
pub(super) struct Pump<B> {
    stream: SendStream<Piece>,
    body: B,
    /// What came of the body and was not handed over.
    rest: Bytes,
    /// Whether nothing comes after that.
    is_last: bool,
    /// Whether the peer's window, or its slowness, is what it waits for.
    is_blocked: bool,
    room: Arc<Room>,
    taken: Option<Arc<Taken>>,
}

/// Why a body was not sent to its end.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The peer took the stream back, or the connection broke.
    ByPeer,
    /// The rest of the body does not come.
    ByBody,
}

impl<B: Passing> Pump<B> {
    /// Sends `body` on `stream`.
    pub(super) fn new(stream: SendStream<Piece>, body: B, room: Arc<Room>) -> Self {
        Self {
            stream,
            taken: body.taken(),
            body,
            rest: Bytes::new(),
            is_last: false,
            is_blocked: false,
            room,
        }
    }

    /// Whether it waits for its peer.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Takes the stream back.
    pub(super) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Ready when the body was handed over to its end, or will not be.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        loop {
            // Whatever is waited for below, its peer may take the stream back.
            if self.stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Err(Stopped::ByPeer));
            }
            if !self.rest.is_empty() {
                match self.poll_send(cx)? {
                    Poll::Ready(true) => return Poll::Ready(Ok(())),
                    Poll::Ready(false) => continue,
                    Poll::Pending => {}
                }
                return match self.body.poll_ahead(cx) {
                    Poll::Ready(()) => Poll::Ready(Err(Stopped::ByBody)),
                    Poll::Pending => Poll::Pending,
                };
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if self.takes(frame)? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Some(Err(_)) => return Poll::Ready(Err(Stopped::ByBody)),
                None => return Poll::Ready(self.send(Piece::nothing(), true)),
            }
        }
    }

    /// Goes on with a frame of the body; whether it was the last one and nothing is left to be sent.
    fn takes(&mut self, frame: Frame<Bytes>) -> Result<bool, Stopped> {
        match frame.into_data() {
            Ok(data) => {
                self.is_last = self.body.is_end_stream();
                let ends_at_once = data.is_empty() && self.is_last;
                self.rest = data;
                if ends_at_once {
                    self.send(Piece::nothing(), true)?;
                }
                Ok(ends_at_once)
            }
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => {
                    let sent = self.stream.send_trailers(trailers);
                    sent.map_err(|_| Stopped::ByPeer)?;
                    Ok(true)
                }
                Err(_) => Ok(false),
            },
        }
    }

    /// Hands over what may be of the rest; whether that was the end of the body.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Stopped>> {
        self.is_blocked = true;
        let room = self.room.poll(cx);
        if let Some(taken) = &self.taken {
            taken.is_in_line(room.is_pending());
        }
        ready!(room);
        self.stream.reserve_capacity(self.rest.len().min(PIECE_MAX));
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(Stopped::ByPeer)),
            }
        }
        self.is_blocked = false;
        let length = self.rest.len().min(PIECE_MAX).min(self.stream.capacity());
        let piece = Piece::new(self.rest.split_to(length), &self.room, self.taken.as_ref());
        let ends = self.is_last && self.rest.is_empty();
        self.send(piece, ends)?;
        Poll::Ready(Ok(ends))
    }

    fn send(&mut self, piece: Piece, ends: bool) -> Result<(), Stopped> {
        let sent = self.stream.send_data(piece, ends);
        sent.map_err(|_| Stopped::ByPeer)
    }
}
