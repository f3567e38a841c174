use http::Request;

use super::*;

fn checked(parts: &Parts) -> Result<HeaderValue, &'static str> {
    check_request(parts, Named::of(&parts.headers))
}

fn check(
    version: Version,
    method: &str,
    target: &str,
    lines: &[(&str, &str)],
) -> Result<HeaderValue, &'static str> {
    let mut request = Request::builder()
        .version(version)
        .method(method)
        .uri(target);
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    checked(&request.body(()).unwrap().into_parts().0)
}

fn get(target: &str, lines: &[(&str, &str)]) -> Result<HeaderValue, &'static str> {
    check(Version::HTTP_11, "GET", target, lines)
}

#[test]
fn the_host_comes_from_where_the_protocol_has_it() {
    let host = |text| Ok(HeaderValue::from_static(text));
    assert_eq!(
        get("/", &[("host", "Chat.example:80")]),
        host("Chat.example:80")
    );
    assert_eq!(
        check(Version::HTTP_11, "OPTIONS", "*", &[("host", "a")]),
        host("a")
    );
    assert!(get("*", &[("host", "a")]).is_err());
    assert_eq!(get("http://a:80/x", &[("host", "b")]), host("a:80"));
    assert_eq!(check(Version::HTTP_2, "GET", "http://a/", &[]), host("a"));
    assert_eq!(
        check(Version::HTTP_2, "GET", "http://a/", &[("host", "A")]),
        host("A")
    );
    assert_eq!(check(Version::HTTP_10, "GET", "/", &[]), host(""));
    assert_eq!(
        check(Version::HTTP_10, "GET", "/", &[("host", "a")]),
        host("a")
    );
}

#[test]
fn a_missing_doubled_or_contradicting_host_is_refused() {
    assert!(get("/", &[]).is_err());
    assert!(get("http://a/", &[]).is_err());
    assert!(get("/", &[("host", "a"), ("host", "a")]).is_err());
    // Whoever is named in the target counts, but the field must be there, and be one.
    assert!(get("http://a/", &[("host", "b c")]).is_err());
    assert!(check(Version::HTTP_2, "GET", "/", &[]).is_err());
    assert!(check(Version::HTTP_2, "GET", "http://a/", &[("host", "b")]).is_err());
    assert!(
        check(
            Version::HTTP_10,
            "GET",
            "/",
            &[("host", "a"), ("host", "b")]
        )
        .is_err()
    );
}

#[test]
fn a_host_is_a_name_or_address_with_an_optional_port() {
    for good in [
        "a",
        "a.",
        "a-b_c~d.e",
        "10.0.0.1:80",
        "[::1]",
        "[2001:db8::1]:8080",
        "a:",
        "a:65535",
    ] {
        assert!(get("/", &[("host", good)]).is_ok(), "{good}");
    }
    let long = "a".repeat(HOST_LEN_MAX + 1);
    for bad in [
        "", ":80", "a b", "a/b", "a\\b", "user@a", "a,b", "a:b", "a:123456", "a:80:80", "::1",
        "[::1", "[::1]x", "[]", "[a]", "a\"b", "a%00", &long,
    ] {
        assert!(get("/", &[("host", bad)]).is_err(), "{bad}");
    }
    assert!(get("http://user@a/", &[("host", "user@a")]).is_err());
}

#[test]
fn only_exactly_chunked_is_a_transfer_encoding() {
    let with = |values: &[&str]| {
        let mut lines = vec![("host", "a")];
        lines.extend(values.iter().map(|value| ("transfer-encoding", *value)));
        get("/", &lines)
    };
    assert!(with(&["chunked"]).is_ok());
    assert!(with(&["Chunked"]).is_ok());
    for bad in [
        "gzip, chunked",
        "chunked, chunked",
        "identity",
        "xchunked",
        "chunked;a=b",
        "",
    ] {
        assert!(with(&[bad]).is_err(), "{bad}");
    }
    assert!(with(&["chunked", "chunked"]).is_err());
    assert!(with(&["chunked", "identity"]).is_err());
}

#[test]
fn targets_and_methods_of_other_kinds_of_server_are_refused() {
    assert!(get("a:80", &[("host", "a:80")]).is_err());
    assert!(get("ftp://a/", &[("host", "a")]).is_err());
    assert!(check(Version::HTTP_11, "TRACE", "/", &[("host", "a")]).is_err());
    assert!(check(Version::HTTP_11, "CONNECT", "a:80", &[("host", "a:80")]).is_err());
    assert!(check(Version::HTTP_2, "CONNECT", "a:80", &[]).is_err());
    for method in ["OPTIONS", "PURGE", "PROPFIND"] {
        assert!(
            check(Version::HTTP_11, method, "/", &[("host", "a")]).is_ok(),
            "{method}"
        );
    }
}

fn extended_connect(protocol: &'static str) -> Result<HeaderValue, &'static str> {
    let request = Request::builder()
        .version(Version::HTTP_2)
        .method("CONNECT")
        .uri("https://a/socket")
        .extension(Protocol::from_static(protocol))
        .body(())
        .unwrap();
    checked(&request.into_parts().0)
}

#[test]
fn an_extended_connect_is_a_request_like_others() {
    assert_eq!(
        extended_connect("websocket"),
        Ok(HeaderValue::from_static("a"))
    );
}

#[test]
fn an_extended_connect_does_not_hide_http_in_a_tunnel() {
    for protocol in ["h2c", "HTTP/2.0", "TLS/1.0", "websocket, h2c", "", "a b"] {
        assert!(extended_connect(protocol).is_err(), "{protocol}");
    }
}

#[test]
fn a_length_that_comes_twice_is_refused() {
    let twice = [("content-length", "5"), ("content-length", "5")];
    assert!(check(Version::HTTP_2, "POST", "http://a/", &twice[..1]).is_ok());
    assert!(check(Version::HTTP_2, "POST", "http://a/", &twice).is_err());
}

#[test]
fn a_workers_answer_says_one_thing_about_its_length() {
    let checked = |status: u16, lines: &[(&'static str, &'static str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let status = StatusCode::from_u16(status).unwrap();
        check_response(status, &mut headers).map(|()| {
            let lengths = headers.get_all(CONTENT_LENGTH).iter();
            lengths
                .map(|length| length.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        })
    };
    const LENGTH: &str = "content-length";
    const CODING: &str = "transfer-encoding";
    let one = Ok(vec!["3".to_owned()]);
    assert_eq!(checked(200, &[(LENGTH, "3")]), one);
    assert_eq!(checked(200, &[(LENGTH, "3"), (LENGTH, "3")]), one);
    assert_eq!(checked(200, &[(LENGTH, "3, 3")]), one);
    assert_eq!(checked(204, &[(LENGTH, "3")]), Ok(vec![]));
    assert_eq!(checked(200, &[(CODING, "Chunked")]), Ok(vec![]));
    for bad in [
        &[(LENGTH, "3"), (LENGTH, "4")][..],
        &[(LENGTH, "3, 4")],
        &[(LENGTH, "3,")],
        &[(LENGTH, "")],
        &[(LENGTH, "+3")],
        &[(CODING, "xchunked")],
        &[(CODING, "gzip, chunked")],
        &[(CODING, "chunked"), (CODING, "chunked")],
        &[(CODING, "")],
    ] {
        assert!(checked(200, bad).is_err(), "{bad:?}");
    }
}
