//! Follows a stream of events (Server-Sent Events, WHATWG HTML §9.2) as its bytes pass, in whatever pieces.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use memchr::memchr2;

use super::{
    json::{Seen, Walk},
    usage::Usage,
};

/// The field that is looked into.
const DATA: &[u8] = b"data:";

/// Where in a line the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// So many bytes of `data:` have come, and nothing else.
    Begins(usize),
    Data,
    Other,
}

/// A stream of events, at some place.
#[derive(Debug)]
pub(super) struct Events {
    line: Line,
    /// Whether the last byte was a carriage return: a line feed belongs to it.
    after_return: bool,
    /// Whether anything of an event has come.
    has_begun: bool,
    walk: Walk,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            line: Line::Begins(0),
            after_return: false,
            has_begun: false,
            walk: Walk::default(),
        }
    }
}

impl Events {
    /// Whether no event has begun that has not ended.
    pub(super) fn is_between(&self) -> bool {
        !self.has_begun
    }

    /// What is known of the event that has begun.
    pub(super) fn seen(&self) -> Seen {
        self.walk.seen
    }

    /// Looks at the next piece. `each` is told of every event that ends in it, and behind which byte.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        usage: &mut Usage,
        mut each: impl FnMut(Seen, usize),
    ) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if std::mem::take(&mut self.after_return) && *byte == b'\n' {
                at += 1;
                continue;
            }
            match (self.line, byte) {
                (Line::Begins(0), b'\n' | b'\r') => {
                    self.after_return = *byte == b'\r';
                    at += 1;
                    if self.after_return && bytes.get(at) == Some(&b'\n') {
                        self.after_return = false;
                        at += 1;
                    }
                    if std::mem::take(&mut self.has_begun) {
                        each(self.walk.seen, at);
                    }
                    self.walk.begin();
                }
                (_, b'\n' | b'\r') => {
                    self.after_return = *byte == b'\r';
                    self.line = Line::Begins(0);
                    at += 1;
                }
                (Line::Begins(come), _) => {
                    self.has_begun = true;
                    let is_data = DATA.get(come) == Some(byte);
                    self.line = match (is_data, come + 1 == DATA.len()) {
                        (true, true) => Line::Data,
                        (true, false) => Line::Begins(come + 1),
                        (false, _) => Line::Other,
                    };
                    at += 1;
                }
                (Line::Data | Line::Other, _) => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                    if self.line == Line::Data {
                        self.walk.feed(rest.get(..end).unwrap_or_default(), usage);
                    }
                    at += end;
                }
            }
        }
    }
}
