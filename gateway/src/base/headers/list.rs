//! Fields that hold lists, over one or more lines.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The members of one line's comma-separated list, without the space around them; no empty ones.
pub(crate) fn members(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// Whether any member on any line of the field matches.
pub(super) fn any(headers: &HeaderMap, name: &HeaderName, matches: impl Fn(&[u8]) -> bool) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| members(line.as_bytes()))
        .any(matches)
}

/// All lines of the field in their order, with room for some more.
pub(super) fn join(headers: &HeaderMap, name: &HeaderName, separator: &[u8]) -> Vec<u8> {
    let lines = || headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let length: usize = lines().map(|line| line.len() + separator.len()).sum();
    let mut joined = Vec::with_capacity(length + 64);
    for (position, line) in lines().enumerate() {
        if position > 0 {
            joined.extend_from_slice(separator);
        }
        joined.extend_from_slice(line);
    }
    joined
}

/// Makes a value of bytes that came out of other values or are plain ASCII.
pub(super) fn value_of(bytes: Vec<u8>) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(bytes))
        .expect("parts of header values and printable ASCII are a header value")
}
