//! Every request gets an id (`x-request-id`) and a trace (`traceparent`, W3C Trace Context).

use super::{Fields, Named};
use crate::base::luck;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Names the request in the worker's logs, ours, and the response.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Longest incoming id that is kept.
const ID_LEN_MAX: usize = 128;

/// `00-` trace id `-` parent id `-` flags.
const PARENT_LEN: usize = 55;
const TRACE_ID: std::ops::Range<usize> = 3..35;
const PARENT_ID_LEN: usize = 16;

/// Where the digits are in a line with the id.
const ID_AT: usize = "x-request-id: ".len();

/// Writes both fields and returns the request's id.
///
/// A valid trace is passed on as it came, because the gateway records no span of its own. A new one
/// is marked as sampled: that is what a worker would do by itself, while the opposite would turn
/// tracing off in workers that follow their parent. A request that brings neither id nor trace gets
/// the same 32 hex digits for both, so that logs and traces are found from each other.
pub(super) fn write(headers: &mut HeaderMap, named: Named, trusted: bool) -> RequestId {
    let incoming = if trusted {
        headers.get(X_REQUEST_ID)
    } else {
        None
    };
    let kept = incoming.and_then(|id| RequestId::given(id.as_bytes()));
    let fresh = Trace::fresh();
    let id = kept.unwrap_or_else(|| {
        let id = fresh.id();
        headers.insert(X_REQUEST_ID, id.to_value());
        id
    });
    match named.has(Named::TRACE) {
        true => fresh.write_unless(headers),
        false => drop(headers.insert(TRACEPARENT, value_of(&fresh.0))),
    }
    id
}

/// The id that a request goes by: digits of its own trace, or what a trusted proxy gave it.
#[derive(Debug, Clone)]
pub(crate) enum RequestId {
    Fresh([u8; 32]),
    Given(Box<[u8]>),
}

impl RequestId {
    /// An id for a request that cannot be read.
    pub(crate) fn fresh() -> Self {
        Trace::fresh().id()
    }

    /// One that a trusted proxy gave; `None` when it is none.
    pub(crate) fn given(id: &[u8]) -> Option<Self> {
        is_id(id).then(|| Self::Given(id.into()))
    }

    /// Its characters, which are printable ASCII.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Fresh(digits) => digits,
            Self::Given(id) => id,
        }
    }

    /// Adds the field to a head, as a line.
    #[inline]
    pub(crate) fn write_line(&self, out: &mut Vec<u8>) {
        match self {
            Self::Fresh(digits) => {
                let mut line = *b"x-request-id: ................................\r\n";
                if let Some(room) = line.get_mut(ID_AT..).and_then(<[u8]>::first_chunk_mut) {
                    *room = *digits;
                }
                out.extend_from_slice(&line);
            }
            Self::Given(id) => {
                out.extend_from_slice(b"x-request-id: ");
                out.extend_from_slice(id);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// The same as text.
    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The same as the value of a field.
    pub(crate) fn to_value(&self) -> HeaderValue {
        value_of(self.as_bytes())
    }
}

/// A `traceparent` that was just made.
pub(crate) struct Trace(pub(crate) [u8; PARENT_LEN]);

impl Trace {
    /// A new trace with its first span.
    pub(crate) fn fresh() -> Self {
        let mut parent = *b"00-00000000000000000000000000000000-0000000000000000-01";
        let mut write = |from: usize, number: u64| {
            if let Some(room) = parent.get_mut(from..).and_then(<[u8]>::first_chunk_mut) {
                *room = hex(number);
            }
        };
        let [first, second, span] = luck::numbers();
        write(TRACE_ID.start, first);
        // All zeroes are not an id. 2^-64 is never, but it is also free.
        write(TRACE_ID.start + 16, second | 1);
        write(TRACE_ID.end + 1, span | 1);
        Self(parent)
    }

    /// Adds the field to a head, as a line.
    #[inline]
    pub(crate) fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"traceparent: ");
        out.extend_from_slice(&self.0);
        out.extend_from_slice(b"\r\n");
    }

    /// Begins this trace, unless a valid one goes on.
    pub(super) fn write_unless(&self, headers: &mut HeaderMap) {
        if !goes_on(headers.all("traceparent")) {
            // The state belongs to the trace that ended here.
            headers.remove(TRACESTATE);
            headers.insert(TRACEPARENT, value_of(&self.0));
        }
    }

    /// The id of a request whose trace it is: the same digits, so that logs and traces are found from each
    /// other.
    pub(crate) fn id(&self) -> RequestId {
        let digits = self.0.get(TRACE_ID).and_then(|digits| digits.first_chunk());
        RequestId::Fresh(*digits.unwrap_or(&[b'0'; 32]))
    }
}

/// The digits of a byte.
#[allow(clippy::indexing_slicing, reason = "it is made when this is compiled")]
static DIGITS: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut all = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        all[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    all
};

