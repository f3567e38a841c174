//! Who is next, where requests do not all wait for the same.

use penstock_balancer::{Overflow, key};

use super::*;

const BOTH: [(u32, State); 2] = [(0, State::Ready), (1, State::Ready)];
const AFFINITY: Policy = Policy::Hash(Overflow::Never);

/// A request and what it wants.
#[derive(Clone, Copy)]
struct Asks<'a> {
    hash: Option<u64>,
    tried: &'a [u64],
    turn: Turn,
}

const ANYTHING: Asks<'_> = Asks {
    hash: None,
    tried: &[],
    turn: Turn {
        arrived: Duration::ZERO,
        delay: Duration::ZERO,
        key: None,
        returned: false,
    },
};

/// A request that comes back because these workers failed it.
fn failed_by(tried: &[u64]) -> Asks<'_> {
    Asks {
        tried,
        turn: Turn {
            returned: true,
            ..ANYTHING.turn
        },
        ..ANYTHING
    }
}

fn ask(deployment: &Arc<DeploymentState>, asks: Asks<'_>, max_queued: usize) -> Admission {
    let pick_by = PickBy { hash: asks.hash };
    let wanted = Wanted {
        pick_by: &pick_by,
        tried: asks.tried,
        now: Duration::ZERO,
        max_queued,
        has_place: false,
    };
    deployment.admit(wanted, || patiently(asks.turn))
}

/// A request that belongs to the worker in `slot`, one of the first `slots`.
fn at_home_in(deployment: &Arc<DeploymentState>, slot: u32) -> Asks<'static> {
    let hashes = (0..1000_u64).map(|number| key(&number.to_le_bytes()));
    let mut asks = hashes.map(|hash| Asks {
        hash: Some(hash),
        ..ANYTHING
    });
    let belongs = |asks: &Asks<'_>| slot_of(&leased(ask(deployment, *asks, 0))) == slot;
    asks.find(belongs)
        .expect("one of a thousand belongs to each")
}

fn slot_of(lease: &Lease) -> u32 {
    lease.worker().slot
}

#[tokio::test]
async fn a_request_waits_for_its_worker_while_others_pass_to_theirs() {
    let deployment = Fixture::new(1).with_policy(AFFINITY, Phase::Warm, &BOTH);
    let (zero, one) = (at_home_in(&deployment, 0), at_home_in(&deployment, 1));
    let busy = leased(ask(&deployment, zero, 1));
    let mut waits = queued(ask(&deployment, zero, 1));
    // The only place in the queue is taken, and no reason to refuse who need not wait.
    assert!(matches!(ask(&deployment, zero, 1), Admission::Refused(_)));
    let passes = leased(ask(&deployment, one, 1));
    assert_eq!(slot_of(&passes), 1);
    drop(passes);
    let anywhere = leased(ask(&deployment, ANYTHING, 1));
    assert_eq!(slot_of(&anywhere), 1);
    assert_eq!(deployment.queue.len(), 1);
    drop(busy);
    assert_eq!(slot_of(&waits.granted().await.unwrap()), 0);
}

#[tokio::test]
async fn who_waits_for_a_worker_that_goes_gets_another() {
    let fixture = Fixture::new(1);
    let deployment = fixture.with_policy(AFFINITY, Phase::Warm, &BOTH);
    let zero = at_home_in(&deployment, 0);
    let _busy = leased(ask(&deployment, zero, 10));
    let mut waits = queued(ask(&deployment, zero, 10));
    let draining = [(0, State::Draining), (1, State::Ready)];
    deployment.apply(
        &fixture.fleet(Phase::Warm, &draining),
        AFFINITY,
        EjectRules::default(),
    );
    assert_eq!(slot_of(&waits.granted().await.unwrap()), 1);
}

#[tokio::test]
async fn who_waits_for_a_worker_that_is_ejected_gets_another() {
    let deployment = Fixture::new(1).with_policy(AFFINITY, Phase::Warm, &BOTH);
    let zero = at_home_in(&deployment, 0);
    let busy = leased(ask(&deployment, zero, 10));
    let mut waits = queued(ask(&deployment, zero, 10));
    busy.worker().gate().eject();
    deployment.serve_queue();
    assert_eq!(slot_of(&waits.granted().await.unwrap()), 1);
}

#[tokio::test]
async fn who_waits_from_before_there_were_workers_gets_its_own() {
    let fixture = Fixture::new(1);
    let deployment = fixture.with_policy(AFFINITY, Phase::Starting, &[]);
    let asks = Asks {
        hash: Some(key(b"somebody")),
        ..ANYTHING
    };
    let mut first = queued(ask(&deployment, asks, 10));
    let second = queued(ask(&deployment, asks, 10));
    deployment.apply(
        &fixture.fleet(Phase::Warm, &BOTH),
        AFFINITY,
        EjectRules::default(),
    );
    let lease = first.granted().await.unwrap();
    let home = slot_of(&lease);
    assert!(
        second.give_up().is_none(),
        "the other worker is not its own"
    );
    drop(lease);
    assert_eq!(slot_of(&leased(ask(&deployment, asks, 10))), home);
}

