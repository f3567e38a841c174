//! What a decision about one deployment costs, with its plan: once per deployment and second.
//!
//! And what it costs to share GPUs out, once a second for all deployments.
//!
//! `cargo bench --bench scale`. The promise is less than 50 µs with 1,000 workers.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use penstock_config::{Scaling, fleet::WorkerId};
use penstock_control::{
    plan::{Situation, Stage, StartFacts, WorkerFacts, plan},
    scale::{History, Load, Observation, ScaleState, decide},
    share::{Facts, GroupFacts, Holder, Need, Owner, Waits, Want, share},
};

const WORKERS: u32 = 1000;

const ONE: &str = "{ type = \"concurrency\", target = 8 }";

const ALL: &str = "
    { type = \"concurrency\", target = 8 },
    { type = \"target_tracking\", metric = \"requests_per_minute_per_worker\", target = 60 },
    { type = \"step\", metric = \"queue_wait_p95\", threshold = 2, adjustment = \"percent\",
      steps = [{ from = 0, by = 10 }, { to = -1.5, by = -10 }] },
    { type = \"schedule\", cron = \"0 8 * * MON-FRI\", time_zone = \"Europe/Berlin\",
      duration = \"10h\", min = 900 },
    { type = \"queue_wait\", target = \"10s\" },
    { type = \"backlog\", target = 8 }";

fn scaling(rules: &str) -> Scaling {
    let text = format!(
        "listeners = [{{ address = \"127.0.0.1:0\" }}]
         [services.s.deployments.d]
         process = {{ command = [\"worker\"] }}
         max_concurrency = 8
         scaling = {{ max = 10000, rules = [{rules}] }}"
    );
    let config = penstock_config::parse(&text, "bench.toml".as_ref());
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    config.services["s"].deployments["d"].scaling.clone()
}

fn workers() -> Vec<WorkerFacts> {
    (0..WORKERS)
        .map(|slot| WorkerFacts {
            id: WorkerId(Arc::from(format!("worker-{slot}"))),
            slot,
            stage: Stage::Ready,
            started_at: Duration::from_secs(slot.into()),
            in_flight: slot % 8,
            adopted: false,
            outdated: false,
            is_proven: false,
            broken: None,
        })
        .collect()
}

/// A busy second: nearly as many requests on each worker as it should have.
fn second(number: u64, state: &ScaleState) -> Observation {
    let current = 8 * WORKERS - 100 + (number % 50) as u32;
    Observation {
        wall_ms: 1_790_000_000_000 + number * 1000,
        current,
        queued: (number % 10) as u32,
        load: Load {
            over: Duration::from_secs(1),
            request_seconds: current.into(),
            in_flight_seconds: current.into(),
            arrivals: 700,
            arrival_rate: 700.0,
            completions: 700,
            served: 700,
            ..Load::default()
        },
        ready: state.desired(),
        start_time: Some(Duration::from_secs(60)),
        ..Observation::default()
    }
}

/// 64 GPUs that busy workers have, and 936 deployments that wait for one.
fn crowd() -> Facts {
    const GPUS: usize = 64;
    let second = Duration::from_secs(1);
    let waits = |who: usize| Waits {
        count: 3,
        sum: second * (who % 97) as u32,
        oldest: second * (who % 89) as u32,
    };
    Facts {
        groups: vec![GroupFacts::default()],
        wants: (GPUS..1000)
            .map(|who| Want {
                who,
                missing: 1,
                gpus: 1,
                groups: vec![0],
                need: Need::Waited,
                priority: 0,
                waits: waits(who),
                bound: Duration::from_secs(600),
                start: Some(Duration::from_secs(40)),
            })
            .collect(),
        holders: (0..GPUS)
            .map(|who| Holder {
                who,
                group: 0,
                gpus: 1,
                idle: None,
                ready: Some(Duration::from_secs(600)),
                in_flight: 1,
                under: Vec::new(),
            })
            .collect(),
        owners: (0..1000)
            .map(|who| Owner {
                priority: 0,
                spare: 1,
                waits: waits(who),
                start: Some(Duration::from_secs(40)),
            })
            .collect(),
        promises: Vec::new(),
    }
}

fn bench(c: &mut Criterion) {
    let facts = crowd();
    c.bench_function("share 64 GPUs among 1000 deployments", |b| {
        b.iter(|| black_box(share(black_box(&facts))));
    });
    let facts = workers();
    let starts = StartFacts::default();
    for (name, rules) in [("the default rule", ONE), ("six rules", ALL)] {
        let scaling = scaling(rules);
        let mut state = ScaleState::new(WORKERS, History::default(), Duration::from_secs(100_000));
        let mut number = 0;
        c.bench_function(&format!("decide and plan, 1000 workers, {name}"), |b| {
            b.iter(|| {
                number += 1;
                let now = Duration::from_secs(100_000 + number);
                let seen = second(number, &state);
                let decision = decide(&scaling, &seen, &mut state, now);
                // Those that are not desired any more are gone a moment later.
                let there = facts.len().min(decision.desired as usize);
                let situation = Situation {
                    workers: &facts[..there],
                    starts: &starts,
                    start_timeout: Some(Duration::from_secs(600)),
                    starts_wait: false,
                    update: Default::default(),
                };
                black_box(plan(&decision, &situation, now))
            });
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
