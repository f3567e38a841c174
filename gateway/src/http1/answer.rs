//! The head of a worker's answer: read, and checked for what must not be passed on.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use std::{mem::MaybeUninit, ops::Range};

use httparse::{Error, Status};

use super::{
    body::Framing,
    field::Field,
    lines::Lines,
    plain,
    values::{Options, content_length},
};

/// Fields that are parsed without memory of their own.
const FIELDS_USUAL: usize = 64;

/// Most fields of an answer.
const FIELDS_MAX: usize = 512;

/// Longest head of an answer.
pub(crate) const HEAD_MAX: usize = 64 * 1024;

/// An answer's head.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its field lines.
    pub(crate) lines: Lines,
    /// Its status.
    pub(crate) status: u16,
    /// The reason phrase in the head.
    phrase: Range<u32>,
    /// How its body is framed.
    pub(crate) framing: Framing,
    /// What `Connection` names.
    pub(crate) options: Options,
    /// Whether the worker takes another request on this connection.
    pub(crate) keeps_alive: bool,
}

/// An answer that was read to the end of its head, if it may pass on, and the length of that.
type Checked = (Result<Answer, &'static str>, usize);

/// What the bytes of a connection begin with.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A part of a head.
    Part,
    /// A head of so many bytes.
    Whole(Answer, usize),
    /// No answer that can be passed on, and why.
    Bad(&'static str),
}

impl Answer {
    /// Reads the head that `bytes` begin with. `is_head`: the request's method was HEAD.
    pub(crate) fn parse(bytes: &[u8], is_head: bool) -> Parsed {
        match Self::parse_plain(bytes, is_head) {
            Some(parsed) => parsed,
            None => Self::parse_any(bytes, is_head),
        }
    }

    /// One as nearly every worker sends them.
    fn parse_plain(bytes: &[u8], is_head: bool) -> Option<Parsed> {
        let (status, phrase, end) = plain::status_line(bytes)?;
        let (lines, length) = plain::lines(bytes, end)?;
        let place = |at: usize| u32::try_from(at).unwrap_or_default();
        let phrase = place(phrase.start)..place(phrase.end);
        Some(match Self::of(lines, status, phrase, (is_head, false)) {
            Ok(answer) => Parsed::Whole(answer, length),
            Err(why) => Parsed::Bad(why),
        })
    }

    /// Any head.
    pub(super) fn parse_any(bytes: &[u8], is_head: bool) -> Parsed {
        let mut usual = [const { MaybeUninit::uninit() }; FIELDS_USUAL];
        let mut many = Vec::new();
        let parsed = match Self::parse_with(bytes, &mut usual, is_head) {
            Err(Error::TooManyHeaders) => {
                many.resize_with(FIELDS_MAX, MaybeUninit::uninit);
                Self::parse_with(bytes, &mut many, is_head)
            }
            parsed => parsed,
        };
        match parsed {
            Ok(None) if bytes.len() >= HEAD_MAX => {
                Parsed::Bad("the head of the answer is longer than 64 KiB")
            }
            Ok(None) => Parsed::Part,
            Ok(Some((Ok(answer), length))) => Parsed::Whole(answer, length),
            Ok(Some((Err(why), _))) => Parsed::Bad(why),
            Err(Error::TooManyHeaders) => Parsed::Bad("the answer has more than 512 fields"),
            Err(_) => Parsed::Bad("this is not an HTTP/1 answer, or its head is malformed"),
        }
    }

    fn parse_with<'b>(
        bytes: &'b [u8],
        fields: &mut [MaybeUninit<httparse::Header<'b>>],
        is_head: bool,
    ) -> Result<Option<Checked>, Error> {
        let mut parsed = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        match config.parse_response_with_uninit_headers(&mut parsed, bytes, fields)? {
            Status::Partial => Ok(None),
            Status::Complete(length) => {
                let checked = Self::check(bytes, length, &parsed, is_head);
                Ok(Some((checked, length)))
            }
        }
    }

    fn check(
        bytes: &[u8],
        length: usize,
        parsed: &httparse::Response<'_, '_>,
        is_head: bool,
    ) -> Result<Self, &'static str> {
        let head = bytes.get(..length).unwrap_or_default();
        let lines = Lines::of(head, parsed.headers).map_err(
            |_| "a line of the answer's head does not end in a carriage return and a line feed",
        )?;
        let is_old = parsed.version == Some(0);
        let status = parsed.code.unwrap_or_default();
        if !(100..=999).contains(&status) {
            return Err("the answer has no status from 100 on");
        }
        let phrase = phrase(head, parsed.reason.unwrap_or_default());
        Self::of(lines, status, phrase, (is_head, is_old))
    }

    /// That of these lines, if it may pass on. `is_old`: it is HTTP/1.0.
    fn of(
        lines: Lines,
        status: u16,
        phrase: Range<u32>,
        (is_head, is_old): (bool, bool),
    ) -> Result<Self, &'static str> {
        let framing = framing(&lines, status, is_head, is_old)?;
        let options = Options::of(&lines);
        let keeps_alive = match is_old {
            true => options.keeps_alive,
            false => !options.closes,
        };
        Ok(Self {
            options,
            status,
            phrase,
            framing,
            keeps_alive: keeps_alive && framing != Framing::UntilClose,
            lines,
        })
    }

    /// The reason phrase.
    pub(crate) fn phrase(&self) -> &[u8] {
        self.lines.part(self.phrase.clone())
    }

    /// Whether this is an interim answer, and another one follows.
    pub(crate) fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// Fields that `Connection` names beside its usual options.
    pub(crate) fn nominated(&self) -> impl Iterator<Item = &[u8]> {
        self.lines
            .values(Field::Connection)
            .flat_map(crate::base::headers::members)
    }

    /// Whether it names a length.
    pub(crate) fn tells_length(&self) -> bool {
        self.may_tell_length() && self.lines.has(Field::ContentLength)
    }

    /// Whether it has a body by its kind, so that its framing is told to the client. An answer to HEAD and a
    /// 304 tell of a body that they do not have.
    pub(crate) fn may_tell_length(&self) -> bool {
        self.status >= 200 && self.status != 204
    }
}

