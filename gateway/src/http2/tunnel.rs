//! A stream whose two directions carry bytes of another protocol (RFC 8441).

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::piece::{Piece, Room};

/// Bytes handed over at a time.
const PIECE_MAX: usize = 16 << 10;

/// Our end of a tunnel; taken back on drop unless both directions have ended.
pub(crate) struct Tunnel {
    to: SendStream<Piece>,
    from: RecvStream,
    /// What came and was not read.
    rest: Bytes,
    room: Arc<Room>,
    has_ended: bool,
}

impl Tunnel {
    pub(super) fn new(to: SendStream<Piece>, from: RecvStream, room: Arc<Room>) -> Self {
        Self {
            to,
            from,
            rest: Bytes::new(),
            room,
            has_ended: false,
        }
    }

    fn send(&mut self, piece: Piece, ends: bool) -> io::Result<()> {
        self.to.send_data(piece, ends).map_err(io_error)
    }
}

fn io_error(error: h2::Error) -> io::Error {
    match error.reason() {
        Some(Reason::NO_ERROR | Reason::CANCEL | Reason::STREAM_CLOSED) => {
            io::Error::new(io::ErrorKind::BrokenPipe, error)
        }
        _ => io::Error::other(error),
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.rest.is_empty() {
            match ready!(this.from.poll_data(cx)) {
                Some(Ok(data)) => this.rest = data,
                Some(Err(error)) => {
                    // Taken back is how many close a tunnel.
                    return Poll::Ready(match error.reason() {
                        Some(Reason::NO_ERROR | Reason::CANCEL) => Ok(()),
                        _ => Err(io_error(error)),
                    });
                }
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = this.rest.len().min(buf.remaining());
        buf.put_slice(&this.rest[..length]);
        this.rest.advance(length);
        // An error means that nothing more comes.
        let _ = this.from.flow_control().release_capacity(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if let Poll::Ready(reset) = this.to.poll_reset(cx) {
            let error = reset.map_or_else(io_error, |reason| io_error(reason.into()));
            return Poll::Ready(Err(error));
        }
        ready!(this.room.poll(cx));
        this.to.reserve_capacity(bytes.len().min(PIECE_MAX));
        while this.to.capacity() == 0 {
            match ready!(this.to.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let length = bytes.len().min(PIECE_MAX).min(this.to.capacity());
        let piece = Bytes::copy_from_slice(&bytes[..length]);
        let piece = Piece::new(piece, &this.room, None);
        this.send(piece, false)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's own task writes what it has.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.has_ended {
            this.has_ended = true;
            this.send(Piece::nothing(), true)?;
        }
        Poll::Ready(Ok(()))
    }
}
