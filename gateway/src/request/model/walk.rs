//! Walks over the members of a JSON object as its bytes come, in whatever pieces: no tree, nothing held but the
//! text of the key or value that is looked at. Strings are skipped by `memchr`.
//!
//! What is inside a value is not judged: only where it ends. A text that a strict reader would refuse for that
//! gets no other meaning here than it has for one that is not strict about it.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use memchr::memchr;

use super::text::Text;

/// Longest key that can be one that is looked for, in bytes.
pub(crate) const KEY_MAX: usize = 128;

/// Brackets that are counted together.
const TOGETHER: usize = 64;

/// Words of a text that are looked at one by one.
const NEAR: usize = 12;

/// Why it stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// There are no more bytes.
    More,
    /// Behind the brace that begins the object.
    Begun,
    /// Before the quote that begins a key.
    Opens,
    /// Behind a key, which is in the text.
    Key,
    /// Behind the value of a member, which is in the text if it was wanted.
    Member,
    /// Behind the brace that ends the object.
    Ended,
}

/// What is wrong with what comes.
pub(crate) type Malformed = &'static str;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    First,
    Next,
    Opens,
    Key,
    Colon,
    Value,
    Text,
    Scalar,
    Nested,
    After,
    Done,
}

/// A walk, at some place of an object.
#[derive(Debug)]
pub(crate) struct Walk {
    at: At,
    /// Brackets that are open in a value.
    depth: usize,
    /// Whether it is in a string of such a value.
    in_string: bool,
    /// Whether the last byte of a string was a backslash that counts for the next one.
    is_escaped: bool,
    /// The first byte of the last value.
    value: u8,
    /// Longest value that is wanted, if it is.
    wants: Option<usize>,
    text: Text,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            at: At::Start,
            depth: 0,
            in_string: false,
            is_escaped: false,
            value: 0,
            wants: None,
            text: Text::default(),
        }
    }
}

