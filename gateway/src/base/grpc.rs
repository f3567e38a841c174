//! What the gateway knows of gRPC: how to tell a call, its deadline, and how to write a status.
//!
//! Formats are those of the specification "gRPC over HTTP2".

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header::TRAILER};

use crate::base::headers::Fields;

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// How many milliseconds later a call may be tried again, for clients that retry by themselves
/// (gRPC proposal A6).
pub(crate) const GRPC_RETRY_PUSHBACK: HeaderName =
    HeaderName::from_static("grpc-retry-pushback-ms");
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Digits that a timeout may have.
const TIMEOUT_DIGITS: usize = 8;

/// Whether this content type is that of a gRPC call: `application/grpc`, alone or with a `+` suffix or
/// parameters. gRPC-Web (`application/grpc-web`) is not: it wants its status in the body.
pub(crate) fn is_grpc(content_type: &[u8]) -> bool {
    const PREFIX: &[u8] = b"application/grpc";
    let begin = content_type.split_at_checked(PREFIX.len());
    begin.is_some_and(|(prefix, rest)| {
        prefix.eq_ignore_ascii_case(PREFIX) && matches!(rest, [] | [b'+' | b';' | b' ', ..])
    })
}

/// Whether a request of this content type may be a conversation, in which either side is silent for as long
/// as it likes: a gRPC call, or a streaming one of the Connect protocol.
pub(crate) fn is_conversation(content_type: &[u8]) -> bool {
    const CONNECT: &[u8] = b"application/connect+";
    let begin = content_type.get(..CONNECT.len());
    is_grpc(content_type) || begin.is_some_and(|begin| begin.eq_ignore_ascii_case(CONNECT))
}

/// Names the trailers of a call's answer in its head, unless it does so itself: over HTTP/1.1 hyper leaves out
/// those that were not named, and without the status no call has an end.
pub(crate) fn announce_trailers(headers: &mut HeaderMap) {
    let names = "grpc-status, grpc-message, grpc-status-details-bin";
    let content_type = headers.first("content-type");
    if content_type.is_some_and(is_grpc)
        && !headers.contains_key(GRPC_STATUS)
        && !headers.contains_key(TRAILER)
    {
        headers.insert(TRAILER, HeaderValue::from_static(names));
    }
}

/// `UNAVAILABLE`: the call may be tried again.
pub(crate) const UNAVAILABLE: u32 = 14;

/// The status that headers or trailers hold; `None` when there is none that can be read.
pub(crate) fn status(fields: &impl Fields) -> Option<u32> {
    let status = fields.first(GRPC_STATUS.as_str())?;
    str::from_utf8(status).ok()?.parse().ok()
}

/// Whether a status says that the server failed: UNKNOWN (what an exception becomes),
/// DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS.
pub(crate) fn is_server_error(status: u32) -> bool {
    matches!(status, 2 | 4 | 13 | UNAVAILABLE | 15)
}

/// The time a `grpc-timeout` allows: one to eight digits and one of the units `HMSmun`. `None`
/// when it is anything else.
pub(crate) fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > TIMEOUT_DIGITS {
        return None;
    }
    let mut amount = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        amount = amount * 10 + u64::from(digit - b'0');
    }
    match unit {
        b'H' => Some(Duration::from_secs(amount * 3600)),
        b'M' => Some(Duration::from_secs(amount * 60)),
        b'S' => Some(Duration::from_secs(amount)),
        b'm' => Some(Duration::from_millis(amount)),
        b'u' => Some(Duration::from_micros(amount)),
        b'n' => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// Writes what remains of a deadline for the worker, in the finest unit that has room for it and
/// rounded down. The longest that can be written is [`TIMEOUT_DIGITS`] nines of hours.
pub(crate) fn format_timeout(remaining: Duration) -> HeaderValue {
    const LIMIT: u128 = 10_u128.pow(TIMEOUT_DIGITS as u32);
    const UNITS: [(u8, u128); 6] = [
        (b'n', 1),
        (b'u', 1_000),
        (b'm', 1_000_000),
        (b'S', 1_000_000_000),
        (b'M', 60_000_000_000),
        (b'H', 3_600_000_000_000),
    ];
    let nanos = remaining.as_nanos();
    let (unit, amount) = UNITS
        .iter()
        .map(|(unit, scale)| (*unit, nanos / scale))
        .find(|(_, amount)| *amount < LIMIT)
        .unwrap_or((b'H', LIMIT - 1));
    let mut text = [0; TIMEOUT_DIGITS + 1];
    let mut start = TIMEOUT_DIGITS;
    text[start] = unit;
    let mut rest = amount;
    loop {
        start -= 1;
        text[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    HeaderValue::from_bytes(&text[start..]).expect("digits and a letter are a header value")
}

/// Writes a text as `grpc-message`: percent-encoded but for printable ASCII other than `%`.
pub(crate) fn message(text: &str) -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = Vec::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(byte);
        } else {
            let [high, low] = [byte >> 4, byte & 0xf].map(|nibble| HEX[usize::from(nibble)]);
            encoded.extend([b'%', high, low]);
        }
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(encoded))
        .expect("printable ASCII is a header value")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_grpc_call_is_told_by_its_content_type() {
        for yes in [
            "application/grpc",
            "application/grpc+proto",
            "Application/gRPC",
            "application/grpc; charset=utf-8",
        ] {
            assert!(is_grpc(yes.as_bytes()), "{yes}");
        }
        assert!(is_conversation(b"Application/Connect+json"));
        assert!(is_conversation(b"application/grpc+proto"));
        for no in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/json",
            "application/grp",
            "",
        ] {
            assert!(!is_grpc(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn timeouts_are_read_in_every_unit_and_refused_in_every_other_form() {
        let parse = |text: &str| parse_timeout(text.as_bytes());
        assert_eq!(parse("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(parse("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse("3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("7u"), Some(Duration::from_micros(7)));
        assert_eq!(parse("0n"), Some(Duration::ZERO));
        assert_eq!(
            parse("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        for bad in [
            "",
            "S",
            "1",
            "1s",
            "-1S",
            "+1S",
            " 1S",
            "1 S",
            "1.5S",
            "123456789n",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_message_keeps_readable_text_and_escapes_the_rest() {
        assert_eq!(message("plain text ~!"), "plain text ~!");
        assert_eq!(message("100%"), "100%25");
        assert_eq!(message("a\r\nb"), "a%0D%0Ab");
        assert_eq!(message("ü"), "%C3%BC");
    }

    proptest! {
        #[test]
        fn a_written_timeout_is_never_longer_than_what_remained(
            nanos in 0_u64..,
            // Of every length.
            shorter in 0..u64::BITS,
        ) {
            let remaining = Duration::from_nanos(nanos >> shorter);
            let read = parse_timeout(format_timeout(remaining).as_bytes()).unwrap();
            prop_assert!(read <= remaining);
            // Where eight digits do not hold it, a unit a thousand times larger has six at least.
            prop_assert!(remaining - read <= remaining / 100_000);
        }
    }
}
