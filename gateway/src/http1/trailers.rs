//! Trailers: those that may pass, and those that may not.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::write::field;
use crate::base::headers::clean_trailers;

/// Most lines of trailers.
const LINES_MAX: usize = 128;

/// They are no field lines.
#[derive(Debug)]
pub(crate) struct BadTrailers;

/// Reads trailers, of which `lines` are the lines without the empty one, and leaves out those that mean
/// something where a head ends (RFC 9110 §6.5.1): whoever put them together with the head would be deceived.
pub(crate) fn read(lines: &[u8]) -> Result<HeaderMap, BadTrailers> {
    let mut trailers = HeaderMap::new();
    if lines.is_empty() {
        return Ok(trailers);
    }
    let whole = [lines, b"\r\n"].concat();
    let mut fields = [httparse::EMPTY_HEADER; LINES_MAX];
    let parsed = httparse::parse_headers(&whole, &mut fields).map_err(|_| BadTrailers)?;
    let httparse::Status::Complete((length, fields)) = parsed else {
        return Err(BadTrailers);
    };
    if length != whole.len() {
        return Err(BadTrailers);
    }
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BadTrailers)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| BadTrailers)?;
        trailers.append(name, value);
    }
    clean_trailers(&mut trailers);
    Ok(trailers)
}

/// Writes trailers with the empty line after them.
pub(crate) fn write(out: &mut Vec<u8>, trailers: &HeaderMap) {
    for (name, value) in trailers {
        field(out, name.as_str(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(lines: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, &read(lines.as_bytes()).unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_means_something_in_a_head_does_not_come_after_it() {
        let lines = "grpc-status: 0\r\nContent-Length: 3\r\nX-Forwarded-For: 1.2.3.4\r\nhost: a\r\n\
            X-Checksum: 1\r\nTransfer-Encoding: chunked\r\nx-penstock-reason: x\r\nAuthorization: a\r\n\
            connection: x-checksum\r\nset-cookie: a=b\r\n";
        assert_eq!(passed(lines), "grpc-status: 0\r\nx-checksum: 1\r\n\r\n");
        assert_eq!(passed(""), "\r\n");
    }

    #[test]
    fn what_is_no_field_line_is_refused() {
        for bad in ["a\r\n", "a : b\r\n", ": b\r\n", "a: \0\r\n", " a: b\r\n"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(read("a: b\r\n".repeat(200).as_bytes()).is_err());
    }
}
