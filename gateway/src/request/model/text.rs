//! The text of a JSON string, of which the bytes come in pieces.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use memchr::memchr;

/// What has come of a text.
#[derive(Debug, Default)]
pub(crate) struct Text {
    bytes: Vec<u8>,
    most: usize,
    state: State,
    escape: Escape,
    /// The first half of a character that is written as two.
    high: Option<u32>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Good,
    TooLong,
    Malformed,
    None,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    No,
    Begun,
    Hex(u8, u32),
}

/// Why there is no text to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoText {
    /// It is longer than it may be.
    TooLong,
    /// It is not what JSON says, or no characters.
    Malformed,
    /// The value is something else.
    Other,
}

impl Text {
    /// Another one begins, which may have so many bytes.
    pub(super) fn begin(&mut self, most: usize) {
        self.bytes.clear();
        (self.most, self.state) = (most, State::Good);
        (self.escape, self.high) = (Escape::No, None);
    }

    /// In place of a text there is something else.
    pub(super) fn is_none(&mut self) {
        self.begin(0);
        self.state = State::None;
    }

    /// The bytes of it, without the quotes around them.
    pub(crate) fn read(&self) -> Result<&str, NoText> {
        match self.state {
            State::Good => str::from_utf8(&self.bytes).map_err(|_| NoText::Malformed),
            State::TooLong => Err(NoText::TooLong),
            State::Malformed => Err(NoText::Malformed),
            State::None => Err(NoText::Other),
        }
    }

    /// Whether it is longer than it may be already.
    pub(crate) fn is_too_long(&self) -> bool {
        self.state == State::TooLong
    }

    /// A piece of what is between the quotes.
    pub(super) fn push(&mut self, mut piece: &[u8]) {
        while let Some((first, rest)) = piece.split_first() {
            if self.state != State::Good {
                return;
            }
            match self.escape {
                Escape::No => {
                    let end = memchr(b'\\', piece).unwrap_or(piece.len());
                    let (plain, rest) = piece.split_at_checked(end).unwrap_or_default();
                    self.plain(plain);
                    piece = rest;
                    if let Some((_, rest)) = rest.split_first() {
                        self.escape = Escape::Begun;
                        piece = rest;
                    }
                }
                Escape::Begun => {
                    self.escaped(*first);
                    piece = rest;
                }
                Escape::Hex(count, code) => {
                    self.hex(*first, count, code);
                    piece = rest;
                }
            }
        }
    }

    /// The quote behind it has come.
    pub(super) fn end(&mut self) {
        if self.state == State::Good && (self.high.is_some() || self.escape != Escape::No) {
            self.state = State::Malformed;
        }
    }

    fn plain(&mut self, plain: &[u8]) {
        if plain.is_empty() {
            return;
        }
        if self.high.is_some() || has_control(plain) {
            self.state = State::Malformed;
        } else if self.bytes.len() + plain.len() > self.most {
            self.state = State::TooLong;
        } else {
            self.bytes.extend_from_slice(plain);
        }
    }

    fn escaped(&mut self, byte: u8) {
        self.escape = Escape::No;
        let byte = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.escape = Escape::Hex(0, 0);
                return;
            }
            _ => {
                self.state = State::Malformed;
                return;
            }
        };
        match self.high {
            Some(_) => self.state = State::Malformed,
            None => self.character(char::from(byte)),
        }
    }

    fn hex(&mut self, byte: u8, count: u8, code: u32) {
        let Some(digit) = char::from(byte).to_digit(16) else {
            self.state = State::Malformed;
            return;
        };
        let code = code * 16 + digit;
        if count < 3 {
            self.escape = Escape::Hex(count + 1, code);
            return;
        }
        self.escape = Escape::No;
        match (self.high.take(), code) {
            (Some(high), 0xDC00..=0xDFFF) => {
                let code = 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00);
                self.code(code);
            }
            (Some(_), _) | (None, 0xDC00..=0xDFFF) => self.state = State::Malformed,
            (None, 0xD800..=0xDBFF) => self.high = Some(code),
            (None, _) => self.code(code),
        }
    }

    fn code(&mut self, code: u32) {
        match char::from_u32(code) {
            Some(character) => self.character(character),
            None => self.state = State::Malformed,
        }
    }

    fn character(&mut self, character: char) {
        let mut buffer = [0; 4];
        let encoded = character.encode_utf8(&mut buffer);
        if self.bytes.len() + encoded.len() > self.most {
            self.state = State::TooLong;
        } else {
            self.bytes.extend_from_slice(encoded.as_bytes());
        }
    }
}

/// Whether there is what must be written as an escape.
fn has_control(plain: &[u8]) -> bool {
    plain.iter().any(|byte| *byte < 0x20)
}
