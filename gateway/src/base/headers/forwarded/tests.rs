use proptest::prelude::*;

use super::*;

fn forwarding(peer: &str, trusted: bool) -> Forwarding {
    Forwarding::new(peer.parse().unwrap(), false, trusted)
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
        .collect()
}

fn written(from: &Forwarding, host: &'static str, lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = headers(lines);
    let named = Named::of(&headers);
    from.write(&mut headers, named, &HeaderValue::from_static(host));
    headers
}

#[test]
fn a_request_says_who_asked_for_which_host_by_which_scheme() {
    let from = Forwarding::new("192.0.2.1".parse().unwrap(), true, false);
    let headers = written(&from, "example.org", &[]);
    assert_eq!(headers["x-forwarded-for"], "192.0.2.1");
    assert_eq!(headers["x-forwarded-host"], "example.org");
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert_eq!(
        headers["forwarded"],
        "for=192.0.2.1;host=example.org;proto=https"
    );
}

#[test]
fn ipv6_and_ports_are_quoted_in_forwarded_and_plain_elsewhere() {
    let headers = written(&forwarding("2001:db8::1", false), "example.org:8080", &[]);
    assert_eq!(headers["x-forwarded-for"], "2001:db8::1");
    assert_eq!(headers["x-forwarded-host"], "example.org:8080");
    assert_eq!(
        headers["forwarded"],
        r#"for="[2001:db8::1]";host="example.org:8080";proto=http"#
    );
    let mapped = written(&forwarding("::ffff:192.0.2.1", false), "", &[]);
    assert_eq!(mapped["forwarded"], r#"for=192.0.2.1;host="";proto=http"#);
}

#[test]
fn each_host_of_a_connection_gets_its_own_element() {
    let from = forwarding("192.0.2.1", false);
    for host in ["a", "b", "a"] {
        let expected = format!("for=192.0.2.1;host={host};proto=http");
        assert_eq!(written(&from, host, &[])["forwarded"], expected);
    }
}

#[test]
fn what_a_client_claims_about_earlier_hops_is_replaced() {
    let claims = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "443"),
        ("x_forwarded_for", "1.1.1.1"),
        ("x-forwarded_host", "evil"),
        ("x-real-ip", "1.1.1.1"),
        ("x_real_ip", "1.1.1.1"),
        ("forwarded", "for=1.1.1.1"),
        ("x-other", "kept"),
    ];
    let mut expected = written(&forwarding("192.0.2.1", false), "a", &[]);
    expected.insert("x-other", HeaderValue::from_static("kept"));
    assert_eq!(
        written(&forwarding("192.0.2.1", false), "a", &claims),
        expected
    );
}

#[test]
fn a_trusted_proxy_is_believed_and_its_own_address_appended() {
    let claims = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "10.0.0.2"),
        ("x-forwarded-host", "public.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "443"),
        ("forwarded", "for=203.0.113.9;proto=https"),
    ];
    let headers = written(&forwarding("10.0.0.1", true), "inner", &claims);
    assert_eq!(
        headers["x-forwarded-for"],
        "203.0.113.9, 10.0.0.2, 10.0.0.1"
    );
    assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
    assert_eq!(headers["x-forwarded-host"], "public.example");
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert_eq!(headers["x-forwarded-port"], "443");
    assert_eq!(
        headers["forwarded"],
        "for=203.0.113.9;proto=https, for=10.0.0.1;host=inner;proto=http"
    );
}

#[test]
fn a_trusted_proxy_that_wrote_one_list_is_not_named_as_the_client_in_the_other() {
    let from = forwarding("10.0.0.1", true);
    let headers = written(&from, "a", &[("x-forwarded-for", "203.0.113.9")]);
    assert_eq!(headers["x-forwarded-for"], "203.0.113.9, 10.0.0.1");
    assert!(!headers.contains_key("forwarded"));
    let headers = written(&from, "a", &[("forwarded", "for=203.0.113.9")]);
    assert!(!headers.contains_key("x-forwarded-for"));
    let headers = written(&from, "a", &[]);
    assert_eq!(headers["x-forwarded-for"], "10.0.0.1");
    assert_eq!(headers["forwarded"], "for=10.0.0.1;host=a;proto=http");
}

proptest! {
    #[test]
    fn the_last_address_is_always_the_peer_and_an_untrusted_list_holds_nothing_else(
        lines in prop::collection::vec("[ -~]{0,20}", 0..4),
        peer: IpAddr,
        trusted: bool,
    ) {
        let lines: Vec<_> =
            lines.iter().map(|line| ("x-forwarded-for", line.as_str())).collect();
        let headers = written(&Forwarding::new(peer, false, trusted), "a", &lines);
        let list = headers["x-forwarded-for"].to_str().unwrap();
        let last = list.rsplit(", ").next().unwrap();
        prop_assert_eq!(last.parse::<IpAddr>().unwrap(), peer.to_canonical());
        prop_assert!(trusted || list == last);
        prop_assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
    }
}
