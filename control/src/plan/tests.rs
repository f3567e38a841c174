use std::{sync::Arc, time::Duration};

use penstock_config::Part;

use super::*;
use crate::scale::Reason;

const NOW: Duration = Duration::from_secs(1000);
const DEADLINE: Duration = Duration::from_secs(1030);

fn worker(slot: u32, stage: Stage, in_flight: u32) -> WorkerFacts {
    WorkerFacts {
        id: id(slot),
        slot,
        stage,
        // A higher slot is younger.
        started_at: Duration::from_secs(900 + u64::from(slot)),
        in_flight,
        adopted: false,
        outdated: false,
        is_proven: false,
        broken: None,
    }
}

fn id(slot: u32) -> WorkerId {
    WorkerId(Arc::from(format!("w{slot}")))
}

fn outdated(worker: WorkerFacts) -> WorkerFacts {
    WorkerFacts {
        outdated: true,
        ..worker
    }
}

fn draining(gates_closed: bool) -> Stage {
    Stage::Draining {
        deadline: DEADLINE,
        gates_closed,
        cancellable: true,
    }
}

fn plan_for(desired: u32, workers: &[WorkerFacts]) -> Vec<Action> {
    plan_with(desired, workers, &StartFacts::default(), NOW).actions
}

fn plan_with(desired: u32, workers: &[WorkerFacts], starts: &StartFacts, now: Duration) -> Plan {
    let decision = Decision::fixed(desired, desired, Reason::Steady);
    let start_timeout = Some(Duration::from_secs(600));
    plan(
        &decision,
        &Situation {
            workers,
            starts,
            start_timeout,
            starts_wait: false,
            update: Default::default(),
        },
        now,
    )
}

fn drain(slot: u32, why: DrainCause) -> Action {
    Action::Drain { id: id(slot), why }
}

fn stop(slot: u32, why: StopCause) -> Action {
    Action::Stop { id: id(slot), why }
}

use Stage::{NotReady, Ready, Starting, Stopping};

#[test]
fn missing_workers_are_started_with_the_smallest_free_numbers() {
    let workers = [worker(1, Ready, 0), worker(3, Stopping, 0)];
    let started = [0, 2, 4].map(|slot| Action::Start { slot });
    assert_eq!(plan_for(4, &workers), started);
}

#[test]
fn workers_on_their_way_are_counted() {
    assert_eq!(
        plan_for(2, &[worker(0, Starting, 0), worker(1, NotReady, 0)]),
        []
    );
}

#[test]
fn the_least_busy_worker_goes_first_then_the_one_not_ready_then_the_youngest() {
    let busy = [
        worker(0, Ready, 3),
        worker(1, Ready, 1),
        worker(2, Ready, 2),
    ];
    assert_eq!(plan_for(2, &busy), [drain(1, DrainCause::Surplus)]);
    let idle = [worker(0, Ready, 0), worker(1, Ready, 0)];
    assert_eq!(plan_for(1, &idle), [drain(1, DrainCause::Surplus)]);
    let unready = [
        worker(0, NotReady, 0),
        worker(1, Ready, 0),
        worker(2, Ready, 0),
    ];
    assert_eq!(plan_for(2, &unready), [drain(0, DrainCause::Surplus)]);
    let starting = [worker(0, Starting, 0), worker(1, Ready, 0)];
    assert_eq!(plan_for(1, &starting), [stop(0, StopCause::Unwanted)]);
}

#[test]
fn a_drained_worker_is_stopped_when_all_gates_are_closed_and_nothing_is_in_flight() {
    assert_eq!(
        plan_for(0, &[worker(0, draining(true), 0)]),
        [stop(0, StopCause::Drained)]
    );
    assert_eq!(plan_for(0, &[worker(0, draining(true), 1)]), []);
    assert_eq!(plan_for(0, &[worker(0, draining(false), 0)]), []);
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let workers = [worker(0, draining(false), 7)];
    let waiting = plan_with(0, &workers, &StartFacts::default(), NOW);
    assert_eq!((waiting.actions, waiting.wake_at), (vec![], Some(DEADLINE)));
    let over = plan_with(0, &workers, &StartFacts::default(), DEADLINE);
    assert_eq!(over.actions, [stop(0, StopCause::DrainDeadline)]);
}

