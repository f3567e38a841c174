//! Settings made up at random.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use jiff::tz::TimeZone;
use penstock_config::{
    Adjustment, BacklogRule, ConcurrencyRule, DownPace, ForecastRule, Metric, QueueWaitRule, Rule,
    Scaling, ScalingMode, Statistic, Step, StepRule, TargetTrackingRule, UpPace, WorkerMetric,
};
use proptest::prelude::*;

fn seconds(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_secs)
}

prop_compose! {
    fn up_pace()(
        percent in prop_oneof![9 => 1..400_u32, 1 => Just(UpPace::NO_LIMIT)],
        period in seconds(1..120),
        burst_from_zero in prop::bool::weighted(0.2),
    ) -> UpPace {
        UpPace { percent, period, burst_from_zero }
    }
}

prop_compose! {
    fn down_pace()(
        stable_for in seconds(0..90),
        step in prop_oneof![9 => 1..6_u32, 1 => Just(DownPace::NO_LIMIT)],
        percent in 1..=100_u32,
        period in seconds(1..120),
    ) -> DownPace {
        DownPace { stable_for: Some(stable_for), step, percent, period }
    }
}

/// What workers tell.
pub(crate) fn worker_metric() -> Arc<WorkerMetric> {
    Arc::new(WorkerMetric::parse("waiting").expect("a name"))
}

fn step() -> impl Strategy<Value = Rule> {
    let metrics = vec![
        (Metric::ConcurrencyPerWorker, Statistic::Average),
        (Metric::RequestsPerSecond, Statistic::Maximum),
        (Metric::RequestsPerMinutePerWorker, Statistic::Minimum),
        (Metric::NoCapacityRequests, Statistic::Sum),
        (Metric::Queued, Statistic::Average),
        (Metric::QueueWaitP95, Statistic::Average),
        (Metric::Worker(worker_metric()), Statistic::Maximum),
    ];
    let adjustments = vec![Adjustment::Change, Adjustment::Percent, Adjustment::Exact];
    let parts = (
        prop::sample::select(metrics),
        0.0..200.0_f64,
        (seconds(1..60), 1..4_u32, seconds(0..200)),
        prop::sample::select(adjustments),
        (1..5_u32, -50..100_i32, -50..100_i32),
    );
    parts.prop_map(
        |(metric, threshold, times, adjustment, (min_adjustment, low, high))| {
            let (period, datapoints, cooldown) = times;
            let exact = adjustment == Adjustment::Exact;
            let by = |by: i32| if exact { by.max(1) } else { by };
            let steps = vec![
                Step {
                    from: None,
                    to: Some(-1.0),
                    by: by(low),
                },
                Step {
                    from: Some(0.0),
                    to: Some(50.0),
                    by: by(high),
                },
                Step {
                    from: Some(50.0),
                    to: None,
                    by: by(high + 1),
                },
            ];
            Rule::Step(StepRule {
                metric: metric.0,
                threshold,
                statistic: metric.1,
                period,
                datapoints,
                adjustment,
                min_adjustment,
                steps,
                cooldown,
            })
        },
    )
}

/// A pace that lets any count be reached in half an hour.
pub(crate) fn constant() -> Scaling {
    Scaling {
        mode: ScalingMode::Act,
        min: 1,
        max: 10_000,
        idle_timeout: Duration::from_secs(60),
        rules: Vec::new(),
        up: UpPace {
            percent: 200,
            period: Duration::from_secs(60),
            burst_from_zero: false,
        },
        down: DownPace {
            stable_for: Some(Duration::from_secs(60)),
            step: 1000,
            percent: 100,
            period: Duration::from_secs(60),
        },
    }
}

/// Not `step`: its steps may well lead up and down again, if they are set so. Nor `schedule`.
pub(crate) fn steady_rule() -> impl Strategy<Value = Rule> {
    rule().prop_filter("it may go to and fro", |rule| {
        !matches!(rule, Rule::Step(_) | Rule::Schedule(_))
    })
}

