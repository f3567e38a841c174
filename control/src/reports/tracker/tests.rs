use penstock_config::fleet::{LoadReport, Outcomes, TimeHistogram};

use super::*;

fn at(millis: u64) -> Duration {
    Duration::from_millis(1_000_000 + millis)
}

/// What a gateway says about the deployment at a time.
#[derive(Clone)]
struct Words {
    sequence: u64,
    uptime: u64,
    current: u32,
    queued: u32,
    integral: f64,
    arrivals: u64,
    no_capacity: u64,
    workers: Vec<(&'static str, u32)>,
}

impl Words {
    fn load(&self) -> DeploymentLoad {
        let mut service_time = TimeHistogram::default();
        service_time.counts[3] = self.arrivals.saturating_sub(self.current.into());
        DeploymentLoad {
            service: "s".try_into().expect("a name"),
            deployment: "d".try_into().expect("a name"),
            current: self.current,
            queued: self.queued,
            integral: self.integral,
            arrivals: self.arrivals,
            completions: self.arrivals.saturating_sub(self.current.into()),
            no_capacity: self.no_capacity,
            wait: TimeHistogram::default(),
            service_time,
            outcomes: Outcomes::default(),
            woken: 0,
            workers: self
                .workers
                .iter()
                .map(|(id, in_flight)| worker(id, *in_flight))
                .collect(),
        }
    }
}

fn worker(id: &str, in_flight: u32) -> WorkerLoad {
    WorkerLoad {
        id: WorkerId(id.into()),
        in_flight,
        copies: 0,
        answered: 0,
        failed: 0,
        ejected: false,
    }
}

struct Scene {
    gateways: Gateways,
    tracker: Tracker,
}

impl Scene {
    /// Control has been there for a while.
    fn new() -> Self {
        let mut tracker = Tracker::default();
        let gateways = Gateways::new(false, Duration::from_millis(900_000));
        tracker.measure(&gateways, |_| false, at(0));
        Self { gateways, tracker }
    }

    fn hear(&mut self, gateway: u64, words: &Words, now: Duration) {
        let report = LoadReport {
            gateway,
            sequence: words.sequence,
            generation: 0,
            at: Duration::from_millis(words.uptime),
            deployments: vec![words.load()],
        };
        if let Some(base) = self.gateways.take(&report, now) {
            self.tracker
                .take(gateway, words.sequence, &report.deployments[0], base, now);
        }
    }

    fn measure(&mut self, now: Duration) -> Measured {
        self.tracker
            .measure(&self.gateways, |id| &*id.0 == "draining", now)
    }
}

fn words(sequence: u64, uptime: u64) -> Words {
    Words {
        sequence,
        uptime,
        current: 0,
        queued: 0,
        integral: 0.0,
        arrivals: 0,
        no_capacity: 0,
        workers: Vec::new(),
    }
}

#[test]
fn a_request_that_lived_between_two_reports_is_measured() {
    let mut scene = Scene::new();
    scene.hear(1, &words(1, 1000), at(1000));
    scene.measure(at(1000));
    scene.hear(
        1,
        &Words {
            integral: 0.03,
            arrivals: 1,
            ..words(2, 2000)
        },
        at(2000),
    );
    let measured = scene.measure(at(2000));
    assert_eq!(
        (
            measured.current,
            measured.load.arrivals,
            measured.load.served
        ),
        (0, 1, 1)
    );
    assert!((measured.load.request_seconds - 0.03).abs() < 1e-9);
    assert_eq!(measured.load.over, Duration::from_secs(1));
}

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
fn between_reports_the_load_goes_on_and_nothing_counts_twice() {
    let mut scene = Scene::new();
    let busy = Words {
        current: 10,
        integral: 10.0,
        arrivals: 10,
        ..words(1, 1000)
    };
    scene.hear(1, &busy, at(1000));
    let mut sum = scene.measure(at(1000)).load.request_seconds;
    sum += scene.measure(at(1500)).load.request_seconds;
    assert!(
        (sum - 15.0).abs() < 1e-9,
        "half a second without a report: {sum}"
    );
    // It was less in truth.
    let less = Words {
        current: 2,
        integral: 13.0,
        arrivals: 10,
        ..words(2, 2000)
    };
    scene.hear(1, &less, at(2000));
    sum += scene.measure(at(2000)).load.request_seconds;
    sum += scene.measure(at(3000)).load.request_seconds;
    sum += scene.measure(at(4000)).load.request_seconds;
    assert!(
        (sum - 17.0).abs() < 1e-9,
        "13 reported and 2 seconds of 2: {sum}"
    );
}

#[test]
fn a_constant_load_is_measured_as_constant_however_long_its_reports_are_on_their_way() {
    let mut scene = Scene::new();
    let busy = |second: u64| Words {
        current: 10,
        integral: 10.0 * second as f64,
        arrivals: 10,
        ..words(second, second * 1000)
    };
    for second in 1..1000 {
        let late = [0, 40, 7, 90, 25][second as usize % 5];
        scene.hear(1, &busy(second), at(second * 1000 + late));
        let load = scene.measure(at(second * 1000 + 500)).load;
        let concurrency = load.request_seconds / load.over.as_secs_f64();
        // The first report's way is not known yet.
        assert!(
            second <= 5 || (concurrency / 10.0 - 1.0).abs() < 1e-3,
            "{concurrency} in second {second}"
        );
    }
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
fn requests_on_draining_workers_are_left_out_but_keep_their_worker() {
    let mut scene = Scene::new();
    let words = Words {
        current: 7,
        queued: 1,
        arrivals: 7,
        workers: vec![("draining", 4), ("ready", 2)],
        ..words(1, 1000)
    };
    scene.hear(1, &words, at(1000));
    let measured = scene.measure(at(2000));
    assert_eq!((measured.current, measured.queued), (3, 1));
    assert!((measured.load.request_seconds - 3.0).abs() < 4.0);
    assert_eq!(scene.tracker.in_flight(&WorkerId("draining".into())), 4);
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
fn a_long_gap_is_spread_over_its_time() {
    let mut scene = Scene::new();
    scene.hear(1, &words(1, 1000), at(1000));
    scene.measure(at(1000));
    for second in 2..9 {
        scene.measure(at(second * 1000));
    }
    scene.hear(
        1,
        &Words {
            integral: 80.0,
            ..words(2, 9000)
        },
        at(9000),
    );
    let load = scene.measure(at(9000)).load;
    assert_eq!(load.over, Duration::from_secs(8));
    assert!((load.request_seconds - 80.0).abs() < 1e-9);
}

#[test]
fn copies_that_are_no_load_are_left_out_but_keep_a_deployment_awake() {
    let mut scene = Scene::new();
    let mut hear = |sequence, woken, copies| {
        let mut load = words(sequence, sequence * 1000).load();
        (load.current, load.woken) = (3, woken);
        load.workers = vec![WorkerLoad {
            copies,
            ..worker("draining", 2 + copies)
        }];
        let now = at(sequence * 1000);
        let report = LoadReport {
            gateway: 1,
            sequence,
            generation: 0,
            at: Duration::from_secs(sequence),
            deployments: vec![load],
        };
        let base = scene.gateways.take(&report, now).expect("news");
        let load = &report.deployments[0];
        scene.tracker.take(1, sequence, load, base, now);
        scene.measure(now)
    };
    assert!(hear(1, 1, 5).load.woken);
    let measured = hear(2, 1, 5);
    assert!(!measured.load.woken);
    assert_eq!(measured.current, 1, "two of three are on a draining worker");
    assert!(hear(3, 2, 0).load.woken);
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
