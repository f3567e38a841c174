//! Where a body ends, and what of it passes on: a state machine without I/O.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use std::ops::Range;

use super::chunked::{Chunked, Malformed, OpenChunk, Step};

/// Longest trailers, with their names.
const TRAILERS_MAX: usize = 16 * 1024;

/// How the end of a body is known (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body, or one of so many bytes.
    Length(u64),
    /// Chunks, the last one empty.
    Chunked,
    /// The connection ends with it (answers only).
    UntilClose,
}

/// A body that is passing.
#[derive(Debug)]
pub(crate) struct Body {
    state: State,
}

#[derive(Debug)]
enum State {
    Length(u64),
    Chunked(Chunked),
    /// After the last chunk: what has come since.
    Trailers(Vec<u8>),
    UntilClose,
}

/// What became of the bytes that were looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// So many pass on, and so many after those are left out; there is more to come.
    Some(Step),
    /// So many were trailers, which are complete: their lines, without the empty one. The body is over.
    Trailers(usize, Vec<u8>),
}

impl Body {
    /// A body framed like this, from its beginning.
    pub(crate) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::new()),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Whether all of it has passed.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Length(0))
    }

    /// Whether it ends with the connection.
    pub(crate) fn is_until_close(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// Whether a chunk has just ended, or none has begun.
    pub(crate) fn is_between_chunks(&self) -> bool {
        matches!(&self.state, State::Chunked(chunked) if chunked.is_between_chunks())
    }

    /// What must come before another chunk can begin, where that can be told.
    pub(crate) fn open_chunk(&self) -> Option<OpenChunk> {
        match &self.state {
            State::Chunked(chunked) => chunked.open_chunk(),
            State::Length(_) | State::Trailers(_) | State::UntilClose => None,
        }
    }

    /// Bytes that are still to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Chunked(_) | State::Trailers(_) | State::UntilClose => None,
        }
    }

    /// Looks at `bytes`, which are not empty, as far as one step goes; `data` is told where in them the
    /// body's own bytes are. Not to be called once it is over.
    pub(crate) fn pass(
        &mut self,
        bytes: &[u8],
        mut data: impl FnMut(Range<usize>),
    ) -> Result<Passed, Malformed> {
        match &mut self.state {
            State::Length(left) => {
                let forward = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= forward as u64;
                data(0..forward);
                Ok(Passed::Some(Step { forward, skip: 0 }))
            }
            State::UntilClose => {
                data(0..bytes.len());
                let forward = bytes.len();
                Ok(Passed::Some(Step { forward, skip: 0 }))
            }
            State::Chunked(chunked) => {
                let step = chunked.step(bytes, data)?;
                if chunked.is_at_trailers() {
                    self.state = State::Trailers(Vec::new());
                }
                Ok(Passed::Some(step))
            }
            State::Trailers(held) => {
                let (taken, is_whole) = hold(held, bytes)?;
                if !is_whole {
                    let step = Step {
                        forward: 0,
                        skip: taken,
                    };
                    return Ok(Passed::Some(step));
                }
                let mut lines = std::mem::take(held);
                lines.truncate(lines.len() - 2);
                self.state = State::Length(0);
                Ok(Passed::Trailers(taken, lines))
            }
        }
    }
}

/// Holds trailers until the empty line after them has come: how many of `bytes` belong to them, and
/// whether that was all.
fn hold(held: &mut Vec<u8>, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
    for (at, &byte) in bytes.iter().enumerate() {
        let before = held.last().copied();
        held.push(byte);
        if before == Some(b'\r') && byte != b'\n' || byte == b'\n' && before != Some(b'\r') {
            return Err(Malformed::Framing);
        }
        if held == b"\r\n" || held.ends_with(b"\r\n\r\n") {
            return Ok((at + 1, true));
        }
        if held.len() > TRAILERS_MAX {
            return Err(Malformed::TooLong);
        }
    }
    Ok((bytes.len(), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes on, the trailers, and what is behind the body, which is cut in two at `cut`.
    fn pass(
        framing: Framing,
        bytes: &[u8],
        cut: usize,
    ) -> Result<(String, Option<String>, String), Malformed> {
        let mut body = Body::new(framing);
        let (mut passed, mut trailers, mut begin) = (Vec::new(), None, 0);
        for end in [cut, bytes.len()] {
            while begin < end && !body.is_over() {
                match body.pass(&bytes[begin..end], |_| {})? {
                    Passed::Some(step) => {
                        passed.extend_from_slice(&bytes[begin..begin + step.forward]);
                        begin += step.forward + step.skip;
                    }
                    Passed::Trailers(taken, lines) => {
                        trailers = Some(String::from_utf8(lines).unwrap());
                        begin += taken;
                    }
                }
            }
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok((text(&passed), trailers, text(&bytes[begin..])))
    }

    #[test]
    fn a_body_ends_where_its_framing_says_and_what_is_behind_it_is_left_alone() {
        for (framing, bytes, passed, trailers, rest) in [
            (Framing::Length(3), "abcGET", "abc", None, "GET"),
            (Framing::Length(0), "GET", "", None, "GET"),
            (
                Framing::Chunked,
                "1\r\nx\r\n0\r\n\r\nGET",
                "1\r\nx\r\n0\r\n",
                Some(""),
                "GET",
            ),
            (
                Framing::Chunked,
                "0\r\na: 1\r\nb: 2\r\n\r\n\r\nGET",
                "0\r\n",
                Some("a: 1\r\nb: 2\r\n"),
                "\r\nGET",
            ),
            (Framing::UntilClose, "all of it", "all of it", None, ""),
        ] {
            for cut in 0..bytes.len() {
                let got = pass(framing, bytes.as_bytes(), cut).unwrap();
                let wanted = (
                    passed.to_owned(),
                    trailers.map(str::to_owned),
                    rest.to_owned(),
                );
                assert_eq!(got, wanted, "{bytes:?} {cut}");
            }
        }
    }

    #[test]
    fn trailers_have_lines_that_end_as_they_should_and_a_bound() {
        for bytes in [
            "0\r\na: 1\n\r\n",
            "0\r\n\n",
            "0\r\na: 1\r\r\n\r\n",
            "0\r\n\r\r\n",
        ] {
            let got = pass(Framing::Chunked, bytes.as_bytes(), 0);
            assert_eq!(got.unwrap_err(), Malformed::Framing, "{bytes:?}");
        }
        let long = format!("0\r\na: {}\r\n\r\n", "x".repeat(TRAILERS_MAX));
        let got = pass(Framing::Chunked, long.as_bytes(), 0);
        assert_eq!(got.unwrap_err(), Malformed::TooLong);
    }
}
