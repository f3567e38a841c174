use std::time::Duration;

use penstock_config::fleet::{DeploymentLoad, Outcomes, TimeHistogram, TokenLoad};

use super::*;

fn key(deployment: &str) -> Key {
    Key {
        service: "chat".try_into().unwrap(),
        deployment: deployment.try_into().unwrap(),
    }
}

/// So many requests ended, all after 100 ms; so many of them with an error.
fn load(deployment: &str, completions: u64, errors: u64) -> DeploymentLoad {
    let Key {
        service,
        deployment,
    } = key(deployment);
    let mut outcomes = Outcomes::default();
    for _ in 0..completions {
        outcomes.first_byte.record(Duration::from_millis(100));
    }
    let mut wait = TimeHistogram::default();
    wait.counts[TimeHistogram::bucket(Duration::from_millis(40))] = completions;
    DeploymentLoad {
        service,
        deployment,
        current: 5,
        queued: 2,
        integral: 0.0,
        arrivals: completions,
        completions,
        errors,
        no_capacity: 0,
        wait,
        service_time: TimeHistogram::default(),
        outcomes,
        woken: 0,
        tokens: TokenLoad::default(),
        workers: Vec::new(),
    }
}

fn report(gateway: u64, deployments: Vec<DeploymentLoad>) -> LoadReport {
    LoadReport {
        gateway,
        sequence: 0,
        generation: 0,
        at: Duration::ZERO,
        deployments,
        services: Vec::new(),
    }
}

fn with(deployments: &[&str]) -> History {
    let mut history = History::default();
    for name in deployments {
        history.told(&key(name), Metric::Workers([1, 3, 0, 0, 0]));
        history.told(&key(name), Metric::Desired(4));
    }
    history
}

#[test]
fn a_sample_holds_what_happened_in_two_seconds_and_how_things_were_at_their_end() {
    let mut history = with(&["main"]);
    history.report(&report(1, vec![load("main", 0, 0)]), 10_000);
    history.report(&report(1, vec![load("main", 6, 1)]), 11_000);
    assert_eq!(history.of_service("chat", 0), [("main".to_owned(), vec![])]);
    history.report(&report(1, vec![load("main", 7, 1)]), 12_000);
    let [(_, samples)] = &history.of_service("chat", 0)[..] else {
        panic!("one deployment");
    };
    let [sample] = samples[..] else {
        panic!("one sample: {samples:?}");
    };
    assert_eq!((sample.tick, sample.requests, sample.errors), (5, 6, 1));
    assert_eq!((sample.in_flight, sample.queued), (3, 2));
    assert_eq!((sample.desired, sample.ready), (4, 3));
    assert!((0.1..0.12).contains(&sample.first_byte), "{sample:?}");
    assert!((0.032..=0.064).contains(&sample.wait), "{sample:?}");
    assert!(sample.whole.is_nan());
    assert_eq!(history.of_all(0).len(), 1);
    assert_eq!(history.of_all(0)[0].requests, 6);
    assert!(history.of_service("chat", 6)[0].1.is_empty());
}

#[test]
fn what_a_gateway_counted_before_control_heard_of_it_did_not_happen_now() {
    let mut history = with(&["main", "late"]);
    history.report(&report(1, vec![load("main", 500, 0)]), 10_000);
    history.report(
        &report(1, vec![load("main", 501, 0), load("late", 7, 0)]),
        11_000,
    );
    history.report(&report(1, vec![]), 12_000);
    assert_eq!(history.of_all(0)[0].requests, 8);
}

#[test]
fn gateways_add_up_and_one_that_is_gone_has_nothing_in_flight() {
    let mut history = with(&["main"]);
    for gateway in [1, 2] {
        history.report(&report(gateway, vec![load("main", 0, 0)]), 10_000);
        history.report(&report(gateway, vec![load("main", 5, 0)]), 11_000);
    }
    history.report(&report(1, vec![load("main", 5, 0)]), 12_000);
    let first = history.of_all(0)[0];
    assert_eq!((first.requests, first.in_flight), (10, 6));
    history.report(&report(1, vec![load("main", 5, 0)]), 22_000);
    history.report(&report(1, vec![load("main", 5, 0)]), 24_000);
    let last = *history.of_all(0).last().unwrap();
    assert_eq!((last.requests, last.in_flight), (0, 3));
}

#[test]
fn no_more_is_kept_than_half_an_hour_and_nothing_of_what_is_gone() {
    let mut history = with(&["main"]);
    for second in 0..4_000_u64 {
        history.report(&report(1, vec![load("main", 1, 0)]), second * 1_000 + 2_000);
    }
    let kept = history.of_service("chat", 0)[0].1.clone();
    assert_eq!(kept.len(), SAMPLES_MAX);
    assert!(kept.windows(2).all(|pair| pair[1].tick == pair[0].tick + 1));
    assert_eq!(history.newest().count(), 1);
    history.forget(&key("main"));
    assert!(history.of_service("chat", 0).is_empty());
    history.report(&report(1, vec![load("main", 9, 0)]), 5_000_000);
    assert!(
        history.of_service("chat", 0).is_empty(),
        "nobody says that it is there"
    );
}
