//! Gateways that come, go, fall silent, repeat themselves, or are several.

use super::*;

#[test]
fn requests_that_found_no_worker_are_counted_once_per_gateway() {
    let mut scene = Scene::new();
    let spilled = |sequence, no_capacity| Words {
        no_capacity,
        ..words(sequence, sequence * 1000)
    };
    scene.hear(1, &spilled(1, 2), at(1000));
    scene.hear(2, &spilled(1, 5), at(1000));
    scene.measure(at(1000));
    scene.hear(1, &spilled(2, 4), at(2000));
    scene.hear(2, &spilled(2, 5), at(2000));
    assert_eq!(scene.measure(at(2000)).load.no_capacity, 2);
    assert_eq!(scene.measure(at(2500)).load.no_capacity, 0);
}

#[test]
fn a_gateways_clock_that_stood_still_does_not_make_its_last_word_old() {
    let mut scene = Scene::new();
    let busy = |sequence: u64, uptime: u64, integral| Words {
        current: 2,
        integral,
        arrivals: 2,
        ..words(sequence, uptime)
    };
    scene.hear(1, &busy(1, 1000, 2.0), at(1000));
    scene.measure(at(1000));
    scene.hear(1, &busy(2, 2000, 4.0), at(60_000));
    let first = scene.measure(at(60_000)).load.request_seconds;
    let second = scene.measure(at(61_000)).load.request_seconds;
    assert_eq!(first, 2.0);
    assert!((second - 2.0).abs() < 1e-9, "{second}");
}

#[test]
fn lost_repeated_and_late_reports_do_no_harm() {
    let reports: Vec<Words> = (1..=9_u32)
        .map(|n| Words {
            current: 2,
            integral: f64::from(n) * 2.0,
            arrivals: u64::from(n) * 3,
            ..words(n.into(), u64::from(n) * 1000)
        })
        .collect();
    let sum = |order: &[usize]| {
        let mut scene = Scene::new();
        let (mut seconds, mut arrivals) = (0.0, 0);
        for (step, place) in order.iter().enumerate() {
            let now = at(1000 * (step as u64 + 1));
            scene.hear(1, &reports[*place], now);
            let load = scene.measure(now).load;
            seconds += load.request_seconds;
            arrivals += load.arrivals;
        }
        (seconds.round() as u64, arrivals)
    };
    assert_eq!(sum(&[0, 1, 2, 3, 4, 5, 6, 7, 8]), (18, 27));
    assert_eq!(sum(&[0, 0, 2, 1, 2, 5, 3, 4, 8]), (18, 27));
}

#[test]
fn gateways_add_up_and_a_silent_one_counts_no_more_once_it_is_given_up() {
    let mut scene = Scene::new();
    let words = |sequence, uptime| Words {
        current: 5,
        arrivals: 5,
        workers: vec![("w", 5)],
        ..words(sequence, uptime)
    };
    scene.hear(1, &words(1, 1000), at(1000));
    scene.hear(2, &words(1, 1000), at(1000));
    assert_eq!(scene.measure(at(1000)).current, 10);
    assert_eq!(scene.tracker.in_flight(&WorkerId("w".into())), 10);
    scene.hear(1, &words(2, 12_000), at(12_000));
    scene.gateways.expire(at(12_000));
    assert_eq!(scene.measure(at(12_000)).current, 5);
    assert_eq!(scene.tracker.in_flight(&WorkerId("w".into())), 5);
}

#[test]
fn a_gateway_that_no_longer_mentions_the_deployment_has_nothing_of_it() {
    let mut scene = Scene::new();
    let busy = Words {
        current: 5,
        arrivals: 5,
        workers: vec![("w", 5)],
        ..words(1, 1000)
    };
    scene.hear(1, &busy, at(1000));
    let silent = LoadReport {
        gateway: 1,
        sequence: 2,
        generation: 0,
        at: Duration::from_millis(2000),
        deployments: Vec::new(),
        services: Vec::new(),
    };
    scene.gateways.take(&silent, at(2000));
    assert_eq!(scene.measure(at(2000)).current, 0);
    assert_eq!(scene.tracker.in_flight(&WorkerId("w".into())), 0);
    assert_eq!(scene.measure(at(3000)).load.request_seconds, 0.0);
}

#[test]
fn the_past_of_a_gateway_older_than_control_is_not_load() {
    let mut scene = Scene::new();
    let old = Words {
        integral: 1e6,
        arrivals: 1_000_000,
        ..words(9000, 9_000_000)
    };
    scene.hear(1, &old, at(1000));
    let load = scene.measure(at(1000)).load;
    assert_eq!((load.arrivals, load.request_seconds), (0, 0.0));
    let next = Words {
        sequence: 9001,
        uptime: 9_001_000,
        arrivals: 1_000_002,
        integral: 1e6 + 1.0,
        ..old
    };
    scene.hear(1, &next, at(2000));
    let load = scene.measure(at(2000)).load;
    assert_eq!((load.arrivals, load.request_seconds), (2, 1.0));
}

#[test]
fn a_worker_that_answered_more_is_told_by_each_gateway_for_itself() {
    let mut scene = Scene::new();
    let answered = |sequence, count| {
        let mut load = words(sequence, sequence * 1000).load();
        load.workers = vec![WorkerLoad {
            answered: count,
            ..worker("w", 1)
        }];
        load
    };
    let mut hear = |gateway, sequence, count| {
        let load = answered(sequence, count);
        let more = scene.tracker.answering(gateway, &load).count();
        let base = Base::Zero;
        scene.tracker.take(gateway, sequence, &load, base, at(0));
        more
    };
    assert_eq!(hear(1, 1, 0), 0);
    assert_eq!(hear(1, 2, 100), 1);
    assert_eq!(hear(1, 3, 100), 0);
    assert_eq!(hear(2, 1, 3), 1, "another gateway has other counts");
    assert_eq!(hear(2, 2, 4), 1);
}
