use std::{path::Path, time::Duration};

use penstock_config::{Deployment, Scaling};

use super::{
    Outcome, Penstock, Scaler, Seen, Setup, Turn, WorkerModel,
    reference::{Bounds, Hpa, Kpa, Plain, Ray, SageMaker},
    run,
    trace::{Arrival, Trace, Work},
};
use penstock_control::{
    plan::{Action, Stage, WorkerFacts},
    scale::{Load, Observation},
};

mod forecast;

const SECOND: Duration = Duration::from_secs(1);

/// `per_second` requests of `took` each for `seconds`, evenly.
fn even(per_second: u32, took: Duration, seconds: u32) -> Trace {
    let arrivals = (0..per_second * seconds).map(|number| Arrival {
        at: SECOND * number / per_second,
        work: Work::Time(took),
    });
    Trace::new(arrivals.collect())
}

fn setup(start: Duration, max_concurrency: u32) -> Setup {
    Setup {
        model: WorkerModel {
            start,
            max_concurrency,
            ramp: false,
            ..WorkerModel::default()
        },
        max_requests: 100_000,
        max_wait: SECOND * 300,
        sheds_early: true,
        max_workers: 100,
        drain_timeout: SECOND * 60,
        seed: 7,
    }
}

fn scaling(min: u32, max: u32) -> Scaling {
    scaling_with(min, max, "")
}

fn scaling_with(min: u32, max: u32, more: &str) -> Scaling {
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.s.deployments.d]\n\
         process.shell = \"true\"\nmax_concurrency = 8\n\
         [services.s.deployments.d.scaling]\nmin = {min}\nmax = {max}\n{more}"
    );
    let config = penstock_config::parse(&text, Path::new("test.toml")).expect("it is right");
    let service = config.services.values().next().expect("there is one");
    let deployment: &Deployment = service.deployments.values().next().expect("there is one");
    deployment.scaling.clone()
}

fn penstock(trace: &Trace, setup: &Setup, min: u32, max: u32) -> Outcome {
    run(
        trace,
        setup,
        &mut Penstock::new("it", scaling(min, max)),
        |_| {},
    )
}

/// Always the same count of workers.
struct Fixed(u32);

impl Scaler for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }
    fn interval(&self) -> Duration {
        SECOND
    }
    fn wakes_at_once(&self) -> bool {
        false
    }
    fn begins_with(&self) -> u32 {
        self.0
    }
    fn turn(&mut self, _: &Seen<'_>, _: Duration) -> Turn {
        Turn {
            desired: self.0,
            ..Turn::default()
        }
    }
}

#[test]
fn waits_and_costs_of_a_queue_are_those_worked_out_by_hand() {
    // One worker for one request at a time; ten come at once, each of two seconds.
    let arrivals = (0..10).map(|_| Arrival {
        at: Duration::ZERO,
        work: Work::Time(SECOND * 2),
    });
    let late = Arrival {
        at: SECOND * 100,
        work: Work::Time(SECOND),
    };
    let trace = Trace::new(arrivals.chain([late]).collect());
    let outcome = run(&trace, &setup(SECOND, 1), &mut Fixed(1), |_| {});
    assert_eq!(outcome.requests, 11);
    assert_eq!(outcome.waits.percentile(1.0), Some(SECOND * 18));
    assert_eq!(outcome.waits.percentile(0.5), Some(SECOND * 8));
    assert!((outcome.worker_seconds - 101.0).abs() < 1e-6);
    assert!((outcome.idle_seconds - 80.0).abs() < 1e-6);
}

#[test]
fn what_is_served_and_kept_after_the_last_arrival_costs_too() {
    // Two at once, of ten seconds each, for workers that take one and start in one second.
    let arrivals = (0..2).map(|_| Arrival {
        at: Duration::ZERO,
        work: Work::Time(SECOND * 10),
    });
    let trace = Trace::new(arrivals.collect());
    let bounds = Bounds {
        min: 1,
        max: 2,
        max_concurrency: 1,
    };
    let mut plain = Plain::new(bounds);
    let outcome = run(&trace, &setup(SECOND, 1), &mut plain, |_| {});
    assert_eq!((outcome.requests, outcome.starts), (2, 1));
    assert_eq!(outcome.waits.percentile(1.0), Some(SECOND));
    // The second is done after 11 s, and one of the workers is let go a minute later.
    assert!((outcome.worker_seconds / 2.0 - 71.5).abs() < 1e-6);
    assert!((outcome.idle_seconds - (outcome.worker_seconds - 20.0)).abs() < 1e-6);
    assert_eq!(outcome.scale_events, 2);
    let last = outcome.course.last().map(|second| second.at);
    assert_eq!(last, Some(SECOND * 11));
}