#[test]
fn load_that_returns_takes_draining_workers_back_before_any_is_started() {
    let workers = [worker(0, draining(true), 0), worker(1, draining(false), 2)];
    let busiest_first = [Action::Undrain { id: id(1) }];
    let actions = plan_for(1, &workers);
    assert_eq!(actions[1..], busiest_first);
    assert_eq!(actions[0], stop(0, StopCause::Drained));
    let both = plan_for(3, &workers);
    let expected = [
        Action::Undrain { id: id(1) },
        Action::Undrain { id: id(0) },
        Action::Start { slot: 2 },
    ];
    assert_eq!(
        both, expected,
        "the drained one is not stopped when it is needed"
    );
}

#[test]
fn a_worker_that_drains_for_good_is_not_taken_back() {
    let gone = Stage::Draining {
        deadline: DEADLINE,
        gates_closed: false,
        cancellable: false,
    };
    assert_eq!(
        plan_for(1, &[worker(0, gone, 2)]),
        [Action::Start { slot: 1 }]
    );
}

#[test]
fn a_late_start_is_stopped_and_not_repeated_in_the_same_breath() {
    let late = worker(0, Starting, 0);
    let now = late.started_at + Duration::from_secs(600);
    let plan = plan_with(1, &[late], &StartFacts::default(), now);
    assert_eq!(plan.actions, [stop(0, StopCause::StartTimeout)]);
}

#[test]
fn after_a_failure_nothing_is_started_before_its_time() {
    let starts = StartFacts {
        not_before: Some(NOW + Duration::from_secs(4)),
        ..StartFacts::default()
    };
    let waiting = plan_with(1, &[], &starts, NOW);
    assert_eq!(
        (waiting.actions, waiting.wake_at),
        (vec![], starts.not_before)
    );
    let now = NOW + Duration::from_secs(4);
    assert_eq!(
        plan_with(1, &[], &starts, now).actions,
        [Action::Start { slot: 0 }]
    );
}

#[test]
fn a_worker_that_fails_its_liveness_probe_is_drained_and_replaced() {
    let broken = Some(Arc::from("no answer"));
    let workers = [WorkerFacts {
        broken: broken.clone(),
        ..worker(0, Ready, 5)
    }];
    assert_eq!(
        plan_for(1, &workers),
        [drain(0, DrainCause::Broken), Action::Start { slot: 1 }]
    );
    let starting = [WorkerFacts {
        broken,
        ..worker(0, Starting, 0)
    }];
    assert_eq!(plan_for(1, &starting)[0], stop(0, StopCause::Broken));
}

#[test]
fn a_new_revision_comes_one_at_a_time_and_the_old_goes_when_it_is_ready() {
    let old = [outdated(worker(0, Ready, 9)), outdated(worker(1, Ready, 0))];
    assert_eq!(plan_for(2, &old), [Action::Start { slot: 2 }]);
    let coming = [old[0].clone(), old[1].clone(), worker(2, Starting, 0)];
    assert_eq!(plan_for(2, &coming), []);
    let here = [old[0].clone(), old[1].clone(), worker(2, Ready, 0)];
    assert_eq!(plan_for(2, &here), [drain(1, DrainCause::Outdated)]);
    let next = [
        old[0].clone(),
        outdated(worker(1, draining(false), 0)),
        worker(2, Ready, 0),
    ];
    // It holds what it holds until nothing is left of it.
    assert_eq!(plan_for(2, &next), []);
    let gone = [old[0].clone(), worker(2, Ready, 0)];
    assert_eq!(plan_for(2, &gone), [Action::Start { slot: 1 }]);
}

fn plan_by(update: Update, desired: u32, workers: &[WorkerFacts]) -> Vec<Action> {
    let decision = Decision::fixed(desired, desired, Reason::Steady);
    let situation = Situation {
        workers,
        starts: &StartFacts::default(),
        start_timeout: None,
        starts_wait: false,
        update,
    };
    plan(&decision, &situation, NOW).actions
}

#[test]
fn as_many_go_at_once_as_may_be_missing_and_as_many_come_as_there_may_be_above() {
    let update = Update::Rolling {
        max_surge: Part::Percent(10),
        max_unavailable: Part::Percent(20),
    };
    let old: Vec<_> = (0..10)
        .map(|slot| outdated(worker(slot, Ready, 0)))
        .collect();
    let first = plan_by(update, 10, &old);
    assert_eq!(
        first,
        [
            Action::Start { slot: 10 },
            drain(9, DrainCause::Outdated),
            drain(8, DrainCause::Outdated)
        ]
    );
    let all_drain = plan_by(Update::Recreate, 10, &old);
    assert_eq!(all_drain.len(), 10, "{all_drain:?}");
    let last = [outdated(worker(0, Stopping, 0))];
    assert_eq!(plan_by(Update::Recreate, 2, &last), []);
    let started = [0, 1].map(|slot| Action::Start { slot });
    assert_eq!(plan_by(Update::Recreate, 2, &[]), started);
}

