//! What the settings of traffic mean where the file does not say it word by word.

#![allow(
    clippy::unwrap_used,
    reason = "this is a test, its functions beside the tests too"
)]

use std::{path::Path, time::Duration};

use penstock_config::{
    Access, Balance, Ejection, Hash, KeySource, Limit, LimitKind, MatchRule, Overflow, Retries,
    Rollout, Service, Split, Sticky, WhenCold, parse,
};

/// The service `chat` with these keys and the deployments `stable` and `canary`.
fn chat(keys: &str) -> Service {
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:8080\"\n[services.chat]\n{keys}\n\
         deployments.stable.static.addresses = [\"10.0.0.1:80\"]\n\
         deployments.canary.static.addresses = [\"10.0.0.2:80\"]\n"
    );
    let config = parse(&text, Path::new("/etc/penstock.toml")).unwrap_or_else(|e| panic!("{e}"));
    (*config.services["chat"]).clone()
}

fn header(name: &str) -> KeySource {
    KeySource::Header(name.to_owned())
}

#[test]
fn without_any_setting_deployments_share_by_weight_and_nothing_is_hashed_sticky_or_matched() {
    let service = chat("");
    assert_eq!(
        (service.balance, service.split),
        (Balance::LeastConnections, Split::Weights)
    );
    assert_eq!((service.hash, service.sticky), (None, None));
    assert!(service.matches.is_empty());
    let stable = &service.deployments["stable"];
    assert!(stable.takes_traffic);
    assert_eq!(stable.when_cold, WhenCold::Hold);
}

#[test]
fn a_hash_overflows_a_quarter_above_the_mean_unless_told_otherwise() {
    let hash = |keys: &str| chat(&format!("balance = \"hash\"\nhash = {{ {keys} }}")).hash;
    let expect = |by: KeySource, overflow: Overflow| Some(Hash { by, overflow });
    assert_eq!(
        hash("header = \"X-User\""),
        expect(header("x-user"), Overflow::AboveMean(1.25))
    );
    assert_eq!(
        hash("cookie = \"User\", load_factor = 1"),
        expect(
            KeySource::Cookie("User".to_owned()),
            Overflow::AboveMean(1.0)
        )
    );
    assert_eq!(
        hash("query = \"user\", overflow = \"when-full\""),
        expect(KeySource::Query("user".to_owned()), Overflow::WhenFull)
    );
    assert_eq!(
        hash("client_address = true, overflow = \"never\""),
        expect(KeySource::ClientAddress, Overflow::Never)
    );
}

#[test]
fn stickiness_is_by_a_header_or_by_a_cookie_with_an_age() {
    let sticky = |keys: &str| chat(&format!("sticky = {{ {keys} }}")).sticky;
    let day = Duration::from_secs(86_400);
    assert_eq!(
        sticky("cookie = \"user\", max_age = \"1d\""),
        Some(Sticky {
            by: KeySource::Cookie("user".to_owned()),
            max_age: Some(day)
        })
    );
    assert_eq!(
        sticky("header = \"x-user\""),
        Some(Sticky {
            by: header("x-user"),
            max_age: None
        })
    );
}

#[test]
fn a_star_in_a_match_rule_stands_for_any_value() {
    let rule = "to = \"canary\", headers = { X-A = \"*\", x-b = \"1\" }, cookies = { C = \"*\" }";
    let service = chat(&format!("match = [{{ {rule}, methods = [\"GET\"] }}]"));
    assert_eq!(
        service.matches,
        [MatchRule {
            to: service.deployments["canary"].name.clone(),
            headers: vec![
                ("x-a".to_owned(), None),
                ("x-b".to_owned(), Some("1".to_owned()))
            ],
            cookies: vec![("C".to_owned(), None)],
            path: None,
            methods: vec!["GET".to_owned()],
        }]
    );
}

#[test]
fn workers_that_fail_are_ejected_and_requests_sent_again_unless_told_otherwise() {
    let service = chat("");
    let seconds = Duration::from_secs;
    assert_eq!(
        service.ejection,
        Ejection {
            failures: 5,
            first: seconds(30),
            longest: seconds(300),
            max_ejected_percent: 50,
        }
    );
    assert_eq!(
        service.retries,
        Retries {
            attempts: 2,
            any_method: false,
            statuses: Vec::new(),
            buffer_bytes: 131_072,
            budget_percent: 20,
            budget_per_second: 10,
        }
    );
    let service = chat("retries = { statuses = [503], buffer = \"1MiB\" }");
    assert_eq!(service.retries.statuses, [503]);
    assert_eq!(service.retries.buffer_bytes, 1 << 20);
}