#[test]
fn what_waits_too_long_or_finds_the_queue_full_is_shed_and_counted_once() {
    let trace = even(10, SECOND * 10, 10);
    let narrow = Setup {
        max_requests: 20,
        max_wait: SECOND * 5,
        ..setup(SECOND, 1)
    };
    let outcome = run(&trace, &narrow, &mut Fixed(1), |_| {});
    let served = 100 - outcome.shed;
    assert!(outcome.shed > 50, "{}", outcome.shed);
    let within = 1.0 - outcome.waits.share_above(SECOND * 300);
    assert!((within - served as f64 / 100.0).abs() < 1e-9);
}

#[test]
fn who_cannot_wait_for_a_start_is_shed_at_once_when_starts_are_known() {
    // One every five minutes that may wait for five seconds, at zero, with starts of half a minute.
    let arrivals = (0..6).map(|number| Arrival {
        at: SECOND * 300 * number + SECOND / 2,
        work: Work::Time(SECOND),
    });
    let trace = Trace::new(arrivals.collect());
    let queued = |sheds_early| {
        let hasty = Setup {
            max_wait: SECOND * 5,
            sheds_early,
            max_workers: 2,
            ..setup(SECOND * 30, 1)
        };
        let scaling = scaling_with(0, 2, "idle_timeout = \"10s\"");
        let outcome = run(&trace, &hasty, &mut Penstock::new("it", scaling), |_| {});
        assert_eq!((outcome.shed, outcome.starts), (6, 6));
        let course = outcome.course.iter();
        course.filter(|second| second.queued > 0).count()
    };
    // After three starts the gateway knows how long they take at least.
    assert_eq!((queued(false), queued(true)), (30, 15));
}

#[test]
fn the_same_run_has_the_same_outcome() {
    let trace = even(7, SECOND * 3, 300);
    let spread = Setup {
        model: WorkerModel {
            start_spread: 0.5,
            ..setup(SECOND * 20, 8).model
        },
        ..setup(SECOND * 20, 8)
    };
    let outcomes = [1, 2].map(|_| penstock(&trace, &spread, 1, 20));
    assert_eq!(outcomes[0].course, outcomes[1].course);
    assert_eq!(outcomes[0].decisions, outcomes[1].decisions);
}

#[test]
fn from_zero_the_first_request_wakes_at_once_and_waits_for_one_start() {
    let trace = Trace::new(vec![
        Arrival {
            at: Duration::ZERO,
            work: Work::Time(SECOND),
        },
        Arrival {
            at: SECOND * 60,
            work: Work::Time(SECOND),
        },
    ]);
    let outcome = penstock(&trace, &setup(SECOND * 10, 8), 0, 4);
    assert_eq!(outcome.waits.percentile(1.0), Some(SECOND * 10));
    assert_eq!(outcome.waits.percentile(0.5), Some(Duration::ZERO));
    assert_eq!(outcome.starts, 1);
}

#[test]
fn a_constant_load_gets_what_it_needs_and_no_request_waits_in_the_end() {
    // 40 at a time at 8 per worker.
    let trace = even(10, SECOND * 4, 900);
    let outcome = penstock(&trace, &setup(SECOND * 5, 8), 1, 50);
    let end = outcome.course.iter().rev().take(300);
    assert!(
        end.clone()
            .all(|second| second.queued == 0 && (5..=6).contains(&second.desired)),
        "{:?}",
        outcome.decisions
    );
    assert!(outcome.waits.share_above(SECOND * 20) < 0.01);
}

fn bounds() -> Bounds {
    Bounds {
        min: 1,
        max: 1000,
        max_concurrency: 10,
    }
}

/// A stretch in which `current` requests were there all the time.
fn seen(current: u32, over: Duration, workers: &[WorkerFacts]) -> Seen<'_> {
    let count = |stage: Stage| workers.iter().filter(|w| w.stage == stage).count() as u32;
    Seen {
        observation: Observation {
            current,
            load: Load {
                over,
                request_seconds: f64::from(current) * over.as_secs_f64(),
                ..Load::default()
            },
            ready: count(Stage::Ready),
            starting: count(Stage::Starting),
            ..Observation::default()
        },
        workers,
    }
}

/// So many workers that are ready.
fn ready(count: u32) -> Vec<WorkerFacts> {
    let worker = |slot: u32| WorkerFacts {
        id: penstock_config::fleet::WorkerId(slot.to_string().into()),
        slot,
        stage: Stage::Ready,
        started_at: Duration::from_secs(slot.into()),
        in_flight: 0,
        adopted: false,
        outdated: false,
        is_proven: false,
        broken: None,
    };
    (0..count).map(worker).collect()
}

