//! Takes out of a stream the usage that its client did not ask for, and nothing else.
//!
//! It is an event of its own, the last one before the end. A piece passes on as it is unless such an event is in
//! it, or part of one that may be: so much is held, and there is a bound to it.

use bytes::{Bytes, BytesMut};

use super::json::Seen;

/// Longest event that can be the one: it has no text in it.
const HELD_MAX: usize = 4096;

/// What of a stream is held back.
#[derive(Debug, Default)]
pub(super) struct Strip {
    held: BytesMut,
    /// Whether the beginning of the event that has not ended has passed on already.
    has_passed: bool,
    /// Whether a line feed that comes next belongs to the event before, and whether that was taken out.
    feed: Option<bool>,
    /// Where in the piece the next event begins, and what is to be left out of it.
    from: usize,
    out: Option<BytesMut>,
    /// Where in the piece begins what is not in `out` yet.
    kept_from: usize,
}

/// Whether an event tells the usage alone.
fn is_usage(seen: Seen) -> bool {
    seen.has_usage && seen.has_choices && !seen.has_choice
}

impl Strip {
    /// Another piece begins.
    pub(super) fn begin(&mut self, piece: &[u8]) {
        (self.from, self.kept_from) = (0, 0);
        if let Some(was_taken_out) = self.feed.take()
            && piece.first() == Some(&b'\n')
        {
            self.from = 1;
            if was_taken_out {
                self.kept_from = 1;
                self.out = Some(BytesMut::new());
            }
        }
    }

    /// An event ends behind this byte of the piece.
    pub(super) fn event(&mut self, seen: Seen, piece: &[u8], end: usize) {
        let mut is_taken_out = false;
        if is_usage(seen) && !self.has_passed {
            let before = piece.get(self.kept_from..self.from).unwrap_or_default();
            self.out.get_or_insert_default().extend_from_slice(before);
            self.held.clear();
            self.kept_from = end;
            is_taken_out = true;
        } else if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.out.get_or_insert_default().unsplit(held);
        }
        (self.from, self.has_passed) = (end, false);
        let may_go_on = end == piece.len() && piece.last() == Some(&b'\r');
        self.feed = may_go_on.then_some(is_taken_out);
    }

    /// The piece is over, in the middle of an event (`seen`) or between two: what passes on of it.
    pub(super) fn end(&mut self, seen: Seen, is_between: bool, piece: Bytes) -> Bytes {
        let mut end = piece.len();
        let begun = piece.len() - self.from;
        if !is_between && !self.has_passed {
            let may_be =
                !seen.has_choice && !seen.has_tokens && self.held.len() + begun <= HELD_MAX;
            if may_be {
                end = self.from;
            } else {
                self.has_passed = true;
                if !self.held.is_empty() {
                    let held = std::mem::take(&mut self.held);
                    self.out.get_or_insert_default().unsplit(held);
                }
            }
        }
        let tail = piece.get(end..).unwrap_or_default();
        let passes = match self.out.take() {
            None if end == piece.len() => piece.clone(),
            None => piece.slice(self.kept_from..end),
            Some(mut out) => {
                out.extend_from_slice(piece.get(self.kept_from..end).unwrap_or_default());
                out.freeze()
            }
        };
        self.held.extend_from_slice(tail);
        passes
    }

    /// Whether the client has got a part of an event that has not ended.
    pub(super) fn has_passed(&self) -> bool {
        self.has_passed
    }

    /// The stream is over: what was held.
    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.held).freeze()
    }
}
