mod gateways;

use penstock_config::fleet::{LoadReport, Outcomes, TimeHistogram, TokenLoad};

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
            errors: 0,
            no_capacity: self.no_capacity,
            wait: TimeHistogram::default(),
            service_time,
            outcomes: Outcomes::default(),
            woken: 0,
            tokens: TokenLoad::default(),
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
            services: Vec::new(),
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
            services: Vec::new(),
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
