//! Bytes that were read before anybody wanted them, given out first.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf};

use crate::socket::read_through::Reader;

/// What was read ahead of a stream. Empty, and without memory of its own, for nearly all of them.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    bytes: Vec<u8>,
    /// Bytes given out already.
    taken: usize,
}

impl ReadAhead {
    /// Everything that is still here.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Adds what was read.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Leaves out the next `length` bytes.
    pub(crate) fn skip(&mut self, length: usize) {
        self.taken += length.min(self.bytes().len());
        if self.bytes().is_empty() {
            *self = Self::default();
        }
    }

    /// Gives out as much as there is room for; how much that was.
    pub(crate) fn give(&mut self, room: &mut [u8]) -> usize {
        let length = self.bytes().len().min(room.len());
        room[..length].copy_from_slice(&self.bytes()[..length]);
        self.skip(length);
        length
    }
}

/// Gives out what was read, then reads on.
impl<S: AsyncRead> Reader<S> for ReadAhead {
    fn poll_read(
        &mut self,
        stream: Pin<&mut S>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes().is_empty() {
            return stream.poll_read(cx, buf);
        }
        let given = self.give(buf.initialize_unfilled());
        buf.advance(given);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_their_order_and_leave_nothing_behind() {
        let mut ahead = ReadAhead::default();
        ahead.add(b"head");
        ahead.add(b"body");
        ahead.skip(4);
        let mut room = [0; 3];
        assert_eq!(ahead.give(&mut room), 3);
        assert_eq!(&room, b"bod");
        assert_eq!(ahead.give(&mut room), 1);
        assert_eq!(ahead.give(&mut room), 0);
        assert_eq!(ahead.bytes.capacity(), 0);
    }
}
