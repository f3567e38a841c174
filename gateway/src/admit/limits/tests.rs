use std::sync::atomic::{AtomicU32, Ordering};

use penstock_config::ApiKey;

use super::*;
use crate::request::request_key::tests::Fixture;

fn rate(requests: u32, burst: u32, per: Option<KeySource>) -> Limit {
    Limit {
        kind: LimitKind::Rate {
            requests,
            period: Duration::from_secs(1),
            burst,
        },
        per,
    }
}

fn at_once(most: u32, per: Option<KeySource>) -> Limit {
    Limit {
        kind: LimitKind::Concurrent(most),
        per,
    }
}

fn header(name: &str) -> Option<KeySource> {
    Some(KeySource::Header(name.to_owned()))
}

/// The service with these limits, and those of the API key `app`.
fn service(limits: &[Limit], of_app: &[Limit]) -> Service {
    let text = "listeners = [{ address = \"127.0.0.1:0\" }]
        [services.chat.deployments.main]
        process = { command = [\"true\"] }";
    let config = penstock_config::parse(text, std::path::Path::new("/test.toml"));
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    let mut service = config.services.values().next().unwrap().as_ref().clone();
    service.limits = limits.to_vec();
    let key = ApiKey {
        sha256: vec![[0; 32]],
        models: None,
        class: None,
        limits: of_app.to_vec(),
    };
    service.access.api_keys.insert("app".to_owned(), key);
    service
}

fn limits(limits: &[Limit]) -> Limits {
    Limits::of(&service(limits, &[]), None).unwrap()
}

/// Asks for a request of user `user` at a time in milliseconds.
fn ask(limits: &Limits, user: &str, millis: u64) -> Result<Option<Held>, Refusal> {
    let fixture = Fixture::new("/", &[("x-user", user)]);
    limits.take(&fixture.head(), Duration::from_millis(millis))
}

/// How many of ten requests are let in. None of them goes on.
fn of_ten(limits: &Limits, user: &str, millis: u64) -> usize {
    (0..10)
        .filter(|_| ask(limits, user, millis).is_ok())
        .count()
}

#[test]
fn a_service_without_limits_has_nothing_to_ask() {
    assert!(Limits::of(&service(&[], &[]), None).is_none());
}

#[test]
fn a_rate_limit_refuses_and_says_when_to_come_again() {
    let limits = limits(&[rate(2, 3, None)]);
    assert_eq!(of_ten(&limits, "ann", 1_000), 3);
    let refusal = ask(&limits, "bob", 1_100).err().unwrap();
    assert_eq!(refusal.reason, Reason::RateLimited);
    assert_eq!(refusal.retry_after, Some(Duration::from_millis(400)));
    assert_eq!(of_ten(&limits, "ann", 1_500), 1);
}

#[test]
fn each_key_has_the_limit_for_itself_and_those_without_share_one() {
    let limits = limits(&[rate(1, 2, header("x-user"))]);
    assert_eq!(of_ten(&limits, "ann", 0), 2);
    assert_eq!(of_ten(&limits, "bob", 0), 2);
    assert_eq!(of_ten(&limits, "", 0), 2);
    let none = Fixture::new("/", &[]);
    assert!(limits.take(&none.head(), Duration::ZERO).is_err());
}

#[test]
fn a_request_that_one_limit_refuses_uses_up_no_other() {
    let limits = limits(&[
        rate(1, 5, None),
        rate(1, 1, header("x-user")),
        at_once(100, None),
    ]);
    for _ in 0..10 {
        // The first one uses up Ann's limit; nine are refused by it.
        let _ = ask(&limits, "ann", 0);
    }
    let users = ["bob", "cid", "dan", "eve", "fay"];
    let admitted: Vec<_> = users.iter().map(|user| ask(&limits, user, 0)).collect();
    let admitted: Vec<_> = admitted.iter().map(Result::is_ok).collect();
    assert_eq!(admitted, [true, true, true, true, false]);
}

#[test]
fn places_at_once_are_given_back_when_they_are_dropped() {
    let limits = limits(&[at_once(2, header("x-user"))]);
    let first = ask(&limits, "ann", 0).unwrap();
    let second = ask(&limits, "ann", 0).unwrap();
    let refusal = ask(&limits, "ann", 0).err().unwrap();
    assert_eq!(refusal.reason, Reason::RateLimited);
    assert_eq!(refusal.retry_after, Some(AT_ONCE_RETRY));
    assert!(ask(&limits, "bob", 0).is_ok());
    drop(first);
    assert_eq!(of_ten(&limits, "ann", 0), 10);
    drop(second);
}

#[test]
fn an_api_key_has_limits_of_its_own_besides_those_of_the_service() {
    let service = service(&[rate(1, 5, None)], &[rate(1, 2, None)]);
    let limits = Limits::of(&service, None).unwrap();
    let of_app = |tries: usize| {
        let fixture = Fixture::new("/", &[]);
        let mut head = fixture.head();
        head.api_key = Some("app");
        (0..tries)
            .filter(|_| limits.take(&head, Duration::ZERO).is_ok())
            .count()
    };
    assert_eq!(of_app(10), 2);
    assert_eq!(of_ten(&limits, "", 0), 3);
}

#[test]
fn a_limit_that_a_reload_leaves_as_it_is_goes_on() {
    let kept = rate(1, 4, header("x-user"));
    let before = limits(&[rate(1, 1, None), kept.clone()]);
    assert!(ask(&before, "ann", 0).is_ok());
    let service = service(&[at_once(7, None), kept], &[rate(1, 1, None)]);
    let after = Limits::of(&service, Some(&before)).unwrap();
    assert_eq!(of_ten(&after, "ann", 0), 3);
    // A request that began before the reload and asks the old rules knows the new counts as well.
    assert!(ask(&before, "ann", 0).is_err());
    assert!(ask(&before, "bob", 0).is_ok());
}

#[test]
fn a_limit_on_requests_at_once_keeps_its_count_when_it_moves() {
    let before = limits(&[at_once(2, None)]);
    let running = [
        ask(&before, "ann", 0).unwrap(),
        ask(&before, "ann", 0).unwrap(),
    ];
    let after = Limits::of(&service(&[at_once(3, None)], &[]), Some(&before)).unwrap();
    let third = ask(&after, "ann", 0).unwrap();
    assert!(ask(&after, "ann", 0).is_err());
    drop((running, third));
    let all: Vec<_> = (0..4).map(|_| ask(&after, "ann", 0)).collect();
    assert_eq!(all.iter().filter(|held| held.is_ok()).count(), 3);
}

#[test]
fn places_of_a_limit_that_is_gone_are_given_back_to_nobody() {
    let before = limits(&[at_once(2, None)]);
    let running = ask(&before, "ann", 0).unwrap();
    let after = Limits::of(
        &service(&[at_once(1, header("x-user"))], &[]),
        Some(&before),
    )
    .unwrap();
    let other = ask(&after, "ann", 0).unwrap();
    drop(running);
    assert!(ask(&after, "ann", 0).is_err());
    drop(other);
    assert!(ask(&after, "ann", 0).is_ok());
}

#[test]
fn threads_together_get_no_more_than_the_limits() {
    let limits = limits(&[rate(1, 500, None), at_once(3, None)]);
    let (admitted, running) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    let Ok(held) = ask(&limits, "ann", 0) else {
                        continue;
                    };
                    admitted.fetch_add(1, Ordering::SeqCst);
                    assert!(running.fetch_add(1, Ordering::SeqCst) < 3);
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                    drop(held);
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 500);
}
