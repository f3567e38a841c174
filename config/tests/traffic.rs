//! What the settings of traffic mean where the file does not say it word by word.

#![allow(
    clippy::unwrap_used,
    reason = "this is a test, its functions beside the tests too"
)]

use std::{path::Path, time::Duration};

use penstock_config::{
    Balance, Hash, KeySource, MatchRule, Overflow, Service, Split, Sticky, WhenCold, parse,
};

/// The service `chat` with these keys and the deployments `stable` and `canary`.
fn chat(keys: &str) -> Service {
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:8080\"\n[services.chat]\n{keys}\n\
         [services.chat.deployments]\nstable.static.addresses = [\"10.0.0.1:80\"]\n\
         canary.static.addresses = [\"10.0.0.2:80\"]\n"
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
