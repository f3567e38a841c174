//! What comes of a request's body before the request takes a place at a worker.

use std::{
    mem::take,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as _, Frame};

use super::ClientBody;
use crate::settle::upload::UploadFailure;

/// What has come, still to be passed on.
#[derive(Default)]
pub(super) struct EarlyBody {
    /// The first piece, as it came, if it is the only one.
    first: Bytes,
    /// All of them, out of the frames that they came in: many small ones cost much more than their bytes.
    pieces: BytesMut,
    trailers: Option<HeaderMap>,
    /// Whether nothing comes after that.
    is_whole: bool,
}

/// What is to be passed on next.
pub(super) enum Early {
    Piece(Frame<Bytes>),
    /// That was all of the body.
    Over,
    /// The rest is still to come.
    Goes,
}

impl EarlyBody {
    pub(super) fn next(&mut self) -> Early {
        if !self.first.is_empty() {
            return Early::Piece(Frame::data(take(&mut self.first)));
        }
        if !self.pieces.is_empty() {
            return Early::Piece(Frame::data(take(&mut self.pieces).freeze()));
        }
        match (self.trailers.take(), self.is_whole) {
            (Some(trailers), _) => Early::Piece(Frame::trailers(trailers)),
            (None, true) => Early::Over,
            (None, false) => Early::Goes,
        }
    }

    /// Whether all was passed on, and nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.is_whole && self.length() == 0 && self.trailers.is_none()
    }

    /// Bytes that are to be passed on.
    pub(super) fn length(&self) -> u64 {
        (self.first.len() + self.pieces.len()) as u64
    }

    /// The same in one piece.
    pub(super) fn bytes(&self) -> &[u8] {
        match self.first.is_empty() {
            true => &self.pieces,
            false => &self.first,
        }
    }

    /// Takes them out.
    pub(super) fn take(&mut self) -> Bytes {
        match self.first.is_empty() {
            true => take(&mut self.pieces).freeze(),
            false => take(&mut self.first),
        }
    }

    /// Puts others in their place.
    pub(super) fn put(&mut self, bytes: Bytes) {
        self.first = bytes;
    }

    fn push(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) if self.length() == 0 => self.first = data,
            Ok(data) => {
                let first = take(&mut self.first);
                self.pieces.extend_from_slice(&first);
                self.pieces.extend_from_slice(&data);
            }
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
    }
}

impl ClientBody {
    /// Reads it, until so many bytes of it are here or all of it.
    pub(crate) fn poll_early(
        &mut self,
        cx: &mut Context<'_>,
        wanted: u64,
    ) -> Poll<Result<(), UploadFailure>> {
        while !self.has_early(wanted) {
            let frame = ready!(self.poll_named(cx));
            let early = self.early.get_or_insert_default();
            match frame {
                Some(Ok(frame)) => early.push(frame),
                Some(Err(_)) => {
                    let failure = self.upload.failure();
                    return Poll::Ready(Err(failure.unwrap_or(UploadFailure::Aborted)));
                }
                None => early.is_whole = true,
            }
            if self.incoming.is_end_stream() {
                early.is_whole = true;
            }
            if early.is_whole {
                self.upload.came();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether so many bytes of it are here or all of it.
    fn has_early(&self, wanted: u64) -> bool {
        let early = self.early.as_ref();
        early.is_some_and(|early| early.is_whole || early.length() >= wanted)
    }

    /// Whether all of it has come.
    pub(crate) fn is_whole(&self) -> bool {
        match &self.early {
            Some(early) => early.is_whole,
            None => self.incoming.is_end_stream(),
        }
    }

    /// How long it is, where the client has said so.
    pub(crate) fn length(&self) -> Option<u64> {
        self.size_hint().exact()
    }
}
