use std::sync::Arc;

use penstock_config::fleet::WorkerId;

use super::*;
use crate::{
    explain::steps,
    plan::{StartFacts, plan},
    scale::{Decision, Reason},
};

const NOW: Duration = Duration::from_secs(1_000);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn worker(slot: u32, stage: Stage, in_flight: u32) -> WorkerFacts {
    WorkerFacts {
        id: WorkerId(Arc::from(format!("w{slot}"))),
        slot,
        stage,
        started_at: NOW - seconds(12),
        in_flight,
        adopted: false,
        outdated: false,
        is_proven: false,
        broken: None,
    }
}

fn draining(slot: u32, in_flight: u32, gates_closed: bool) -> WorkerFacts {
    let stage = Stage::Draining {
        deadline: NOW + seconds(25),
        gates_closed,
        cancellable: true,
    };
    worker(slot, stage, in_flight)
}

fn situation<'a>(workers: &'a [WorkerFacts], starts: &'a StartFacts) -> Situation<'a> {
    Situation {
        workers,
        starts,
        start_timeout: Some(seconds(15)),
        starts_wait: false,
        update: Default::default(),
    }
}

/// What is waited for with so many workers desired.
fn waits(desired: u32, workers: &[WorkerFacts], starts: &StartRecord) -> Vec<String> {
    let situation = situation(workers, starts.facts());
    let waits = Waits {
        desired,
        situation: &situation,
        starts,
        now: NOW,
    };
    waits.steps().into_iter().map(|step| step.words).collect()
}

#[test]
fn every_worker_says_what_it_waits_for() {
    let outdated = WorkerFacts {
        outdated: true,
        ..worker(6, Stage::Ready, 1)
    };
    let adopted = WorkerFacts {
        adopted: true,
        ..worker(7, Stage::Starting, 0)
    };
    let workers = [
        adopted,
        worker(0, Stage::Ready, 3),
        draining(1, 0, false),
        draining(2, 0, true),
        draining(3, 2, true),
        worker(4, Stage::NotReady, 0),
        worker(5, Stage::Stopping, 0),
        outdated,
        worker(8, Stage::Starting, 0),
    ];
    let mut starts = StartRecord::default();
    assert_eq!(
        waits(0, &workers, &starts),
        [
            "worker 1 drains: it is stopped when every gateway sends it nothing any more, in 25 s at the latest",
            "worker 2 has drained and is about to be stopped",
            "worker 3 drains: waits for 2 requests in flight, 25 s at most",
            "worker 4 gets no requests: its readiness probe fails",
            "worker 5 is being ended",
            "worker 6 runs an older revision: it goes when another one stands in for it",
            "worker 7 is of an earlier run: waits for its readiness probe",
            "worker 8 has been starting for 12 s, the first of the deployment; it is given up in 3.0 s",
        ]
    );
    for took in [30, 30, 42] {
        starts.ready(Duration::ZERO, seconds(took));
    }
    assert_eq!(
        waits(0, &workers[8..], &starts),
        [
            "worker 8 has been starting for 12 s, which takes 30 s, in nine of ten cases at most 42 s; it is given up in 3.0 s"
        ]
    );
}

#[test]
fn why_a_worker_is_not_started_is_told_with_the_time_that_is_left() {
    let ready = [worker(0, Stage::Ready, 3)];
    let mut starts = StartRecord::default();
    assert_eq!(waits(3, &ready, &starts), [""; 0]);
    // Starts that began before the last failure do not count as further ones.
    let later = NOW + Duration::from_millis(1);
    starts.crashed("exit status 1".into(), later, NOW);
    let one = "2 more workers are started in 1.0 s: the last start failed";
    assert_eq!(waits(3, &ready, &starts), [one]);
    starts.crashed("exit status 1".into(), later, NOW);
    let two = "1 more worker is started in 2.0 s: 2 starts in a row failed";
    assert_eq!(waits(2, &ready, &starts), [two]);
    starts.crashed("exit status 1".into(), later, NOW);
    let refused = "no worker is started for 4.0 s more: exit status 1";
    assert_eq!(waits(2, &ready, &starts), [refused]);
    let mut starts = StartRecord::default();
    starts.no_room("no GPU free".into(), NOW);
    let no_room = "1 more worker is started as soon as there is room: no GPU free";
    assert_eq!(waits(2, &ready, &starts), [no_room]);
}

#[test]
fn a_plan_names_the_workers_and_the_reasons() {
    let facts = StartFacts::default();
    let workers = [
        worker(0, Stage::Ready, 3),
        worker(1, Stage::Ready, 1),
        worker(2, Stage::Ready, 0),
        draining(3, 0, true),
    ];
    let words = |workers: &[WorkerFacts], desired| {
        let situation = situation(workers, &facts);
        let decision = Decision::fixed(0, desired, Reason::Steady);
        let steps = steps(&plan(&decision, &situation, NOW), &situation);
        let words = steps
            .into_iter()
            .map(|step| (step.action, step.worker, step.words));
        words.collect::<Vec<_>>()
    };
    let said =
        |action: &'static str, slot, words: &str| (action.into(), Some(slot), words.to_owned());
    assert_eq!(
        words(&workers, 1),
        [
            said("stop", 3, "worker 3 is stopped: nothing is left to do"),
            said("drain", 2, "worker 2 drains: not needed any more"),
            said(
                "drain",
                1,
                "worker 1 drains, with 1 request in flight: not needed any more"
            ),
        ]
    );
    assert_eq!(
        words(&workers, 5),
        [
            said(
                "undrain",
                3,
                "worker 3 drains no longer: it is needed again"
            ),
            said("start", 4, "worker 4 is started"),
        ]
    );
}