/// Where the reason phrase is.
fn phrase(head: &[u8], phrase: &str) -> Range<u32> {
    let begin = (phrase.as_ptr() as usize).checked_sub(head.as_ptr() as usize);
    let within = begin.filter(|begin| begin + phrase.len() <= head.len());
    let place = |at: usize| u32::try_from(at).unwrap_or_default();
    // One that is empty may lie anywhere.
    within.map_or(0..0, |begin| place(begin)..place(begin + phrase.len()))
}

/// How the body is framed (RFC 9112 §6.3). What a client and the gateway could take for two things is no
/// answer.
fn framing(
    lines: &Lines,
    status: u16,
    is_head: bool,
    is_old: bool,
) -> Result<Framing, &'static str> {
    let mut codings = lines.values(Field::TransferEncoding);
    let length = match content_length(lines.values(Field::ContentLength)) {
        Ok(length) => length,
        // It is left out of those.
        Err(_) if matches!(status, 100..=199 | 204) => None,
        Err(_) => return Err("the answer's Content-Length is not one number"),
    };
    let framing = match (codings.next(), codings.next()) {
        (None, _) => length.map_or(Framing::UntilClose, Framing::Length),
        (Some(_), _) if is_old => return Err("HTTP/1.0 knows no Transfer-Encoding"),
        (Some(only), None) if only.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
        _ => return Err("the answer has a Transfer-Encoding other than chunked"),
    };
    // These have none, whatever they say.
    let has_none = is_head || matches!(status, 100..=199 | 204 | 304);
    Ok(if has_none {
        Framing::Length(0)
    } else {
        framing
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(head: &str) -> Answer {
        match Answer::parse(head.as_bytes(), false) {
            Parsed::Whole(answer, length) => {
                assert_eq!(length, head.len());
                answer
            }
            other => panic!("{head:?}: {other:?}"),
        }
    }

    fn ok(fields: &str) -> String {
        format!("HTTP/1.1 200 OK\r\n{fields}\r\n")
    }

    #[test]
    fn an_answer_says_how_it_ends_and_whether_the_connection_goes_on() {
        for (head, framing, keeps_alive) in [
            (ok("content-length: 3\r\n"), Framing::Length(3), true),
            (ok("content-length: 3, 3\r\n"), Framing::Length(3), true),
            (
                ok("transfer-encoding: chunked\r\ncontent-length: 3\r\n"),
                Framing::Chunked,
                true,
            ),
            (
                ok("transfer-encoding: chunked\r\nconnection: close\r\n"),
                Framing::Chunked,
                false,
            ),
            (ok(""), Framing::UntilClose, false),
            (
                "HTTP/1.0 200\r\ncontent-length: 0\r\n\r\n".into(),
                Framing::Length(0),
                false,
            ),
            (
                "HTTP/1.0 200 \r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\n".into(),
                Framing::Length(1),
                true,
            ),
            (
                "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n".into(),
                Framing::Length(0),
                true,
            ),
            (
                "HTTP/1.1 204 No Content\r\n\r\n".into(),
                Framing::Length(0),
                true,
            ),
        ] {
            let answer = whole(&head);
            assert_eq!(
                (answer.framing, answer.keeps_alive),
                (framing, keeps_alive),
                "{head}"
            );
        }
        let head = ok("content-length: 9\r\n");
        let Parsed::Whole(answer, _) = Answer::parse(head.as_bytes(), true) else {
            panic!("an answer to HEAD");
        };
        assert_eq!(answer.framing, Framing::Length(0));
    }

    #[test]
    fn phrases_pass_and_interim_answers_are_told_apart() {
        assert_eq!(
            whole("HTTP/1.1 200 All is well\r\n\r\n").phrase(),
            b"All is well"
        );
        assert_eq!(whole("HTTP/1.1 200 \r\n\r\n").phrase(), b"");
        assert!(whole("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").is_interim());
        assert!(!whole("HTTP/1.1 101 Switching Protocols\r\n\r\n").is_interim());
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for head in [
            ok("content-length: 3\r\ncontent-length: 4\r\n"),
            ok("content-length: 3, 4\r\n"),
            ok("content-length: x\r\n"),
            ok("transfer-encoding: xchunked\r\n"),
            ok("transfer-encoding: gzip, chunked\r\n"),
            ok("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
            ok("a: b\n"),
            ok("a : b\r\n"),
            ok("a: b\r\n folded\r\n"),
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".into(),
            "HTTP/1.1 099 No\r\n\r\n".into(),
            "HTTP/2 200 OK\r\n\r\n".into(),
            "SSH-2.0-OpenSSH_9.6\r\n".into(),
            "HTTP/1.1 200 OK\n\n".into(),
            ok(&"a: b\r\n".repeat(600)),
        ] {
            let parsed = Answer::parse(head.as_bytes(), false);
            assert!(matches!(parsed, Parsed::Bad(_)), "{head}");
        }
        let long = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(HEAD_MAX));
        assert!(matches!(
            Answer::parse(long.as_bytes(), false),
            Parsed::Bad(_)
        ));
        assert!(matches!(
            Answer::parse(b"HTTP/1.1 200 OK\r\na", false),
            Parsed::Part
        ));
    }
}