impl Walk {
    /// Goes on to where there is something to tell: how many bytes are behind it then.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Result<(usize, Step), Malformed> {
        let mut used = 0;
        while let Some(byte) = bytes.get(used) {
            let rest = bytes.get(used..).unwrap_or_default();
            let (taken, step) = match self.at {
                At::Key | At::Text | At::Scalar | At::Nested => self.inside(rest),
                _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => (1, None),
                _ => self.between(*byte)?,
            };
            used += taken;
            if let Some(step) = step {
                return Ok((used, step));
            }
        }
        Ok((used, Step::More))
    }

    /// The text of the last key, or of the last value if that was wanted.
    pub(crate) fn text(&self) -> &Text {
        &self.text
    }

    /// Whether the last value is `true`.
    pub(crate) fn is_true(&self) -> bool {
        self.value == b't'
    }

    /// Wants the value of the key before: in the text, up to so many bytes.
    pub(crate) fn want(&mut self, most: usize) {
        self.wants = Some(most);
    }

    /// Whether the object has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// A byte between keys and values.
    fn between(&mut self, byte: u8) -> Result<(usize, Option<Step>), Malformed> {
        let (at, taken, step) = match (self.at, byte) {
            (At::Start, b'{') => (At::First, 1, Some(Step::Begun)),
            (At::Start, _) => return Err("the request body is not a JSON object"),
            (At::First | At::Next, b'"') => (At::Opens, 0, Some(Step::Opens)),
            (At::First, b'}') | (At::After, b'}') => (At::Done, 1, Some(Step::Ended)),
            (At::Opens, _) => {
                self.is_escaped = false;
                self.text.begin(KEY_MAX);
                (At::Key, 1, None)
            }
            (At::Colon, b':') => (At::Value, 1, None),
            (At::Value, b'"') => {
                self.is_escaped = false;
                if let Some(most) = self.wants {
                    self.text.begin(most);
                }
                (At::Text, 1, None)
            }
            (At::Value, b'{' | b'[') => {
                self.other_value();
                (self.depth, self.in_string) = (1, false);
                (At::Nested, 1, None)
            }
            (At::Value, byte) if is_scalar(byte) => {
                self.other_value();
                (At::Scalar, 1, None)
            }
            (At::After, b',') => (At::Next, 1, None),
            (At::Done, _) => return Err("there is something behind the JSON of the request body"),
            _ => return Err("the request body is not valid JSON"),
        };
        if self.at == At::Value {
            self.value = byte;
        }
        self.at = at;
        Ok((taken, step))
    }

    /// The value is no text.
    fn other_value(&mut self) {
        if self.wants.take().is_some() {
            self.text.is_none();
        }
    }

    /// Bytes of a key or a value.
    fn inside(&mut self, rest: &[u8]) -> (usize, Option<Step>) {
        let (taken, is_over) = match self.at {
            At::Key | At::Text => self.string(rest),
            At::Scalar => {
                let end = rest.iter().position(|byte| !is_scalar(*byte));
                (end.unwrap_or(rest.len()), end.is_some())
            }
            _ => self.nested(rest),
        };
        let is_key = self.at == At::Key;
        if is_key || self.at == At::Text && self.wants.is_some() {
            let end = taken - usize::from(is_over);
            self.text.push(rest.get(..end).unwrap_or_default());
        }
        if !is_over {
            return (taken, None);
        }
        if is_key {
            self.text.end();
            self.at = At::Colon;
            return (taken, Some(Step::Key));
        }
        if self.wants.take().is_some() {
            self.text.end();
        }
        self.at = At::After;
        (taken, Some(Step::Member))
    }

    /// Skips a string: how much of it there is, and whether it ends there.
    fn string(&mut self, rest: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(found) = find_quote(rest.get(at..).unwrap_or_default()) {
            at += found + 1;
            if !self.is_escaped(rest.get(..at - 1).unwrap_or_default()) {
                self.is_escaped = false;
                return (at, true);
            }
        }
        self.is_escaped = self.is_escaped(rest);
        (rest.len(), false)
    }

    /// Whether what comes behind these bytes of a string is escaped: by a backslash that is not so itself.
    fn is_escaped(&self, before: &[u8]) -> bool {
        let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\');
        let backslashes = backslashes.count();
        let from_before = self.is_escaped && backslashes == before.len();
        (backslashes + usize::from(from_before)) % 2 == 1
    }

    /// Skips what is in brackets, in the same way.
    fn nested(&mut self, rest: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < rest.len() {
            let here = rest.get(at..).unwrap_or_default();
            if self.in_string {
                let (taken, is_over) = self.string(here);
                at += taken;
                self.in_string = !is_over;
                continue;
            }
            let quote = find_quote(here);
            let plain = here.get(..quote.unwrap_or(here.len())).unwrap_or_default();
            if let Some(end) = self.brackets(plain) {
                return (at + end, true);
            }
            at += plain.len();
            if quote.is_some() {
                (self.in_string, self.is_escaped) = (true, false);
                at += 1;
            }
        }
        (rest.len(), false)
    }

    /// Counts brackets where there are no strings: behind which byte the last one closes.
    fn brackets(&mut self, plain: &[u8]) -> Option<usize> {
        let mut before = 0;
        for block in plain.chunks(TOGETHER) {
            let closing = count(block, b'}');
            if closing < self.depth {
                self.depth = self.depth - closing + count(block, b'{');
                before += block.len();
                continue;
            }
            for byte in block {
                before += 1;
                match byte | 0x20 {
                    b'{' => self.depth += 1,
                    b'}' => self.depth -= 1,
                    _ => {}
                }
                if self.depth == 0 {
                    return Some(before);
                }
            }
        }
        None
    }
}

/// How often this bracket or the square one of its side is there: they differ in one bit, and nothing else does
/// that has the other seven. Counted in bytes, of which many are added at once.
fn count(block: &[u8], bracket: u8) -> usize {
    let found = block.iter().map(|byte| u8::from(*byte | 0x20 == bracket));
    usize::from(found.sum::<u8>())
}

/// Where the next quote is. In many texts it is near, and calling `memchr` takes longer than to look at some words.
fn find_quote(text: &[u8]) -> Option<usize> {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    let (words, _) = text.as_chunks::<8>();
    let near = words.get(..NEAR).unwrap_or(words);
    for (word, at) in near.iter().zip((0..).step_by(8)) {
        let word = u64::from_le_bytes(*word) ^ QUOTES;
        // The lowest byte that is zero, and maybe some above it.
        let found = word.wrapping_sub(LOW) & !word & HIGH;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
    }
    let far = near.len() * 8;
    let found = memchr(b'"', text.get(far..).unwrap_or_default());
    found.map(|at| far + at)
}

/// Whether a byte can be in a number, or in `true`, `false` and `null`.
fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}
