use http::Version;

use super::*;

fn from(trusted: bool) -> Forwarding {
    Forwarding::new("192.0.2.1".parse().unwrap(), false, trusted)
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
        .collect()
}

fn onward(protocol: Protocol) -> Onward {
    Onward {
        protocol,
        upgrade: false,
    }
}

/// The fields that arrive, without those that this gateway adds to every request.
fn arrives(lines: &[(&str, &str)], onward: Onward) -> HeaderMap {
    let mut headers = headers(lines);
    let named = Named::of(&headers);
    identify(&mut headers, named, &from(false));
    prepare_request(
        &mut headers,
        named,
        &from(false),
        &HeaderValue::from_static("a"),
        onward,
    );
    for added in [
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "forwarded",
        "traceparent",
    ] {
        assert!(headers.remove(added).is_some(), "{added}");
    }
    assert!(headers.remove(X_REQUEST_ID).is_some());
    headers
}

#[test]
fn the_body_framing_and_the_clients_connection_end_here() {
    let arrived = arrives(
        &[
            ("host", "a"),
            ("connection", "keep-alive, x-hop"),
            ("keep-alive", "timeout=5"),
            ("x-hop", "1"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("authorization", "Bearer x"),
        ],
        onward(Protocol::Http1),
    );
    assert_eq!(
        arrived,
        headers(&[("host", "a"), ("authorization", "Bearer x")])
    );
}

#[test]
fn trailers_are_asked_for_onward_in_the_way_of_each_protocol() {
    let lines = [("te", "trailers, gzip;q=0.5")];
    assert_eq!(
        arrives(&lines, onward(Protocol::H2)),
        headers(&[("te", "trailers")])
    );
    assert_eq!(
        arrives(&lines, onward(Protocol::Http1)),
        headers(&[("host", "a"), ("te", "trailers"), ("connection", "te")])
    );
}

#[test]
fn the_host_stands_where_the_workers_protocol_has_it() {
    assert_eq!(arrives(&[], onward(Protocol::Http1))["host"], "a");
    assert!(arrives(&[("host", "a")], onward(Protocol::H2)).is_empty());
}

#[test]
fn split_cookies_are_joined_for_http1_only() {
    let lines = [("cookie", "a=1"), ("cookie", "b=2")];
    let joined = arrives(&lines, onward(Protocol::Http1));
    assert!(joined.get_all(COOKIE).iter().eq(["a=1; b=2"]));
    assert_eq!(
        arrives(&lines, onward(Protocol::H2))
            .get_all(COOKIE)
            .iter()
            .count(),
        2
    );
}

#[test]
fn an_accepted_upgrade_goes_along_and_any_other_does_not() {
    let lines = [
        ("host", "a"),
        ("connection", "Upgrade, keep-alive"),
        ("upgrade", "websocket"),
    ];
    assert!(requested_upgrade(Version::HTTP_11, &headers(&lines)));
    let upgrade = Onward {
        protocol: Protocol::Http1,
        upgrade: true,
    };
    assert_eq!(
        arrives(&lines, upgrade),
        headers(&[
            ("host", "a"),
            ("connection", "upgrade"),
            ("upgrade", "websocket")
        ])
    );
    assert_eq!(
        arrives(&lines, onward(Protocol::Http1)),
        headers(&[("host", "a")])
    );
}

#[test]
fn a_response_loses_the_workers_connection_and_gets_the_id() {
    let worker = [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("content-length", "2"),
        ("content-type", "text/event-stream"),
        ("trailer", "grpc-status"),
        ("x-request-id", "the worker's"),
        ("upgrade", "h2c"),
    ];
    let mut response = headers(&worker);
    prepare_response(&mut response, &RequestId::given(b"id").unwrap(), false);
    let kept = [
        ("content-type", "text/event-stream"),
        ("trailer", "grpc-status"),
        ("x-request-id", "id"),
    ];
    assert_eq!(response, headers(&kept));
}

#[test]
fn a_101_keeps_the_protocol_it_switches_to() {
    let mut response = headers(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
    prepare_response(&mut response, &RequestId::given(b"id").unwrap(), true);
    let kept = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("x-request-id", "id"),
    ];
    assert_eq!(response, headers(&kept));
}

#[test]
fn the_id_of_a_trusted_proxy_is_the_id_of_the_request() {
    let mut headers = headers(&[("x-request-id", "abc")]);
    let host = HeaderValue::from_static("a");
    let (named, from) = (Named::of(&headers), from(true));
    let id = identify(&mut headers, named, &from);
    prepare_request(&mut headers, named, &from, &host, onward(Protocol::H2));
    assert_eq!(id.as_str(), "abc");
    assert_eq!(headers["x-request-id"], "abc");
}
