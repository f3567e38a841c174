use std::collections::BTreeMap;

use http::HeaderMap;
use penstock_config::ApiKey;
use sha2::{Digest, Sha256};

use super::*;
use crate::request::request_key::tests::Fixture;

fn networks(list: &[&str]) -> Vec<(std::net::IpAddr, u8)> {
    let network = |text: &&str| {
        let (address, length) = text.split_once('/').unwrap();
        (address.parse().unwrap(), length.parse().unwrap())
    };
    list.iter().map(network).collect()
}

/// Keys as the configuration holds them, by name.
fn api_keys(keys: &[(&str, &[&str])]) -> BTreeMap<String, ApiKey> {
    let key = |valid: &[&str]| ApiKey {
        sha256: valid.iter().map(|key| Sha256::digest(key).into()).collect(),
        models: None,
        class: None,
        limits: Vec::new(),
    };
    keys.iter()
        .map(|(name, valid)| ((*name).to_owned(), key(valid)))
        .collect()
}

/// The rule that lets in these keys, by name.
fn with_keys(keys: &[(&str, &[&str])], pass_api_key: bool) -> Access {
    Access::of(&Settings {
        api_keys: api_keys(keys),
        pass_api_key,
        ..Settings::default()
    })
    .unwrap()
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    Fixture::new("/", lines).parts.headers
}

/// Name of the key that lets a request with these lines in; its headers afterwards.
fn admitted(access: &Access, lines: &[(&str, &str)]) -> (Result<String, Reason>, HeaderMap) {
    let fixture = Fixture::new("/", lines);
    let let_in = access.check_key(&fixture.head(), false);
    let mut headers = fixture.parts.headers;
    let key = let_in.map(|let_in| {
        let let_in = let_in.unwrap();
        for carrier in let_in.carriers.into_iter().flatten() {
            headers.remove(carrier);
        }
        let_in.key.name.to_string()
    });
    (key.map_err(|refusal| refusal.reason), headers)
}

#[test]
fn without_settings_everybody_may_come_and_nothing_is_looked_at() {
    assert!(Access::of(&Settings::default()).is_none());
}

#[test]
fn deny_beats_allow_and_whoever_is_not_allowed_is_refused() {
    let access = Access::of(&Settings {
        allow: networks(&["192.0.2.0/24", "2001:db8::/32"]),
        deny: networks(&["192.0.2.7/32"]),
        ..Settings::default()
    })
    .unwrap();
    // The fixture's peer is 192.0.2.7, a trusted proxy.
    let fixture = Fixture::new("/", &[("x-forwarded-for", "192.0.2.8")]);
    assert_eq!(
        access.check_network(&fixture.head()).unwrap_err().reason,
        Reason::Forbidden
    );
    assert!(access.check_network(&fixture.behind_proxy().head()).is_ok());
    for (client, may) in [("198.51.100.1", false), ("2001:db8::9", true)] {
        let fixture = Fixture::new("/", &[("x-forwarded-for", client)]).behind_proxy();
        assert_eq!(
            access.check_network(&fixture.head()).is_ok(),
            may,
            "{client}"
        );
    }
}

#[test]
fn a_list_of_those_denied_lets_in_everybody_else() {
    let access = Access::of(&Settings {
        deny: networks(&["192.0.2.7/32"]),
        ..Settings::default()
    })
    .unwrap();
    let fixture = Fixture::new("/", &[("x-forwarded-for", "198.51.100.1")]);
    assert!(access.check_network(&fixture.head()).is_err());
    assert!(access.check_network(&fixture.behind_proxy().head()).is_ok());
}