#[tokio::test]
async fn a_request_that_a_worker_failed_waits_for_another_and_holds_up_nobody() {
    let deployment = Fixture::new(1).deployment(Phase::Warm, &BOTH);
    let bad = leased(ask(&deployment, ANYTHING, 10));
    let good = leased(ask(&deployment, ANYTHING, 10));
    let mut behind = queued(ask(&deployment, ANYTHING, 10));
    let (bad_key, bad_slot) = (bad.worker().key, slot_of(&bad));
    let mut failed = queued(ask(&deployment, failed_by(&[bad_key]), 10));
    drop(bad);
    assert_eq!(slot_of(&behind.granted().await.unwrap()), bad_slot);
    let mut late = queued(ask(&deployment, ANYTHING, 10));
    drop(good);
    assert_ne!(slot_of(&failed.granted().await.unwrap()), bad_slot);
    assert!(late.granted().await.is_ok());
}

#[tokio::test]
async fn a_request_that_the_only_worker_failed_gets_it_again_before_the_others() {
    let deployment = Fixture::new(1).deployment(Phase::Warm, &READY);
    let only = leased(ask(&deployment, ANYTHING, 10));
    let others = queued(ask(&deployment, ANYTHING, 10));
    let tried = [only.worker().key];
    let mut again = queued(ask(&deployment, failed_by(&tried), 10));
    drop(only);
    assert!(again.granted().await.is_ok());
    drop(others);
}

#[tokio::test]
async fn classes_and_keys_decide_who_is_next() {
    let deployment = Fixture::new(1).deployment(Phase::Warm, &READY);
    let busy = leased(ask(&deployment, ANYTHING, 10));
    let asks = |key, delay| Asks {
        turn: Turn {
            key: Some(key),
            delay: Duration::from_secs(delay),
            ..ANYTHING.turn
        },
        ..ANYTHING
    };
    let batch = queued(ask(&deployment, asks(1, 30), 10));
    let flood = [0; 3].map(|_| queued(ask(&deployment, asks(1, 0), 10)));
    let other = queued(ask(&deployment, asks(2, 0), 10));
    drop(busy);
    let [first, second, third] = flood;
    for mut next in [first, other, second, third, batch] {
        drop(next.granted().await.unwrap());
    }
    assert_eq!(deployment.queue.len(), 0);
}

#[tokio::test]
async fn who_floods_a_full_queue_makes_room_for_another() {
    let deployment = Fixture::new(1).deployment(Phase::Warm, &READY);
    let busy = leased(ask(&deployment, ANYTHING, 3));
    let of = |key| Asks {
        turn: Turn {
            key: Some(key),
            ..ANYTHING.turn
        },
        ..ANYTHING
    };
    let mut flood = [0; 3].map(|_| queued(ask(&deployment, of(1), 3)));
    assert!(matches!(ask(&deployment, of(1), 3), Admission::Refused(_)));
    let mut other = queued(ask(&deployment, of(2), 3));
    let refusal = flood[2].granted().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::QueueFull);
    let [first, mut second, third] = flood;
    drop((busy, first, third));
    drop(other.granted().await.unwrap());
    drop(second.granted().await.unwrap());
    drop((other, second));
    // As many places as before are free again.
    let _busy = leased(ask(&deployment, ANYTHING, 3));
    let _waiting = [0; 3].map(|_| queued(ask(&deployment, of(1), 3)));
    assert!(matches!(ask(&deployment, of(1), 3), Admission::Refused(_)));
}

#[test]
fn threads_that_wait_for_their_own_workers_lose_no_place() {
    let deployment = Fixture::new(2).with_policy(AFFINITY, Phase::Warm, &BOTH);
    let homes = [
        at_home_in(&deployment, 0),
        at_home_in(&deployment, 1),
        ANYTHING,
    ];
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let deployment = &deployment;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                for round in 0..1000_usize {
                    let home = (round + thread) % homes.len();
                    let lease = match ask(deployment, homes[home], 100) {
                        Admission::Leased(lease) => lease,
                        Admission::Queued(waiter) if round % 5 == 0 => {
                            drop(waiter);
                            continue;
                        }
                        Admission::Queued(mut waiter) => {
                            runtime.block_on(waiter.granted()).unwrap()
                        }
                        Admission::Refused(refusal) => panic!("{refusal:?}"),
                    };
                    assert!(lease.worker().gate().in_flight() <= 2);
                    assert!(home == 2 || slot_of(&lease) as usize == home);
                }
            });
        }
    });
    assert_eq!(deployment.queue.len(), 0);
    let report = deployment.report(Duration::ZERO);
    assert!(report.workers.iter().all(|worker| worker.in_flight == 0));
}
