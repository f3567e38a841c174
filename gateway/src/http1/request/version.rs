//! The version in a request's first line.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use super::Fault;

/// Reads HTTP/1.2 and the like as HTTP/1.1, which they must be compatible with (RFC 9110 §2.5), and refuses
/// other versions, which the parser would call malformed.
pub(super) fn suit(bytes: &mut [u8]) -> Result<(), Fault> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return Ok(());
    };
    let line = bytes.get_mut(..end).unwrap_or_default();
    let Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r']) =
        line.last_chunk_mut::<9>()
    else {
        return Ok(());
    };
    match (*major, *minor) {
        (b'1', b'0' | b'1') => Ok(()),
        (b'1', b'2'..=b'9') => {
            *minor = b'1';
            Ok(())
        }
        (b'0'..=b'9', b'0'..=b'9') => Err(Fault::Version),
        _ => Ok(()),
    }
}

/// Whether nothing is there but a first line that ends in a version, or in its beginning.
pub(super) fn is_incomplete(bytes: &[u8]) -> bool {
    let last = bytes.rsplit(|byte| *byte == b' ').next();
    matches!(last, Some([b'H', b'T', b'T', b'P', b'/', rest @ ..])
        if rest.len() <= 4 && !rest.contains(&b'\n'))
}
