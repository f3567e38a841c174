//! What those who wait are told, and who is not let wait in vain.

use std::{sync::Barrier, thread};

use penstock_balancer::{Overflow, key};

use super::*;
use crate::count::metrics::Settled;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Starts take 90 s, and never less than 80 s. One begins with the first request.
fn learned() -> Coming {
    Coming {
        start_p50: Some(seconds(90)),
        start_p90: Some(seconds(100)),
        start_least: Some(seconds(80)),
        ..Coming::default()
    }
}

/// A deployment of at most one worker that takes `max_concurrency` requests.
fn of_one(max_concurrency: u32) -> Fixture {
    Fixture::with(&format!(
        "max_concurrency = {max_concurrency}
        scaling = {{ max = 1 }}"
    ))
}

/// A deployment without a worker.
fn cold(fixture: &Fixture, coming: Coming) -> Arc<DeploymentState> {
    let deployment = fixture.deployment(Phase::Cold, &[]);
    follow(&deployment, fixture, coming);
    deployment
}

/// What control says next: no worker is there.
fn follow(deployment: &Arc<DeploymentState>, fixture: &Fixture, coming: Coming) {
    let fleet = DeploymentFleet {
        coming,
        ..fixture.fleet(Phase::Starting, &[])
    };
    deployment.apply(&fleet, Policy::LeastConnections, EjectRules::default());
}

/// Somebody comes who can wait for so long.
fn ask(deployment: &Arc<DeploymentState>, hash: Option<u64>, patience: u64) -> Admission {
    let now = deployment.now();
    let wanted = Wanted {
        pick_by: &PickBy { hash },
        tried: &[],
        now,
        max_queued: 1000,
        has_place: false,
    };
    let until = now + seconds(patience);
    deployment.admit(wanted, || {
        (Turn::default(), Patience { until, sheds: true })
    })
}

/// The workers had so many requests, which took so long each.
fn served(deployment: &DeploymentState, count: u32, each: Duration) {
    for _ in 0..count {
        deployment.service_time.record(each);
        deployment.metrics.request(&Settled {
            status: 200,
            reason: None,
            duration: each + seconds(1),
            first_byte: None,
            queue_wait: Some(seconds(1)),
        });
    }
}

/// Position and eta in whole seconds.
fn told(wait_notice: Option<crate::base::wait_notice::WaitNotice>) -> (usize, Option<u64>) {
    let wait_notice = wait_notice.unwrap();
    let eta = wait_notice.eta.map(|eta| eta.as_secs_f64().round() as u64);
    (wait_notice.position, eta)
}

#[tokio::test(start_paused = true)]
async fn who_cannot_wait_for_a_start_is_refused_at_once_and_wakes_it_all_the_same() {
    let fixture = of_one(4);
    let deployment = cold(&fixture, learned());
    let Admission::Refused(refusal) = ask(&deployment, None, 10) else {
        panic!("a start takes 80 s");
    };
    assert_eq!(refusal.reason, Reason::TooLate);
    assert_eq!(refusal.retry_after, Some(seconds(90)));
    assert_eq!(told(refusal.wait_notice), (1, Some(90)));
    assert_eq!(deployment.report(seconds(0)).no_capacity, 1);
    let woken = deployment.poke.poked();
    tokio::time::timeout(seconds(1), woken).await.unwrap();
    // It might be served, at the best.
    let waiter = queued(ask(&deployment, None, 80));
    assert_eq!(told(waiter.wait_notice), (1, Some(90)));
}

#[tokio::test(start_paused = true)]
async fn who_might_be_served_is_let_wait() {
    let fixture = of_one(4);
    let waits = |coming: Coming| drop(queued(ask(&cold(&fixture, coming), None, 10)));
    // Nothing is known of starts, or not of those of this revision.
    waits(Coming::default());
    waits(Coming {
        start_least: None,
        ..learned()
    });
    // A start has been under way for long enough, or nobody knows for how long.
    let starting = |oldest| Coming {
        starting: 1,
        oldest,
        ..learned()
    };
    waits(starting(Some(seconds(70))));
    waits(starting(None));
    // A worker is there, and may be ready at any moment.
    let deployment = fixture.deployment(Phase::Starting, &[(0, State::Draining)]);
    let fleet = DeploymentFleet {
        coming: learned(),
        ..fixture.fleet(Phase::Starting, &[(0, State::Draining)])
    };
    deployment.apply(&fleet, Policy::LeastConnections, EjectRules::default());
    drop(queued(ask(&deployment, None, 10)));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_under_way_shortens_the_wait_as_time_passes() {
    let fixture = of_one(1);
    let deployment = cold(
        &fixture,
        Coming {
            starting: 1,
            oldest: Some(seconds(5)),
            ..learned()
        },
    );
    let refused = |deployment| matches!(ask(deployment, None, 70), Admission::Refused(_));
    assert!(refused(&deployment));
    tokio::time::advance(seconds(6)).await;
    let first = queued(ask(&deployment, None, 70));
    assert_eq!(told(first.wait_notice), (1, Some(79)));
    // There is one place for two, and how long a request takes is not known.
    let second = queued(ask(&deployment, None, 70));
    assert_eq!(told(second.wait_notice), (2, None));
    tokio::time::advance(seconds(85)).await;
    assert_eq!(told(queued(ask(&deployment, None, 70)).wait_notice).0, 3);
}

#[tokio::test(start_paused = true)]
async fn when_the_worker_they_wait_for_dies_only_those_go_on_waiting_who_have_the_time() {
    let fixture = of_one(4);
    let started = Coming {
        starting: 1,
        oldest: Some(seconds(75)),
        ..learned()
    };
    let deployment = cold(&fixture, started);
    let mut short = queued(ask(&deployment, None, 20));
    let long = queued(ask(&deployment, None, 200));
    let again = Coming {
        oldest: Some(seconds(0)),
        ..started
    };
    follow(&deployment, &fixture, again);
    let refusal = short.granted().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::TooLate);
    assert_eq!(refusal.retry_after, Some(seconds(90)));
    assert_eq!(deployment.queue.len(), 1);
    assert!(long.give_up().is_none());
}