/// A scaler at constant loads one after the other, with all desired workers ready.
struct Course<S> {
    scaler: S,
    now: Duration,
    count: u32,
}

impl<S: Scaler> Course<S> {
    fn of(scaler: S) -> Self {
        Self {
            now: SECOND * 6000,
            count: scaler.begins_with(),
            scaler,
        }
    }

    /// The count after turns at `current` requests for `length`.
    fn at(&mut self, current: u32, length: Duration) -> u32 {
        let end = self.now + length;
        while self.now < end {
            let interval = self.scaler.interval();
            self.now += interval;
            let workers = ready(self.count);
            let seen = seen(current, interval, &workers);
            self.count = self.scaler.turn(&seen, self.now).desired;
        }
        self.count
    }
}

#[test]
fn kpa_divides_the_stable_average_by_seventy_percent_of_the_limit() {
    // 35 / (10 × 0.7) = 5.
    let mut kpa = Course::of(Kpa::new(bounds()));
    assert_eq!(kpa.at(35, SECOND * 300), 5);
}

#[test]
fn kpa_panics_at_twice_its_capacity_and_does_not_shrink_for_a_stable_window_after() {
    let mut kpa = Course::of(Kpa::new(bounds()));
    kpa.at(7, SECOND * 120);
    // Six seconds at 70: the panic average says 10 workers.
    assert_eq!(kpa.at(70, SECOND * 8), 10);
    assert_eq!(kpa.at(7, SECOND * 50), 10);
    assert!(kpa.at(7, SECOND * 120) <= 2);
}

#[test]
fn hpa_tolerates_ten_percent_and_holds_the_largest_of_five_minutes() {
    let mut hpa = Course::of(Hpa::new(bounds()));
    // 40 / 8 = 5 in steps of at most 4 more or double.
    assert_eq!(hpa.at(40, SECOND * 60), 5);
    assert_eq!(hpa.at(43, SECOND * 60), 5, "7.5 % more");
    assert_eq!(hpa.at(8, SECOND * 285), 5);
    assert_eq!(hpa.at(8, SECOND * 60), 1);
}

#[test]
fn hpa_adds_at_most_four_or_doubles_in_fifteen_seconds() {
    let mut hpa = Course::of(Hpa::new(bounds()));
    let counts: Vec<u32> = (0..5).map(|_| hpa.at(800, SECOND)).collect();
    assert_eq!(counts, [5, 10, 20, 40, 80]);
}

#[test]
fn ray_waits_thirty_seconds_to_grow_and_ten_minutes_to_shrink() {
    let mut ray = Course::of(Ray::new(bounds()));
    assert_eq!(ray.at(20, SECOND * 29), 1);
    // 20 / 2.
    assert_eq!(ray.at(20, SECOND * 10), 10);
    assert_eq!(ray.at(2, SECOND * 590), 10);
    assert!(ray.at(2, SECOND * 60) < 10);
}

#[test]
fn sagemaker_needs_three_points_to_grow_and_fifteen_to_shrink() {
    let mut sagemaker = Course::of(SageMaker::new(bounds()));
    assert_eq!(sagemaker.at(70, SECOND * 120), 1);
    // 70 / 7.
    assert_eq!(sagemaker.at(70, SECOND * 60), 10);
    assert_eq!(sagemaker.at(7, SECOND * 60 * 14), 10);
    assert_eq!(sagemaker.at(7, SECOND * 60), 1);
}

#[test]
fn the_plain_rule_triples_in_a_minute_and_loses_one_a_minute() {
    let mut plain = Course::of(Plain::new(bounds()));
    assert_eq!(plain.at(100, SECOND), 3);
    assert_eq!(plain.at(100, SECOND * 58), 3);
    assert_eq!(plain.at(100, SECOND * 2), 9);
    assert_eq!(plain.at(10, SECOND * 60), 9);
    assert_eq!(plain.at(10, SECOND), 8);
}

#[test]
fn a_reference_stops_what_is_starting_first_then_the_newest() {
    let mut workers = ready(3);
    workers[1].stage = Stage::Starting;
    let mut plain = Plain::new(Bounds { max: 1, ..bounds() });
    let turn = plain.turn(&seen(1, SECOND, &workers), SECOND * 6000);
    let names: Vec<_> = turn
        .actions
        .iter()
        .map(|action| match action {
            Action::Stop { id, .. } => format!("stop {id}"),
            Action::Drain { id, .. } => format!("drain {id}"),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["stop 1", "drain 2"]);
}
