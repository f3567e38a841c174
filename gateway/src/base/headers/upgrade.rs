//! Whether a request asks for another protocol on its connection.

use http::{
    HeaderMap, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE},
};

use super::list;

/// Whether the request asks to go on with another protocol, so that the gateway becomes a tunnel.
///
/// Only HTTP/1.1 knows it, and `Connection` must name it. Versions of HTTP and TLS are not passed
/// on: inside a tunnel their requests would pass unseen. Neither is an upgrade of a request with a
/// body. Such requests are served as if they had not asked, as RFC 9110 §7.8 allows.
pub(crate) fn requested_upgrade(version: Version, headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(UPGRADE).iter();
    let (Some(protocol), None) = (lines.next(), lines.next()) else {
        return false;
    };
    version == Version::HTTP_11
        && is_tunnelled(protocol.as_bytes())
        && list::any(headers, &CONNECTION, |option| {
            option.eq_ignore_ascii_case(b"upgrade")
        })
        && !headers.contains_key(TRANSFER_ENCODING)
        && headers
            .get(CONTENT_LENGTH)
            .is_none_or(|length| length == "0")
}

/// One protocol, with or without a version, that is not HTTP (`h2c`, `HTTP/2.0`) or TLS itself.
pub(crate) fn is_tunnelled(protocol: &[u8]) -> bool {
    let begins = |prefix: &[u8]| {
        let begin = protocol.get(..prefix.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
    };
    let is_one = !protocol.is_empty()
        && protocol
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._/+".contains(byte));
    is_one && !begins(b"h2") && !begins(b"h3") && !begins(b"http") && !begins(b"tls")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(lines: &[(&'static str, &'static str)]) -> bool {
        asks_in(Version::HTTP_11, lines)
    }

    fn asks_in(version: Version, lines: &[(&'static str, &'static str)]) -> bool {
        let headers = lines
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        requested_upgrade(version, &headers)
    }

    #[test]
    fn a_websocket_handshake_asks_for_an_upgrade() {
        assert!(asks(&[("connection", "Upgrade"), ("upgrade", "websocket")]));
        assert!(asks(&[
            ("connection", "keep-alive, upgrade"),
            ("upgrade", "WebSocket")
        ]));
        assert!(asks(&[
            ("connection", "upgrade"),
            ("upgrade", "spdy/3.1"),
            ("content-length", "0")
        ]));
    }

    #[test]
    fn a_request_that_may_not_become_a_tunnel_is_an_ordinary_one() {
        for protocol in [
            "h2c",
            "H2C",
            "HTTP/2.0",
            "TLS/1.0",
            "websocket, h2c",
            "",
            "a b",
        ] {
            assert!(
                !asks(&[("connection", "upgrade"), ("upgrade", protocol)]),
                "{protocol}"
            );
        }
        let handshake = [("connection", "upgrade"), ("upgrade", "websocket")];
        assert!(!asks_in(Version::HTTP_10, &handshake));
        assert!(!asks(&handshake[..1]));
        assert!(!asks(&handshake[1..]));
        assert!(!asks(&[handshake[0], handshake[1], handshake[1]]));
        assert!(!asks(&[
            handshake[0],
            handshake[1],
            ("content-length", "1")
        ]));
        assert!(!asks(&[
            handshake[0],
            handshake[1],
            ("transfer-encoding", "chunked")
        ]));
    }
}
