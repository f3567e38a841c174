use proptest::prelude::*;

use super::*;
use crate::base::headers::Fields;

const BOUNDS: Bounds = Bounds {
    bytes: 4096,
    fields: 100,
};

fn parse(head: &str) -> Parsed {
    Request::parse(&mut head.as_bytes().to_vec(), BOUNDS)
}

fn whole(head: &str) -> Request {
    match parse(head) {
        Parsed::Whole(request, length) => {
            assert_eq!(length, head.len());
            request
        }
        other => panic!("{head:?}: {other:?}"),
    }
}

fn fault(head: &str) -> Fault {
    match parse(head) {
        Parsed::Bad(fault) => fault,
        other => panic!("{head:?}: {other:?}"),
    }
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn the_parts_of_a_target_are_found_in_each_of_its_forms() {
    for (target, path, query, host, sent) in [
        ("/", "/", None, "a", "/"),
        ("/v1/x?y=1?z", "/v1/x", Some("y=1?z"), "a", "/v1/x?y=1?z"),
        (
            "/a\"b<c>`^{|}?\"",
            "/a\"b<c>`^{|}",
            Some("\""),
            "a",
            "/a\"b<c>`^{|}?\"",
        ),
        ("//x//y", "//x//y", None, "a", "//x//y"),
        ("http://b:80/c?d", "/c", Some("d"), "b:80", "/c?d"),
        ("HTTPS://[::1]", "/", None, "[::1]", "/"),
        ("http://b?d", "/", Some("d"), "b", "?d"),
    ] {
        let request = whole(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(request.path(), path, "{target}");
        assert_eq!(request.query(), query, "{target}");
        assert_eq!(request.host(), host, "{target}");
        assert_eq!(request.target(), sent, "{target}");
        assert_eq!(request.target_lacks_slash(), sent.starts_with('?'));
    }
    let all = whole("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((all.target(), all.path()), ("*", "*"));
    let all = whole("OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((all.target(), all.path()), ("*", "/"));
}

#[test]
fn targets_that_are_none_are_refused() {
    for target in [
        "GET *",
        "GET a",
        "GET a:80",
        "GET ftp://a/",
        "GET http://",
        "GET http:///a",
        "GET http://u@a/",
        "GET /a#b",
        "GET http://a/#b",
        "GET ?a",
        "POST *",
        "CONNECT a:80",
    ] {
        let head = format!("{target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(matches!(fault(&head), Fault::Bad(_)), "{target}");
    }
    assert!(matches!(
        fault("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Fault::Method(_)
    ));
}

#[test]
fn later_versions_of_http_1_are_read_as_1_1_and_others_are_told_apart() {
    let later = "GET / HTTP/1.2\r\nHost: a\r\n\r\n";
    assert!(!whole(later).is_old);
    for end in 0..later.len() {
        assert!(matches!(parse(&later[..end]), Parsed::Part), "{end}");
    }
    assert!(whole("GET / HTTP/1.0\r\n\r\n").is_old);
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.0"] {
        let head = format!("GET / {version}\r\nHost: a\r\n\r\n");
        assert_eq!(fault(&head), Fault::Version, "{version}");
    }
    for version in ["HTTP/1", "HTTP/11", "http/1.1", "HTTP/1.1 ", "HTTP/1.", ""] {
        let head = format!("GET / {version}\r\nHost: a\r\n\r\n");
        assert!(matches!(fault(&head), Fault::Bad(_)), "{version}");
    }
}

#[test]
fn what_may_be_read_in_two_ways_is_refused() {
    for fields in [
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: \r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: x\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
        "Host: b\r\n",
        "A: b\n",
        "A: b\n\r\n",
        "A: b\rC: d\r\n",
        "A : b\r\n",
        " A: b\r\n",
        "A: b\r\n c\r\n",
        "A\r\n",
        ": b\r\n",
        "A: \0\r\n",
        "A: \x7f\r\n",
        "A\u{e9}: b\r\n",
        "A(: b\r\n",
    ] {
        assert!(matches!(fault(&get(fields)), Fault::Bad(_)), "{fields:?}");
    }
    for head in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01",
    ] {
        assert!(matches!(fault(head), Fault::Bad(_)), "{head:?}");
    }
}

#[test]
fn framing_and_options_are_read() {
    assert_eq!(whole(&get("")).framing, Framing::Length(0));
    assert_eq!(
        whole(&get("content-length: 17\r\n")).framing,
        Framing::Length(17)
    );
    assert_eq!(
        whole(&get("transfer-encoding: Chunked\r\n")).framing,
        Framing::Chunked
    );
    assert!(whole(&get("")).keeps_alive);
    assert!(!whole(&get("connection: x, Close\r\n")).keeps_alive);
    assert!(!whole("GET / HTTP/1.0\r\n\r\n").keeps_alive);
    assert!(whole("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keeps_alive);
    let waits = "content-length: 1\r\nexpect: 100-continue\r\n";
    assert!(whole(&get(waits)).expects_continue);
    assert!(!whole(&get("expect: 100-continue\r\n")).expects_continue);
    assert!(whole(&get("te: gzip, Trailers\r\n")).takes_trailers);
    let websocket = "connection: keep-alive, Upgrade\r\nupgrade: websocket\r\n";
    assert!(whole(&get(websocket)).asks_for_upgrade());
    for no in [
        "connection: upgrade\r\nupgrade: h2c\r\n",
        "upgrade: websocket\r\n",
        "connection: upgrade\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\nupgrade: websocket\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 1\r\n",
    ] {
        assert!(!whole(&get(no)).asks_for_upgrade(), "{no}");
    }
}

#[test]
fn values_lie_where_they_are_without_the_space_around_them() {
    let request = whole(&get("A:\r\nB: \t \r\nC:x\r\nD: \t y z \t\r\n"));
    let value = |name| {
        request
            .lines
            .all(name)
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    };
    assert_eq!(value("a"), [b""]);
    assert_eq!(value("b"), [b""]);
    assert_eq!(value("c"), [b"x"]);
    assert_eq!(value("d"), [b"y z"]);
}

#[test]
fn heads_have_bounds() {
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}", "x".repeat(4096));
    assert_eq!(fault(&long), Fault::TooLarge);
    assert_eq!(fault(&format!("{long}\r\n\r\n")), Fault::TooLarge);
    assert_eq!(
        fault(&format!("GET /{}", "x".repeat(4096))),
        Fault::TargetTooLong
    );
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(4096));
    assert_eq!(fault(&target), Fault::TargetTooLong);
    assert_eq!(whole(&get(&"a: b\r\n".repeat(99))).lines.len(), 100);
    assert_eq!(fault(&get(&"a: b\r\n".repeat(100))), Fault::TooLarge);
    assert_eq!(fault(&get(&"a: b\r\n".repeat(250))), Fault::TooLarge);
    let cookies = format!("{}cookie: a=b\r\n", "a: b\r\n".repeat(98));
    assert_eq!(
        whole(&get(&format!("{cookies}cookie: c=d\r\n")))
            .lines
            .len(),
        101
    );
}

proptest! {
    #[test]
    fn a_head_is_a_part_until_its_last_byte(
        fields in prop::collection::vec(("[A-Za-z-]{1,12}", "[ -~]{0,12}"), 0..8),
    ) {
        let fields = fields.iter().map(|(name, value)| format!("X{name}: {value}\r\n")).collect::<String>();
        let head = get(&fields);
        for end in 0..head.len() {
            let parsed = parse(&head[..end]);
            prop_assert!(matches!(parsed, Parsed::Part), "{:?}", &head[..end]);
        }
        prop_assert!(matches!(parse(&head), Parsed::Whole(_, length) if length == head.len()));
    }

    #[test]
    fn no_bytes_make_it_fail_otherwise_than_by_a_word(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' ')], 0..200),
        begins in any::<bool>(),
    ) {
        let mut head = if begins { b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec() } else { Vec::new() };
        head.extend(bytes);
        let _ = Request::parse(&mut head, BOUNDS);
    }
}