#[test]
fn an_outdated_worker_that_serves_nobody_goes_at_once() {
    let workers = [
        outdated(worker(0, Starting, 0)),
        outdated(worker(1, NotReady, 0)),
    ];
    let actions = plan_for(2, &workers);
    assert!(actions.contains(&Action::Start { slot: 2 }));
    assert!(actions.contains(&stop(0, StopCause::Unwanted)));
    assert!(actions.contains(&drain(1, DrainCause::Outdated)));
}

#[test]
fn without_room_for_the_new_revision_one_old_worker_goes_first() {
    let starts = no_room();
    let old = [outdated(worker(0, Ready, 4)), outdated(worker(1, Ready, 1))];
    let first = plan_with(2, &old, &starts, NOW).actions;
    assert_eq!(first, [drain(1, DrainCause::GivesWay)]);
    let giving_way = [old[0].clone(), outdated(worker(1, draining(false), 1))];
    assert_eq!(
        plan_with(2, &giving_way, &starts, NOW).actions,
        [],
        "only one at a time"
    );
}

#[test]
fn the_next_old_worker_gives_way_when_the_successor_of_the_first_is_ready() {
    let old = outdated(worker(0, Ready, 4));
    // The first has just gone: its successor may be tried at once.
    let room_may_exist = StartFacts {
        not_before: None,
        gave_way: true,
        ..no_room()
    };
    let alone = std::slice::from_ref(&old);
    let actions = plan_with(2, alone, &room_may_exist, NOW).actions;
    assert_eq!(
        actions,
        [Action::Start { slot: 1 }, Action::Start { slot: 2 }]
    );
    // Somebody else was quicker and has the room.
    let taken = StartFacts {
        gave_way: true,
        ..no_room()
    };
    assert_eq!(plan_with(2, alone, &taken, NOW).actions, []);
    let coming = [old.clone(), worker(1, Starting, 0)];
    assert_eq!(plan_with(2, &coming, &no_room(), NOW).actions, []);
    let ready = [old, worker(1, Ready, 0)];
    assert_eq!(
        plan_with(2, &ready, &no_room(), NOW).actions,
        [drain(0, DrainCause::GivesWay)]
    );
}

#[test]
fn an_update_whose_workers_fail_stops_and_the_old_ones_serve_on() {
    let failing = StartFacts {
        failing: true,
        ..no_room()
    };
    let old = [outdated(worker(0, Ready, 4)), outdated(worker(1, Ready, 1))];
    assert_eq!(
        plan_with(2, &old, &failing, NOW).actions,
        [],
        "none gives way"
    );
    // One got ready, but crashed before and may do so again.
    let unproven = [old[0].clone(), old[1].clone(), worker(2, Ready, 0)];
    assert_eq!(plan_with(2, &unproven, &failing, NOW).actions, []);
    let fewer = plan_with(1, &unproven, &failing, NOW).actions;
    assert_eq!(fewer, [drain(1, DrainCause::Outdated)], "fewer are wanted");
    let proven = plan_for(2, &unproven);
    assert_eq!(proven, [drain(1, DrainCause::Outdated)]);
}

fn no_room() -> StartFacts {
    StartFacts {
        not_before: Some(DEADLINE),
        no_room: Some("no GPU free".into()),
        ..StartFacts::default()
    }
}

#[test]
fn at_zero_everything_goes_whatever_its_revision() {
    let workers = [
        worker(0, Ready, 1),
        outdated(worker(1, Ready, 0)),
        worker(2, Starting, 0),
    ];
    let actions = plan_for(0, &workers);
    assert_eq!(actions.len(), 3);
    assert!(actions.contains(&stop(2, StopCause::Unwanted)));
    assert!(actions.contains(&drain(0, DrainCause::Surplus)));
    assert!(actions.contains(&drain(1, DrainCause::Outdated)));
}

#[test]
fn starts_wait_until_workers_of_an_earlier_run_are_taken_over() {
    let decision = Decision::fixed(1, 1, Reason::Steady);
    let starts = StartFacts::default();
    let situation = Situation {
        workers: &[],
        starts: &starts,
        start_timeout: None,
        starts_wait: true,
        update: Default::default(),
    };
    assert_eq!(plan(&decision, &situation, NOW), Plan::default());
}
