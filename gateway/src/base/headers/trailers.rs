//! What must not stand in trailers (RFC 9110 §6.5.1): whoever reads a head has acted by then, and one who
//! merges trailers into it would take a second word for the first.

use http::{
    HeaderMap, HeaderName,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, COOKIE, EXPECT,
        FORWARDED, HOST, MAX_FORWARDS, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE, SET_COOKIE,
        TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};

use super::{forwarded, hop_by_hop, own};

/// Removes from the trailers of either side what says where a message ends or goes, who asks and for whom,
/// and what only the gateway may say. Others pass.
pub(crate) fn clean_trailers(trailers: &mut HeaderMap) {
    let forbidden: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| is_forbidden(name))
        .cloned()
        .collect();
    for name in forbidden {
        trailers.remove(name);
    }
}

fn is_forbidden(name: &HeaderName) -> bool {
    match *name {
        CONTENT_LENGTH | TRANSFER_ENCODING | CONTENT_ENCODING | CONTENT_RANGE | TRAILER | TE
        | CONNECTION | UPGRADE | HOST | EXPECT | FORWARDED | MAX_FORWARDS | RANGE
        | AUTHORIZATION | PROXY_AUTHENTICATE | PROXY_AUTHORIZATION | COOKIE | SET_COOKIE => true,
        // Each message has an id and a trace already, which are ours.
        _ if ["x-request-id", "traceparent", "tracestate"].contains(&name.as_str()) => true,
        _ => hop_by_hop::ends_here(name) || forwarded::is_claim(name) || own::is_own(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_into_a_head_is_removed_and_the_rest_stays() {
        let names = [
            "content-length",
            "transfer-encoding",
            "transfer_encoding",
            "connection",
            "keep-alive",
            "host",
            "authorization",
            "set-cookie",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-real-ip",
            "x-request-id",
            "traceparent",
            "x-penstock-reason",
            "grpc-status",
            "grpc-message",
            "server-timing",
            "x-checksum",
        ];
        let all = names.map(|name| (HeaderName::from_static(name), "1".parse().unwrap()));
        let mut trailers = HeaderMap::from_iter(all);
        clean_trailers(&mut trailers);
        let mut left: Vec<&str> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            ["grpc-message", "grpc-status", "server-timing", "x-checksum"]
        );
    }
}