/// The digits of a number.
fn hex(number: u64) -> [u8; 16] {
    let mut digits = [b'0'; 16];
    let (pairs, _) = digits.as_chunks_mut();
    for (pair, byte) in pairs.iter_mut().zip(number.to_be_bytes()) {
        *pair = DIGITS.get(usize::from(byte)).copied().unwrap_or_default();
    }
    digits
}

fn value_of(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).expect("printable ASCII is a header value")
}

/// Whether the values of `traceparent` are one valid trace, which goes on.
pub(crate) fn goes_on<'v>(mut lines: impl Iterator<Item = &'v [u8]>) -> bool {
    match (lines.next(), lines.next()) {
        (Some(only), None) => is_parent(only),
        _ => false,
    }
}

fn is_id(id: &[u8]) -> bool {
    (1..=ID_LEN_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// Version 00 exactly; of later versions the part that is known (§3.2.4 of Trace Context).
fn is_parent(value: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &[u8]| part.iter().all(|b| *b == b'0');
    let Some((known, rest)) = value.split_first_chunk::<PARENT_LEN>() else {
        return false;
    };
    let mut parts = known.split(|byte| *byte == b'-');
    let (Some(version), Some(trace), Some(parent), Some(flags), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return false;
    };
    let ends_well = rest.is_empty() || (version != b"00" && rest.starts_with(b"-"));
    ends_well
        && version != b"ff"
        && (version.len(), trace.len(), parent.len()) == (2, TRACE_ID.len(), PARENT_ID_LEN)
        && [version, trace, parent, flags].into_iter().all(is_hex)
        && !is_zero(trace)
        && !is_zero(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(headers: &mut HeaderMap, trusted: bool) -> HeaderValue {
        super::write(headers, Named::of(headers), trusted).to_value()
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        let some = [0, 1, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX];
        for number in some.into_iter().chain((0..64).map(|bit| 0xa5 << bit)) {
            let text = format!("{number:016x}");
            assert_eq!(hex(number), text.as_bytes(), "{text}");
        }
    }

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_request_without_any_gets_one_id_for_both() {
        let mut headers = HeaderMap::new();
        let id = write(&mut headers, false);
        assert_eq!(headers[X_REQUEST_ID], id);
        assert_eq!(id.len(), 32);
        let parent = headers[TRACEPARENT].as_bytes();
        assert!(is_parent(parent));
        assert_eq!(&parent[TRACE_ID], id.as_bytes());
        assert_ne!(write(&mut HeaderMap::new(), false), id);
    }

    #[test]
    fn an_id_is_kept_only_from_a_trusted_proxy_and_only_when_it_is_one() {
        let long = "x".repeat(ID_LEN_MAX + 1);
        for (id, trusted, kept) in [
            ("abc-1", true, true),
            ("abc-1", false, false),
            ("", true, false),
            ("a b", true, false),
            (long.as_str(), true, false),
        ] {
            let mut headers = headers(&[("x-request-id", id), ("x-request-id", "second")]);
            let result = write(&mut headers, trusted);
            assert_eq!(result == id, kept, "{id:?} {trusted}");
            assert_eq!(headers[X_REQUEST_ID], result);
        }
    }

    #[test]
    fn a_valid_trace_is_passed_on_as_it_came() {
        let mut headers = headers(&[("traceparent", PARENT), ("tracestate", "a=1")]);
        write(&mut headers, false);
        assert_eq!(headers[TRACEPARENT], PARENT);
        assert_eq!(headers[TRACESTATE], "a=1");
        assert!(is_parent(
            format!("cc{}-what-comes", &PARENT[2..]).as_bytes()
        ));
    }

    #[test]
    fn an_invalid_trace_is_replaced_with_its_state() {
        let mut bad = vec![
            String::new(),
            PARENT.to_uppercase(),
            PARENT[..54].into(),
            format!("{PARENT}-x"),
            format!("ff{}", &PARENT[2..]),
            format!("cc{}x", &PARENT[2..]),
            PARENT.replace("b7ad6b7169203331", "0000000000000000"),
            PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            PARENT.replace('-', "_"),
        ];
        bad.push(PARENT.replace('a', "g"));
        for bad in bad {
            let mut headers = headers(&[("traceparent", &bad), ("tracestate", "a=1")]);
            write(&mut headers, true);
            assert_ne!(headers[TRACEPARENT], bad);
            assert!(!headers.contains_key(TRACESTATE), "{bad}");
        }
        let mut twice = headers(&[("traceparent", PARENT), ("traceparent", PARENT)]);
        write(&mut twice, true);
        assert_ne!(twice[TRACEPARENT], PARENT);
        assert_eq!(twice.get_all(TRACEPARENT).iter().count(), 1);
    }
}
