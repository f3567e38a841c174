//! The chunked framing of a body (RFC 9112 §7.1), checked as it passes and never taken apart.
//!
//! Bytes go in, in whatever pieces they come; what comes out says how many of them pass on as they are.
//! Only two things do not: chunk extensions, which are left out (nobody needs them, and programs differ on
//! where they end), and trailers, which are held until they are complete.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use std::ops::Range;

/// Hexadecimal digits of a chunk's size: what fits 64 bits.
const DIGITS_MAX: u8 = 16;

/// Bytes of extensions in a whole body. They cost work and carry nothing.
const EXTENSIONS_MAX: u32 = 16 * 1024;

/// What is wrong with a body's framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// It is not what RFC 9112 says.
    Framing,
    /// Extensions or trailers are longer than anybody needs.
    TooLong,
}

/// Follows one chunked body.
#[derive(Debug)]
pub(crate) struct Chunked {
    state: State,
    /// Size of the chunk so far, then what is left of its data.
    left: u64,
    digits: u8,
    /// Whether the extension has begun with its semicolon; before that there may be space only.
    has_semicolon: bool,
    extensions: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the size of a chunk.
    Size,
    /// Between the size and the end of its line.
    Extension,
    /// The size's line ends with the next byte.
    SizeLf,
    Data,
    /// The line end after the data.
    DataCr,
    DataLf,
    /// The last chunk is over; trailers and an empty line follow.
    Trailers,
}

/// What is missing of a chunk that has begun to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenChunk {
    /// Bytes of its data,
    pub(crate) data: u64,
    /// and what is behind them.
    pub(crate) end: &'static [u8],
}

/// What to do with the bytes that were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Step {
    /// So many pass on.
    pub(crate) forward: usize,
    /// So many after those are left out.
    pub(crate) skip: usize,
}

impl Chunked {
    /// At the beginning of a body.
    pub(crate) fn new() -> Self {
        Self {
            state: State::Size,
            left: 0,
            digits: 0,
            has_semicolon: false,
            extensions: 0,
        }
    }

    /// Whether all chunks have passed, so that the next bytes are trailers.
    pub(crate) fn is_at_trailers(&self) -> bool {
        self.state == State::Trailers
    }

    /// Whether a size has begun of which nothing but zeros is known, or nothing at all: between chunks.
    pub(crate) fn is_between_chunks(&self) -> bool {
        self.state == State::Size && self.digits == 0
    }

    /// What must come before another chunk can begin; `None` in the middle of a size.
    pub(crate) fn open_chunk(&self) -> Option<OpenChunk> {
        let (data, end): (_, &[u8]) = match self.state {
            State::Size if self.digits == 0 => (0, b""),
            State::Data => (self.left, b"\r\n"),
            State::DataCr => (0, b"\r\n"),
            State::DataLf => (0, b"\n"),
            _ => return None,
        };
        Some(OpenChunk { data, end })
    }

    /// Looks at `bytes`, which are not empty, as far as one step goes; `data` is told where in them the
    /// body's own bytes are. Call it again with the rest. At the trailers it takes nothing.
    pub(crate) fn step(
        &mut self,
        bytes: &[u8],
        mut data: impl FnMut(Range<usize>),
    ) -> Result<Step, Malformed> {
        let forward = self.forward(bytes, &mut data)?;
        if forward > 0 || self.state != State::Extension {
            return Ok(Step { forward, skip: 0 });
        }
        match self.skip_extension(bytes)? {
            // It ended before, and its line's end passes on.
            0 => self
                .forward(bytes, &mut data)
                .map(|forward| Step { forward, skip: 0 }),
            skip => Ok(Step { forward: 0, skip }),
        }
    }

    /// Goes on to the next extension, or the trailers; how much of `bytes` that is.
    fn forward(
        &mut self,
        bytes: &[u8],
        data: &mut impl FnMut(Range<usize>),
    ) -> Result<usize, Malformed> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Data => {
                    let here = (bytes.len() - at) as u64;
                    let taken = self.left.min(here);
                    let end = at + taken as usize;
                    data(at..end);
                    at = end;
                    self.left -= taken;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    continue;
                }
                State::Size => match (hex(byte), byte) {
                    (Some(digit), _) if self.digits < DIGITS_MAX => {
                        self.left = self.left << 4 | u64::from(digit);
                        self.digits += 1;
                    }
                    (None, b'\r') if self.digits > 0 => self.state = State::SizeLf,
                    (None, b';' | b' ' | b'\t') if self.digits > 0 => {
                        self.state = State::Extension;
                        break;
                    }
                    _ => return Err(Malformed::Framing),
                },
                State::SizeLf => {
                    expect(byte, b'\n')?;
                    self.digits = 0;
                    self.state = match self.left {
                        0 => State::Trailers,
                        _ => State::Data,
                    };
                }
                State::DataCr => {
                    expect(byte, b'\r')?;
                    self.state = State::DataLf;
                }
                State::DataLf => {
                    expect(byte, b'\n')?;
                    self.state = State::Size;
                }
                State::Extension | State::Trailers => break,
            }
            at += 1;
        }
        Ok(at)
    }

    /// Leaves out what stands between a size and the end of its line; how much of `bytes` that is.
    fn skip_extension(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let end = bytes.iter().position(|&byte| byte == b'\r');
        let extension = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
        let first = extension.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
        if extension.iter().any(is_control)
            || !self.has_semicolon && first.is_some_and(|b| *b != b';')
        {
            return Err(Malformed::Framing);
        }
        self.has_semicolon |= first.is_some();
        self.extensions = self.extensions.saturating_add(extension.len() as u32);
        if self.extensions > EXTENSIONS_MAX {
            return Err(Malformed::TooLong);
        }
        if end.is_some() {
            // The line's end passes on as it is.
            self.state = State::Size;
            self.has_semicolon = false;
        }
        Ok(extension.len())
    }
}