/// Schedules that come and go within some minutes, overlap, and contradict each other.
fn schedule() -> impl Strategy<Value = Rule> {
    static ALL: LazyLock<Vec<Rule>> = LazyLock::new(|| {
        let some = [0, 7, 20, 41, 59]
            .into_iter()
            .zip([30, 90, 600, 3000, 7000]);
        let bounds = [
            "min = 0",
            "min = 3",
            "min = 40",
            "max = 1",
            "max = 30",
            "min = 2, max = 9",
        ];
        let rules = some.flat_map(|(minute, lasts)| {
            bounds.map(|bounds| format!(
                "{{ type = \"schedule\", cron = \"{minute} * * * *\", duration = \"{lasts}s\", {bounds} }}"
            ))
        });
        let text = format!(
            "listeners = [{{ address = \"127.0.0.1:0\" }}]
             [services.s.deployments.d]
             process = {{ command = [\"worker\"] }}
             scaling.max = 100
             scaling.rules = [{}]",
            rules.collect::<Vec<_>>().join(", ")
        );
        let config = penstock_config::parse(&text, "p.toml".as_ref());
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        config.services["s"].deployments["d"].scaling.rules.clone()
    });
    prop::sample::select(ALL.as_slice())
}

/// Any rule of type `forecast`.
pub(crate) fn forecast() -> impl Strategy<Value = Rule> {
    let zones = vec!["UTC", "Europe/Berlin", "Australia/Lord_Howe"];
    let parts = (
        0.5..200.0_f64,
        0.0..10.0_f64,
        any::<(bool, bool, bool)>(),
        prop::sample::select(zones),
        prop::option::of(seconds(1..21_600)),
    );
    parts.prop_map(|(target, headroom, (daily, weekly, slope), zone, ahead)| {
        Rule::Forecast(ForecastRule {
            target,
            headroom,
            daily,
            weekly,
            slope,
            time_zone: TimeZone::get(zone).expect("a time zone"),
            ahead,
        })
    })
}

fn concurrency() -> impl Strategy<Value = Rule> {
    let parts = (
        0.5..200.0_f64,
        seconds(1..120),
        prop::option::of(seconds(1..600)),
        0.0..4.0_f64,
        0.0..4.0_f64,
    );
    parts.prop_map(|(target, window, clear_within, anticipate, headroom)| {
        Rule::Concurrency(ConcurrencyRule {
            target,
            window,
            burst_window: window / 10,
            clear_within,
            anticipate,
            headroom,
        })
    })
}

fn target_tracking() -> impl Strategy<Value = Rule> {
    let shared = vec![
        Metric::ConcurrencyPerWorker,
        Metric::RequestsPerSecond,
        Metric::RequestsPerSecondPerWorker,
        Metric::RequestsPerMinutePerWorker,
        Metric::Queued,
        Metric::Worker(worker_metric()),
    ];
    let parts = (
        prop::sample::select(shared),
        0.5..200.0_f64,
        seconds(0..200),
        seconds(0..200),
        any::<bool>(),
    );
    parts.prop_map(|(metric, target, out, inward, disable_scale_in)| {
        Rule::TargetTracking(TargetTrackingRule {
            metric,
            target,
            scale_out_cooldown: out,
            scale_in_cooldown: inward,
            disable_scale_in,
        })
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let backlog = (0.5..200.0_f64).prop_map(|target| Rule::Backlog(BacklogRule { target }));
    let queue_wait = (1..100_u64, 0.5..100.0_f64).prop_map(|(target, concurrency)| {
        let target = Duration::from_millis(target * 300);
        Rule::QueueWait(QueueWaitRule {
            target,
            concurrency,
        })
    });
    prop_oneof![
        3 => concurrency(),
        1 => target_tracking(),
        2 => step(),
        1 => queue_wait,
        1 => backlog,
        1 => forecast(),
        1 => schedule(),
    ]
}

prop_compose! {
    pub(crate) fn scaling()(
        min in 0..5_u32,
        above in 0..200_u32,
        idle_timeout in seconds(0..120),
        rules in prop::collection::vec(rule(), 1..6),
        up in up_pace(),
        down in down_pace(),
    ) -> Scaling {
        Scaling {
            mode: ScalingMode::Act,
            min,
            max: (min + above).max(1),
            idle_timeout,
            rules,
            up,
            down,
        }
    }
}
