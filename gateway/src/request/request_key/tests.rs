use std::net::Ipv6Addr;

use http::Request;
use penstock_config::GatewaySettings;

use super::*;

/// An IPv4 client of a dual-stack socket.
const PEER: IpAddr = IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0207));

/// What is needed around a request.
pub(crate) struct Fixture {
    pub(crate) parts: Parts,
    settings: ArcSwap<Settings>,
    forwarding: Forwarding,
}

impl Fixture {
    pub(crate) fn new(uri: &str, headers: &[(&str, &str)]) -> Self {
        let text = "listeners = [{ address = \"127.0.0.1:0\" }]
            gateway.trusted_proxies = [\"192.0.2.0/24\"]
            [services.chat.deployments.main]
            process = { command = [\"true\"] }";
        let config = penstock_config::parse(text, std::path::Path::new("/test.toml"));
        let gateway: GatewaySettings = config.unwrap_or_else(|errors| panic!("{errors}")).gateway;
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Self {
            parts: request.body(()).unwrap().into_parts().0,
            settings: ArcSwap::from_pointee(Settings::new(&gateway)),
            forwarding: Forwarding::new(PEER, false, false),
        }
    }

    /// From now on its peer is a trusted proxy.
    pub(crate) fn behind_proxy(mut self) -> Self {
        self.forwarding = Forwarding::new(PEER, false, true);
        self
    }

    pub(crate) fn head(&self) -> RequestHead<'_> {
        RequestHead {
            peer: PEER,
            ..RequestHead::of(&self.parts, &self.forwarding, &self.settings)
        }
    }
}

fn text(found: Option<&[u8]>) -> Option<&str> {
    found.map(|bytes| str::from_utf8(bytes).unwrap())
}

#[test]
fn a_cookie_is_found_on_any_line_by_its_whole_name() {
    let fixture = Fixture::new(
        "/",
        &[
            ("cookie", "xid=0; id2=1;id=first; id=second"),
            ("cookie", " quoted = \"a b\" ;empty=; bare; Id=other"),
        ],
    );
    let head = fixture.head();
    for (name, value) in [
        ("id", Some("first")),
        ("id2", Some("1")),
        ("Id", Some("other")),
        ("quoted", Some("a b")),
        ("empty", Some("")),
        ("bare", None),
        ("i", None),
        ("d", None),
    ] {
        assert_eq!(text(head.cookie(name)), value, "{name}");
    }
}

#[test]
fn a_query_parameter_is_found_by_its_decoded_name() {
    let fixture = Fixture::new("/p?a=1&user%5Fid=x%41&a=2&b&%=3&%4=4&a+b=5&c==", &[]);
    let head = fixture.head();
    for (name, value) in [
        ("a", Some("1")),
        ("user_id", Some("x%41")),
        ("b", Some("")),
        ("%", Some("3")),
        ("%4", Some("4")),
        ("a b", Some("5")),
        ("c", Some("=")),
        ("user", None),
        ("p", None),
    ] {
        assert_eq!(text(head.query(name)), value, "{name}");
    }
    assert_eq!(Fixture::new("/p", &[]).head().query("a"), None);
}

#[test]
fn the_host_is_a_header_in_every_protocol() {
    let by_header = Fixture::new("/", &[("host", "a.example")]);
    let by_authority = Fixture::new("http://b.example/", &[]);
    assert_eq!(
        text(by_header.head().headers("host").next()),
        Some("a.example")
    );
    assert_eq!(
        text(by_authority.head().headers("host").next()),
        Some("b.example")
    );
    assert_eq!(by_authority.head().headers("accept").next(), None);
}

#[test]
fn an_empty_or_missing_value_is_no_key() {
    let fixture = Fixture::new("/?q=", &[("x-user", ""), ("cookie", "c=\"\"")]);
    let head = fixture.head();
    for source in [
        KeySource::Header("x-user".into()),
        KeySource::Header("x-other".into()),
        KeySource::Cookie("c".into()),
        KeySource::Query("q".into()),
        KeySource::ApiKey,
    ] {
        assert_eq!(head.key(&source), None, "{source:?}");
        assert_eq!(head.hash(&source), None, "{source:?}");
    }
}

#[test]
fn equal_values_have_equal_hashes_wherever_they_stand() {
    let fixture = Fixture::new("/?q=alice", &[("x-user", "alice"), ("cookie", "c=alice")]);
    let mut head = fixture.head();
    head.api_key = Some("alice");
    let hashes = [
        KeySource::Header("x-user".into()),
        KeySource::Cookie("c".into()),
        KeySource::Query("q".into()),
        KeySource::ApiKey,
    ]
    .map(|source| head.hash(&source));
    assert_eq!(hashes, [Some(penstock_balancer::key(b"alice")); 4]);
}

#[test]
fn the_client_is_the_peer_unless_a_trusted_proxy_names_another() {
    let mut fixture = Fixture::new("/", &[("x-forwarded-for", "198.51.100.1")]);
    assert_eq!(fixture.head().client_address().to_string(), "192.0.2.7");
    fixture.forwarding = Forwarding::new(PEER, false, true);
    assert_eq!(fixture.head().client_address().to_string(), "198.51.100.1");
    let key = fixture.head().key(&KeySource::ClientAddress).unwrap();
    assert_eq!(key.as_bytes()[10..], [0xff, 0xff, 198, 51, 100, 1]);
}