#[test]
fn a_key_comes_as_a_bearer_token_or_in_a_field_of_its_own_and_goes_no_further() {
    let access = with_keys(&[("app", &["psk_one"]), ("other", &["psk_two"])], false);
    for lines in [
        [("authorization", "Bearer psk_one")],
        [("authorization", "bEARER   psk_one ")],
        [("x-api-key", "psk_one")],
    ] {
        let (key, left) = admitted(&access, &lines);
        assert_eq!(key.as_deref(), Ok("app"), "{lines:?}");
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn several_keys_are_valid_while_one_replaces_another() {
    let access = with_keys(&[("app", &["old", "new"]), ("other", &["psk_two"])], false);
    for key in ["old", "new"] {
        assert_eq!(
            admitted(&access, &[("x-api-key", key)]).0.as_deref(),
            Ok("app")
        );
    }
}

#[test]
fn what_is_no_key_is_refused_and_stays_where_it_is() {
    let access = with_keys(&[("app", &["psk_one"])], false);
    let long = "x".repeat(5000);
    for lines in [
        vec![],
        vec![("authorization", "Basic psk_one")],
        vec![("authorization", "psk_one")],
        vec![("authorization", "Bearer")],
        vec![("authorization", "Bearer ")],
        vec![("authorization", "Bearer psk_on")],
        vec![("x-api-key", "psk_onee")],
        vec![("x-api-key", "")],
        vec![("x-api-key", &long)],
        vec![("api-key", "psk_one")],
    ] {
        let (key, left) = admitted(&access, &lines);
        assert_eq!(key, Err(Reason::Unauthenticated), "{lines:?}");
        assert_eq!(left, headers(&lines));
    }
}

#[test]
fn a_token_for_the_worker_passes_beside_the_key() {
    let access = with_keys(&[("app", &["psk_one"])], false);
    let (key, left) = admitted(
        &access,
        &[
            ("authorization", "Bearer for-the-worker"),
            ("x-api-key", "psk_one"),
        ],
    );
    assert_eq!(key.as_deref(), Ok("app"));
    assert_eq!(left, headers(&[("authorization", "Bearer for-the-worker")]));
}

#[test]
fn no_valid_key_is_left_whatever_else_is_sent_with_it() {
    let access = with_keys(&[("app", &["psk_one"]), ("other", &["psk_two"])], false);
    let (key, left) = admitted(
        &access,
        &[
            ("authorization", "Bearer psk_one"),
            ("x-api-key", "wrong"),
            ("x-api-key", "psk_two"),
            ("accept", "*/*"),
        ],
    );
    assert_eq!(key.as_deref(), Ok("app"));
    assert_eq!(left, headers(&[("accept", "*/*")]));
}

#[test]
fn a_service_may_have_the_key_passed_on() {
    let access = with_keys(&[("app", &["psk_one"])], true);
    let lines = [("authorization", "Bearer psk_one")];
    let (key, left) = admitted(&access, &lines);
    assert_eq!(key.as_deref(), Ok("app"));
    assert_eq!(left, headers(&lines));
}

#[test]
fn a_preflight_passes_without_a_key_only_where_the_service_says_so() {
    let mut access = with_keys(&[("app", &["psk_one"])], false);
    let preflight = [
        ("origin", "https://example.org"),
        ("access-control-request-method", "POST"),
    ];
    let mut asks = |lines: &[(&str, &str)], method: Method, pass: bool| {
        access.pass_preflight = pass;
        let mut fixture = Fixture::new("/", lines);
        fixture.parts.method = method;
        access.check_key(&fixture.head(), false).is_ok()
    };
    assert!(asks(&preflight, Method::OPTIONS, true));
    assert!(!asks(&preflight, Method::OPTIONS, false));
    assert!(!asks(&preflight, Method::POST, true));
    assert!(!asks(&preflight[..1], Method::OPTIONS, true));
    let wrong = [&preflight[..], &[("x-api-key", "wrong")]].concat();
    assert!(!asks(&wrong, Method::OPTIONS, true));
}

#[test]
fn a_deployments_own_host_may_need_a_key_of_its_own_which_opens_nothing_else() {
    let of = |service_keys: &[(&str, &[&str])]| {
        let hash: [u8; 32] = Sha256::digest("psk_host").into();
        Access::of(&Settings {
            api_keys: api_keys(service_keys),
            deployment_hosts: DeploymentHosts::Key(vec![hash]),
            ..Settings::default()
        })
        .unwrap()
    };
    let asks = |access: &Access, key: &str, is_direct: bool| {
        let fixture = Fixture::new("/", &[("x-api-key", key)]);
        access.check_key(&fixture.head(), is_direct).is_ok()
    };
    let open = of(&[]);
    assert!(asks(&open, "psk_host", true) && !asks(&open, "wrong", true));
    assert!(asks(&open, "", false), "the service itself needs none");
    let keyed = of(&[("app", &["psk_app"])]);
    assert!(asks(&keyed, "psk_host", true) && !asks(&keyed, "psk_app", true));
    assert!(asks(&keyed, "psk_app", false) && !asks(&keyed, "psk_host", false));
}