#[tokio::test(start_paused = true)]
async fn who_has_more_before_it_than_can_be_done_in_its_time_is_refused() {
    let deployment = of_one(2).deployment(Phase::Warm, &READY);
    let _busy = [0; 2].map(|_| leased(ask(&deployment, None, 1)));
    let mut waiting: Vec<_> = (0..200)
        .map(|_| queued(ask(&deployment, None, 3000)))
        .collect();
    // Nothing is known yet.
    drop(queued(ask(&deployment, None, 2)));
    served(&deployment, 1000, seconds(10));
    tokio::time::advance(seconds(2)).await;
    let Admission::Refused(refusal) = ask(&deployment, None, 2) else {
        panic!("two hundred take a thousand seconds");
    };
    assert_eq!(refusal.reason, Reason::TooLate);
    assert_eq!(told(refusal.wait_notice), (201, Some(1005)));
    assert_eq!(refusal.retry_after, Some(seconds(600)));
    // Those before it may be twice as quick as others were.
    waiting.push(queued(ask(&deployment, None, 600)));
    // With few before it, all of these may be quick.
    waiting.truncate(3);
    waiting.push(queued(ask(&deployment, None, 2)));
}

#[tokio::test(start_paused = true)]
async fn the_eta_follows_from_how_long_requests_took_and_who_is_before() {
    let deployment = of_one(2).deployment(Phase::Warm, &READY);
    let _busy = [0; 2].map(|_| leased(ask(&deployment, None, 1)));
    served(&deployment, 1, seconds(10));
    let first = queued(ask(&deployment, None, 100));
    let second = queued(ask(&deployment, None, 100));
    assert_eq!(told(first.wait_notice), (1, Some(5)));
    assert_eq!(told(second.wait_notice), (2, Some(10)));
    assert_eq!(deployment.retry_after(deployment.now()), Some(seconds(15)));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_one_worker_has_the_place_among_those_who_wait_for_it() {
    let both = [(0, State::Ready), (1, State::Ready)];
    let fixture = Fixture::new(1);
    let deployment = fixture.with_policy(Policy::Hash(Overflow::Never), Phase::Warm, &both);
    served(&deployment, 1, seconds(10));
    let mut busy = Vec::new();
    let mut hashes: [Vec<u64>; 2] = Default::default();
    for hash in (0..100_u64).map(|number| key(&number.to_le_bytes())) {
        let lease = leased(ask(&deployment, Some(hash), 1));
        hashes[lease.worker().slot as usize].push(hash);
    }
    for hashes in &hashes {
        busy.push(leased(ask(&deployment, Some(hashes[0]), 1)));
    }
    let of_zero = [0; 3].map(|_| queued(ask(&deployment, Some(hashes[0][0]), 100)));
    let of_one = queued(ask(&deployment, Some(hashes[1][0]), 100));
    assert_eq!(told(of_one.wait_notice), (1, Some(10)));
    assert_eq!(told(of_zero[2].wait_notice), (3, Some(30)));
}

#[test]
fn no_two_that_come_at_once_are_told_the_same_position() {
    const EACH: usize = 200;
    let fixture = of_one(1);
    let deployment = cold(&fixture, learned());
    let start = Barrier::new(4);
    let mut positions: Vec<_> = thread::scope(|scope| {
        let ask_often = || {
            start.wait();
            let ask = |_| queued(ask(&deployment, None, 1000));
            (0..EACH).map(ask).collect::<Vec<_>>()
        };
        let threads = [0; 4].map(|_| scope.spawn(ask_often));
        let waiters = threads.map(|thread| thread.join().unwrap());
        let told = |waiter: &Waiter| waiter.wait_notice.unwrap().position;
        waiters.iter().flatten().map(told).collect()
    });
    positions.sort_unstable();
    assert!(positions.into_iter().eq(1..=4 * EACH));
}
