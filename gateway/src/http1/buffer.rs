//! Memory for bytes on their way, lent by the thread: a connection with nothing to say holds none.

use std::{
    cell::{Cell, RefCell},
    mem::take,
};

/// Bytes read at a time.
const SCRATCH: usize = 64 * 1024;

/// Buffers kept for the next ones, per thread, and the longest that is kept.
const SPARE_MAX: usize = 64;
const SPARE_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static READ_INTO: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's memory for one read and what is done with it at once.
pub(crate) fn with_scratch<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    // Whoever asks while it is lent gets some of its own, and leaves that.
    let mut bytes = READ_INTO.try_with(Cell::take).unwrap_or_default();
    if bytes.is_empty() {
        bytes.resize(SCRATCH, 0);
    }
    let result = work(&mut bytes);
    let _ = READ_INTO.try_with(|scratch| scratch.set(bytes));
    result
}

/// Bytes that are used up from their beginning. Empty, it has no memory of its own.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    begin: usize,
}

impl Buffer {
    /// What is in it.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.begin..).unwrap_or_default()
    }

    /// The same, to be changed in place.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.begin..).unwrap_or_default()
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.begin == self.bytes.len()
    }

    /// How much is in it.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.begin
    }

    /// Adds bytes at the end.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.end().extend_from_slice(bytes);
        }
    }

    /// Where more can be added.
    #[inline]
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = spare();
        } else if self.begin > 0 && self.bytes.len() == self.bytes.capacity() {
            // Rather than grow, move what is left to the front.
            self.bytes.drain(..self.begin);
            self.begin = 0;
        }
        &mut self.bytes
    }

    /// Uses up the first `length` bytes.
    pub(crate) fn skip(&mut self, length: usize) {
        self.begin += length.min(self.len());
        if self.is_empty() {
            self.clear();
        }
    }

    /// Forgets everything.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.begin = 0;
        if self.bytes.capacity() > 0 {
            keep(take(&mut self.bytes));
        }
    }
}

/// Memory of the thread, if it has any to spare.
fn spare() -> Vec<u8> {
    let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
    spare.ok().flatten().unwrap_or_default()
}

/// Keeps memory for others, unless there is plenty.
fn keep(mut bytes: Vec<u8>) {
    if bytes.capacity() > SPARE_BYTES_MAX {
        return;
    }
    bytes.clear();
    // While a thread ends there is nobody to keep it for.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(bytes);
        }
    });
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_their_order_and_leave_no_memory_behind() {
        let mut buffer = Buffer::default();
        buffer.push(b"head");
        buffer.push(b"body");
        buffer.skip(4);
        assert_eq!((buffer.bytes(), buffer.len()), (&b"body"[..], 4));
        buffer.push(b"!");
        buffer.skip(100);
        assert!(buffer.is_empty());
        assert_eq!(buffer.bytes.capacity(), 0);
    }

    #[test]
    fn who_reads_while_another_reads_has_memory_of_its_own() {
        with_scratch(|outer| {
            outer[0] = 1;
            with_scratch(|inner| inner[0] = 2);
            assert_eq!(outer[0], 1);
        });
    }
}