fn expect(byte: u8, wanted: u8) -> Result<(), Malformed> {
    match byte == wanted {
        true => Ok(()),
        false => Err(Malformed::Framing),
    }
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What passes on of a body cut into pieces at `cuts`, its data, and what is behind its last chunk.
    fn pass(body: &[u8], cuts: &[usize]) -> Result<[Vec<u8>; 3], Malformed> {
        let mut chunked = Chunked::new();
        let (mut passed, mut data) = (Vec::new(), Vec::new());
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
        ends.push(body.len());
        ends.sort_unstable();
        let mut begin = 0;
        for end in ends {
            while begin < end && !chunked.is_at_trailers() {
                let piece = &body[begin..end];
                let step = chunked.step(piece, |range| data.extend_from_slice(&piece[range]))?;
                assert!(step.forward + step.skip > 0);
                passed.extend_from_slice(&piece[..step.forward]);
                begin += step.forward + step.skip;
            }
        }
        assert!(chunked.is_at_trailers() || begin == body.len());
        Ok([passed, data, body[begin..].to_vec()])
    }

    #[test]
    fn chunks_pass_as_they_came_and_extensions_do_not() {
        for (body, passed, data, rest) in [
            ("3\r\nabc\r\n0\r\n\r\n", "3\r\nabc\r\n0\r\n", "abc", "\r\n"),
            (
                "0A\r\n0123456789\r\n000\r\nGET",
                "0A\r\n0123456789\r\n000\r\n",
                "0123456789",
                "GET",
            ),
            (
                "1;a=b\r\nx\r\n0 ; c=\"d\"\r\n\r\n",
                "1\r\nx\r\n0\r\n",
                "x",
                "\r\n",
            ),
            (
                "2 \r\nok\r\n0\r\nt: 1\r\n\r\n",
                "2\r\nok\r\n0\r\n",
                "ok",
                "t: 1\r\n\r\n",
            ),
        ] {
            for cut in 0..body.len() {
                let [got, found, left] = pass(body.as_bytes(), &[cut]).unwrap();
                assert_eq!(got, passed.as_bytes(), "{body:?} {cut}");
                assert_eq!(found, data.as_bytes());
                assert_eq!(left, rest.as_bytes());
            }
        }
    }

    #[test]
    fn what_other_programs_may_read_in_another_way_is_malformed() {
        for body in [
            "\r\n",
            "x\r\n",
            "0x3\r\nabc\r\n",
            "+3\r\nabc\r\n",
            "-1\r\n",
            " 3\r\nabc\r\n",
            "3\nabc\r\n",
            "3\r\r\nabc\r\n",
            "3\r\nabc\n0\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc0\r\n\r\n",
            "3 4\r\nabc\r\n",
            "3;a\nb\r\nabc\r\n",
            "3;\0\r\nabc\r\n",
            "10000000000000000\r\n",
            "00000000000000001\r\n",
            "3_0\r\n",
            "3\r\nabc\r\n\r\n",
        ] {
            for cut in 0..body.len() {
                let passed = pass(body.as_bytes(), &[cut]);
                assert_eq!(passed.unwrap_err(), Malformed::Framing, "{body:?}");
            }
        }
    }

    #[test]
    fn extensions_have_a_bound_over_the_whole_body() {
        let chunk = format!("1;{}\r\nx\r\n", "e".repeat(1000));
        assert!(pass(chunk.repeat(16).as_bytes(), &[]).is_ok());
        assert_eq!(
            pass(chunk.repeat(17).as_bytes(), &[]).unwrap_err(),
            Malformed::TooLong
        );
    }

    proptest! {
        #[test]
        fn however_a_body_is_cut_the_same_passes(
            chunks in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..40), "(;[a-z]{0,3}(=[a-z]{1,3})?)?"), 0..8),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            let (mut body, mut expected, mut data) = (Vec::new(), Vec::new(), Vec::new());
            for (bytes, extension) in &chunks {
                let size = format!("{:x}", bytes.len());
                body.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
                expected.extend_from_slice(format!("{size}\r\n").as_bytes());
                for to in [&mut body, &mut expected] {
                    to.extend_from_slice(bytes);
                    to.extend_from_slice(b"\r\n");
                }
                data.extend_from_slice(bytes);
            }
            body.extend_from_slice(b"0\r\n\r\nnext");
            expected.extend_from_slice(b"0\r\n");
            let [passed, found, rest] = pass(&body, &cuts).unwrap();
            prop_assert_eq!(passed, expected);
            prop_assert_eq!(found, data);
            prop_assert_eq!(rest, b"\r\nnext");
        }

        #[test]
        fn no_bytes_make_it_fail_otherwise_than_by_an_error(
            body in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'0'), Just(b';')], 0..60),
            cuts in prop::collection::vec(any::<usize>(), 0..6),
        ) {
            let whole = pass(&body, &[]);
            prop_assert_eq!(pass(&body, &cuts).is_ok(), whole.is_ok());
        }
    }
}