#[test]
fn without_any_setting_everybody_is_let_in_without_limits_first_come_first_served() {
    let service = chat("");
    assert_eq!(service.access, Access::default());
    assert_eq!((service.limits, service.mirror), (Vec::new(), None));
    assert!(service.queue.classes.is_empty());
    assert_eq!(
        (service.queue.class_header, service.queue.fair_by),
        (None, None)
    );
}

/// The SHA-256 of which every byte is this one.
fn hash_text(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

#[test]
fn an_api_key_has_one_hash_or_several_and_its_own_class_and_limits() {
    let (one, two) = (hash_text(0xab), hash_text(0xcd).to_uppercase());
    let service = chat(&format!(
        "queue.classes = {{ batch = \"30s\" }}\nlimits = [{{ concurrent = 9, per = \"api-key\" }}]\n\
         api_keys.one = {{ sha256 = \"{one}\" }}\n\
         api_keys.both = {{ sha256 = [\"{two}\", \"{}\"], class = \"batch\", \
         limits = [{{ requests = 3 }}] }}",
        hash_text(1)
    ));
    let keys = &service.access.api_keys;
    assert_eq!(keys["one"].sha256, [[0xab; 32]]);
    assert_eq!(keys["both"].sha256, [[0xcd; 32], [1; 32]]);
    assert_eq!((&keys["one"].class, &keys["one"].limits), (&None, &vec![]));
    assert_eq!(keys["both"].class.as_deref(), Some("batch"));
    assert_eq!(
        keys["both"].limits,
        [Limit {
            kind: rate(3, 1_000, 3),
            per: None
        }]
    );
    assert_eq!(service.limits[0].per, Some(KeySource::ApiKey));
    assert!(!service.access.pass_api_key);
    // Not even the debug form tells a hash.
    assert!(!format!("{:?}", service.access).contains("171, 171"));
}

fn rate(requests: u32, millis: u64, burst: u32) -> LimitKind {
    LimitKind::Rate {
        requests,
        period: Duration::from_millis(millis),
        burst,
    }
}

#[test]
fn a_rate_is_per_second_with_as_many_at_once_unless_told_otherwise() {
    let limits = chat(
        "limits = [{ requests = 5 }, { requests = 60, period = \"1m\", burst = 1, \
         per = \"client-address\" }, { concurrent = 4, per = { query = \"user\" } }]",
    )
    .limits;
    let expected = [
        (rate(5, 1_000, 5), None),
        (rate(60, 60_000, 1), Some(KeySource::ClientAddress)),
        (
            LimitKind::Concurrent(4),
            Some(KeySource::Query("user".to_owned())),
        ),
    ];
    assert_eq!(limits, expected.map(|(kind, per)| Limit { kind, per }));
}

#[test]
fn a_deployment_in_a_rollout_has_no_weight_of_its_own() {
    let service = chat("deployments.beta = { static.addresses = [\"10.0.0.3:80\"], rollout = {} }");
    let beta = &service.deployments["beta"];
    assert_eq!(beta.weight, 0);
    assert_eq!(
        beta.rollout,
        Some(Rollout {
            steps: vec![1, 5, 25, 50, 100],
            interval: Duration::from_secs(300),
            min_requests: 100,
            max_error_rate: 0.01,
            max_p95_ratio: None,
            confidence: 0.95,
        })
    );
    assert_eq!(service.deployments["stable"].weight, 1);
}

#[test]
fn a_listener_expects_the_proxy_protocol_only_when_told_so() {
    let text = "listeners = [{ address = \"127.0.0.1:1\" }, { address = \"127.0.0.1:2\", \
                proxy_protocol = false }, { address = \"127.0.0.1:3\", \
                proxy_protocol = [\"10.0.0.0/8\", \"::1\"] }]\n\
                services.chat.deployments.stable.static.addresses = [\"10.0.0.1:80\"]";
    let config = parse(text, Path::new("/etc/penstock.toml")).unwrap();
    let believed = config.listeners.iter().map(|l| l.proxy_protocol.len());
    assert_eq!(believed.collect::<Vec<_>>(), [0, 0, 2]);
}
