//! Heads as nearly everybody sends them, read in one pass. Whatever is unusual in any way, wrong or not, is left
//! to the full parser: what is taken here it would take as well, and read in the same way.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use std::ops::Range;

use http::Method;

use super::lines::Lines;

/// Most fields that are read here.
const FIELDS_MAX: usize = 64;

/// The characters of names (RFC 9110 §5.6.2).
static TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");

/// Those of a path but its question mark: printable ASCII without the number sign.
#[allow(clippy::indexing_slicing, reason = "it is made when this is compiled")]
static PATH: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = byte != b'#' && byte != b'?';
        byte += 1;
    }
    table
};

/// Those of reason phrases.
static PHRASE: [bool; 256] = table(b" -'");

/// Letters, digits and others.
#[allow(clippy::indexing_slicing, reason = "it is made when this is compiled")]
const fn table(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

/// The first line of a request.
pub(super) struct RequestLine {
    pub(super) method: Method,
    /// The path with its query.
    pub(super) target: Range<usize>,
    /// Length of the path.
    pub(super) path: usize,
    /// Behind its end.
    pub(super) end: usize,
}

/// The line of a request for a path, in HTTP/1.1.
pub(super) fn request_line(head: &[u8]) -> Option<RequestLine> {
    let (method, begin) = match head {
        [b'G', b'E', b'T', b' ', ..] => (Method::GET, 4),
        [b'P', b'O', b'S', b'T', b' ', ..] => (Method::POST, 5),
        _ => return None,
    };
    let text = head.get(begin..)?;
    if text.first() != Some(&b'/') {
        return None;
    }
    let path = length_of(text, &PATH)?;
    let mut length = path;
    while let Some(b'?') = text.get(length) {
        length += 1 + length_of(text.get(length + 1..)?, &PATH)?;
    }
    let behind = text.get(length..)?.first_chunk()?;
    (behind == b" HTTP/1.1\r\n").then_some(RequestLine {
        method,
        target: begin..begin + length,
        path,
        end: begin + length + behind.len(),
    })
}

/// The first line of an answer in HTTP/1.1: its status, where its phrase is, and where the line ends.
pub(super) fn status_line(head: &[u8]) -> Option<(u16, Range<usize>, usize)> {
    let (line, rest) = head.split_first_chunk::<13>()?;
    let [a, b, c, b' '] = line.strip_prefix(b"HTTP/1.1 ")? else {
        return None;
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let status = digit(*a)? * 100 + digit(*b)? * 10 + digit(*c)?;
    let length = length_of(rest, &PHRASE)?;
    let is_plain = status >= 100 && matches!(rest.get(length..), Some([b'\r', b'\n', ..]));
    let begin = line.len();
    is_plain.then_some((status, begin..begin + length, begin + length + 2))
}

/// The lines behind a first line that takes `begin` bytes, and the length of the whole head.
pub(super) fn lines(head: &[u8], begin: usize) -> Option<(Lines, usize)> {
    let mut lines = Lines::lent();
    let mut at = begin;
    loop {
        let line = head.get(at..)?;
        if let [b'\r', b'\n', ..] = line {
            break;
        }
        let (name, value, end) = field(line)?;
        if lines.len() == FIELDS_MAX {
            return None;
        }
        lines.add(
            (at, line.get(..name)?),
            at + value.start..at + value.end,
            at + end,
        );
        at += end;
    }
    let length = at + 2;
    // Places in a head are numbers of 32 bits.
    u32::try_from(length).ok()?;
    lines.hold(head.get(..length)?);
    Some((lines, length))
}

/// Length of the name that a line begins with, where its value is, and where it ends.
fn field(line: &[u8]) -> Option<(usize, Range<usize>, usize)> {
    let name = length_of(line, &TOKEN)?;
    if name == 0 || line.get(name) != Some(&b':') {
        return None;
    }
    let mut begin = name + 1;
    while line.get(begin) == Some(&b' ') {
        begin += 1;
    }
    let end = begin + text_length(line.get(begin..)?)?;
    // One that goes on in the next line is not plain.
    let [b'\r', b'\n', next, ..] = line.get(end..)? else {
        return None;
    };
    if matches!(next, b' ' | b'\t') {
        return None;
    }
    let mut value_end = end;
    while value_end > begin && line.get(value_end - 1) == Some(&b' ') {
        value_end -= 1;
    }
    // One of nothing lies where the full parser says it does.
    if value_end == begin {
        (begin, value_end) = (name + 1, name + 1);
    }
    Some((name, begin..value_end, end + 2))
}

/// How many characters of this kind `text` begins with; `None` where it ends before another one.
fn length_of(text: &[u8], kind: &[bool; 256]) -> Option<usize> {
    text.iter()
        .position(|byte| kind.get(usize::from(*byte)) != Some(&true))
}

/// How many bytes `text` begins with that are no control characters; `None` where it ends before one.
fn text_length(text: &[u8]) -> Option<usize> {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let (chunks, rest) = text.as_chunks::<8>();
    for (number, chunk) in chunks.iter().enumerate() {
        // Eight at once. A byte below 0x20 borrows into its highest bit, and so does one that is zero once
        // 0x7f is taken from it. Only what is above the first of them may be mistaken.
        let bytes = u64::from_le_bytes(*chunk);
        let low = bytes.wrapping_sub(EACH * 0x20) & !bytes;
        let others = bytes ^ (EACH * 0x7f);
        let delete = others.wrapping_sub(EACH) & !others;
        let controls = (low | delete) & (EACH * 0x80);
        if controls != 0 {
            return Some(number * 8 + controls.trailing_zeros() as usize / 8);
        }
    }
    let in_rest = rest.iter().position(u8::is_ascii_control)?;
    Some(chunks.len() * 8 + in_rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http1::fuzzing::{answer_head, request_head};

    /// Heads that are plain, nearly plain, or wrong.
    fn heads(first: &'static str) -> impl Strategy<Value = Vec<u8>> {
        let line_end = || prop_oneof![30 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r\n ")];
        let name = prop_oneof![
            4 => "(?i)(host|content-length|transfer-encoding|connection|expect|te|cookie|content_length)",
            4 => "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}",
            1 => "[ -~]{0,3}",
        ];
        let value = prop_oneof![
            4 => "(a|a:80|3|chunked|close|keep-alive|trailers)",
            4 => " {0,2}[ -~\u{e4}]{0,30} {0,2}",
            1 => "[\\x00-\\x7f]{0,9}",
        ];
        let colon = prop_oneof![20 => Just(":"), 1 => Just(" :"), 1 => Just(":\t")];
        let line = (name, colon, value, line_end())
            .prop_map(|(name, colon, value, end)| [&name, colon, &value, end].concat());
        let lines = proptest::collection::vec(line, 0..8);
        let last = prop_oneof![30 => Just("\r\n"), 1 => Just("\n"), 1 => Just(""), 1 => Just("\r")];
        let all = (first, line_end(), lines, last, "[ -~]{0,3}");
        all.prop_map(|(first, end, lines, last, more)| {
            [&first, end, &lines.concat(), last, &more]
                .concat()
                .into_bytes()
        })
    }

    proptest! {
        #[test]
        fn a_request_is_read_as_the_full_parser_reads_it(
            head in heads("(GET|POST|PUT|TRACE) {1,2}(/[ -~]{0,9}|/a(\\?b){0,2}|http://a|\\*) HTTP/1\\.[019]"),
            host in any::<bool>(),
        ) {
            request_head(&head);
            if host && let Some(end) = head.iter().position(|byte| *byte == b'\n') {
                request_head(&[&head[..=end], b"Host: a\r\n", &head[end + 1..]].concat());
            }
        }

        #[test]
        fn an_answer_is_read_as_the_full_parser_reads_it(
            head in heads("HTTP/1\\.[01] (200|304|[0-9]{2,3}) ?(OK|Not Modified|[ -~\u{e4}]{0,9})"),
        ) {
            answer_head(&head);
        }
    }

    #[test]
    fn the_first_control_character_is_found_wherever_it_is_and_whatever_is_around_it() {
        for length in 0..20 {
            for at in 0..length {
                for control in (0..0x20).chain([0x7f]) {
                    for around in [b' ', b'a', b'~', 0x80, 0xff] {
                        let mut text = vec![around; length];
                        text[at] = control;
                        assert_eq!(text_length(&text), Some(at), "{text:?}");
                        if let Some(next) = text.get_mut(at + 1) {
                            *next = 0x1f;
                            assert_eq!(text_length(&text), Some(at), "{text:?}");
                        }
                    }
                }
            }
            assert_eq!(text_length(&vec![b'x'; length]), None);
        }
    }

    #[test]
    fn what_is_unusual_is_not_plain() {
        for line in [
            "PUT / HTTP/1.1\r\n",
            "GET http://a/ HTTP/1.1\r\n",
            "GET /#a HTTP/1.1\r\n",
            "GET /\x7f HTTP/1.1\r\n",
            "GET /\u{e4} HTTP/1.1\r\n",
            "GET  / HTTP/1.1\r\n",
            "GET /  HTTP/1.1\r\n",
            "GET / HTTP/1.0\r\n",
            "GET / HTTP/1.1\n",
            "GET /",
        ] {
            assert!(request_line(line.as_bytes()).is_none(), "{line:?}");
        }
        for line in [
            "HTTP/1.0 200 OK\r\n",
            "HTTP/1.1 099 OK\r\n",
            "HTTP/1.1 200\r\n",
            "HTTP/1.1 200 \u{e4}\r\n",
            "HTTP/1.1 200 OK\n",
            "HTTP/1.1 200 OK",
        ] {
            assert!(status_line(line.as_bytes()).is_none(), "{line:?}");
        }
        for fields in [
            "a b: c\r\n\r\n",
            "a : c\r\n\r\n",
            ": c\r\n\r\n",
            "a: \tc\r\n\r\n",
            "a: c\n\r\n",
            "a: c\r\n b\r\n\r\n",
            "a: c\r\n\r",
            "a: c\r\n",
            "a: c\0\r\n\r\n",
        ] {
            assert!(lines(fields.as_bytes(), 0).is_none(), "{fields:?}");
        }
        assert!(lines("a: b\r\n".repeat(65).as_bytes(), 0).is_none());
    }

    #[test]
    fn a_query_may_hold_question_marks() {
        let line = request_line(b"GET /a?b?c=d HTTP/1.1\r\n").expect("a plain line");
        assert_eq!((line.target, line.path, line.end), (4..12, 2, 23));
    }
}
