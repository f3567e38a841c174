//! Small messages leave by `send`, large ones by `writev`.
//!
//! hyper writes a head and a small body as two pieces, a chunk as three. For pieces that fit a
//! cache line or a few, copying them together and sending them costs less than the kernel's work
//! on a list of them; for large bodies it does not.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Messages up to this length are copied together.
const TOGETHER_MAX: usize = 1024;

/// Writes the pieces of one message to `out`.
pub(crate) fn poll_write_pieces<W: AsyncWrite + Unpin>(
    out: &mut W,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [piece] = pieces {
        return Pin::new(out).poll_write(cx, piece);
    }
    if pieces.iter().map(|piece| piece.len()).sum::<usize>() > TOGETHER_MAX {
        return Pin::new(out).poll_write_vectored(cx, pieces);
    }
    let mut together = [0; TOGETHER_MAX];
    let mut length = 0;
    for piece in pieces {
        together[length..length + piece.len()].copy_from_slice(piece);
        length += piece.len();
    }
    Pin::new(out).poll_write(cx, &together[..length])
}

/// A stream that writes small messages in one piece.
pub(crate) struct SmallWrites<T>(pub(crate) T);

impl<T: AsyncRead + Unpin> AsyncRead for SmallWrites<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for SmallWrites<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_write_pieces(&mut self.0, cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
