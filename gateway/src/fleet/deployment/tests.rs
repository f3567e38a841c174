mod copies;
mod ejection;
mod eta;
mod fresh;
mod losses;
mod turns;

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering as Atomic},
};

use penstock_config::{
    Config,
    fleet::{Coming, Phase, WorkerEntry, WorkerId, WorkerState as State},
};

use penstock_balancer::{Overflow, Turn};

use super::*;
use crate::fleet::{
    lease::Lease,
    pick_by::PickBy,
    queue::{Patience, Waiter},
};

/// A deployment of processes, of which those in `ready` are ready.
struct Fixture {
    config: Config,
    places: Arc<Places>,
    reminders: Arc<Reminders>,
    /// Whether its workers are fresh.
    ramp: bool,
}

impl Fixture {
    fn new(max_concurrency: u32) -> Self {
        Self::with(&format!("max_concurrency = {max_concurrency}"))
    }

    /// One whose deployment has these settings.
    fn with(settings: &str) -> Self {
        let text = format!(
            "listeners = [{{ address = \"127.0.0.1:0\" }}]
            [services.chat.deployments.main]
            {settings}
            process = {{ command = [\"true\"] }}"
        );
        let config = penstock_config::parse(&text, Path::new("/test.toml"));
        Self {
            config: config.unwrap_or_else(|errors| panic!("{errors}")),
            places: Arc::default(),
            reminders: Arc::default(),
            ramp: false,
        }
    }

    fn fleet(&self, phase: Phase, workers: &[(u32, State)]) -> DeploymentFleet {
        let service = self.config.services.values().next().unwrap();
        let entries = workers.iter().map(|&(slot, state)| WorkerEntry {
            id: WorkerId(format!("worker {slot}").into()),
            slot,
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            host: None,
            state,
            weight: 1,
            ramp: self.ramp,
        });
        DeploymentFleet {
            spec: Arc::clone(service.deployments.values().next().unwrap()),
            weight: 1,
            phase,
            workers: entries.collect(),
            coming: Coming::default(),
        }
    }

    fn deployment(&self, phase: Phase, workers: &[(u32, State)]) -> Arc<DeploymentState> {
        self.with_policy(Policy::LeastConnections, phase, workers)
    }

    fn with_policy(
        &self,
        policy: Policy,
        phase: Phase,
        workers: &[(u32, State)],
    ) -> Arc<DeploymentState> {
        let around = Surroundings {
            service: self.config.services.keys().next().unwrap(),
            places: Arc::clone(&self.places),
            poke: Poke::default(),
            reminders: Arc::clone(&self.reminders),
            clock: Clock::start(),
            threads: 1,
        };
        let fleet = self.fleet(phase, workers);
        Arc::new(DeploymentState::new(
            &fleet,
            policy,
            EjectRules::default(),
            around,
        ))
    }
}

const READY: [(u32, State); 1] = [(0, State::Ready)];

fn failed() -> Phase {
    Phase::Failed {
        reason: "no such file".into(),
        retry_after: Duration::from_secs(4),
    }
}

/// The turn of somebody who waits for as long as it takes.
fn patiently(turn: Turn) -> (Turn, Patience) {
    let until = Duration::MAX;
    (turn, Patience { until, sheds: true })
}

fn admit(deployment: &Arc<DeploymentState>, max_queued: usize) -> Admission {
    let wanted = Wanted {
        pick_by: &PickBy::default(),
        tried: &[],
        now: Duration::ZERO,
        max_queued,
        has_place: false,
    };
    deployment.admit(wanted, || patiently(Turn::default()))
}

fn leased(admission: Admission) -> Lease {
    match admission {
        Admission::Leased(lease) => lease,
        Admission::Queued(_) => panic!("queued"),
        Admission::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

fn queued(admission: Admission) -> Waiter {
    match admission {
        Admission::Queued(waiter) => waiter,
        Admission::Leased(_) => panic!("leased"),
        Admission::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

fn refused(admission: Admission) -> Reason {
    match admission {
        Admission::Refused(refusal) => refusal.reason,
        Admission::Leased(_) => panic!("leased"),
        Admission::Queued(_) => panic!("queued"),
    }
}

#[tokio::test]
async fn who_waits_gets_the_place_of_who_ends_in_the_order_of_coming() {
    let deployment = Fixture::new(1).deployment(Phase::Warm, &READY);
    let first = leased(admit(&deployment, 10));
    let mut second = queued(admit(&deployment, 10));
    let mut third = queued(admit(&deployment, 10));
    drop(first);
    let second = second.granted().await.unwrap();
    // A new arrival finds the place taken and joins behind.
    let mut fourth = queued(admit(&deployment, 10));
    drop(second);
    let third = third.granted().await.unwrap();
    drop(third);
    assert!(fourth.granted().await.is_ok());
}

#[tokio::test]
async fn a_place_given_to_somebody_who_left_goes_to_the_next() {
    let deployment = Fixture::new(1).deployment(Phase::Warm, &READY);
    let first = leased(admit(&deployment, 10));
    let leaves = queued(admit(&deployment, 10));
    let mut stays = queued(admit(&deployment, 10));
    drop(first);
    // The place is on its way to the second, who has not taken it yet.
    drop(leaves);
    let lease = stays.granted().await.unwrap();
    assert_eq!(lease.worker().gate().in_flight(), 1);
    drop(lease);
    assert_eq!(deployment.queue.len(), 0);
    drop(leased(admit(&deployment, 10)));
}

#[tokio::test]
async fn a_worker_that_becomes_ready_wakes_as_many_as_it_has_places() {
    let fixture = Fixture::new(2);
    let deployment = fixture.deployment(Phase::Starting, &[]);
    let mut waiters: Vec<_> = (0..3).map(|_| queued(admit(&deployment, 10))).collect();
    deployment.apply(
        &fixture.fleet(Phase::Warm, &READY),
        Policy::LeastConnections,
        EjectRules::default(),
    );
    let third = waiters.pop().unwrap();
    let mut leases = Vec::new();
    for waiter in &mut waiters {
        leases.push(waiter.granted().await.unwrap());
    }
    assert!(third.give_up().is_none());
}

#[tokio::test]
async fn a_start_that_failed_for_good_answers_everybody_now_and_later() {
    let fixture = Fixture::new(1);
    let deployment = fixture.deployment(Phase::Starting, &[]);
    let mut waiters: Vec<_> = (0..3).map(|_| queued(admit(&deployment, 10))).collect();
    deployment.apply(
        &fixture.fleet(failed(), &[]),
        Policy::LeastConnections,
        EjectRules::default(),
    );
    for waiter in &mut waiters {
        let refusal = waiter.granted().await.unwrap_err();
        assert_eq!(refusal.reason, Reason::StartFailed);
        let after = refusal.retry_after.unwrap().as_secs_f64();
        assert!((3.0..=4.0).contains(&after), "{after}");
    }
    assert_eq!(refused(admit(&deployment, 10)), Reason::StartFailed);
    assert_eq!(deployment.queue.len(), 0);
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "pauses end by the wall clock")]
async fn a_pause_answers_everybody_in_the_operators_words_and_wakes_nobody() {
    let fixture = Fixture::new(1);
    let deployment = fixture.deployment(Phase::Warm, &READY);
    let held = leased(admit(&deployment, 10));
    let mut waiter = queued(admit(&deployment, 10));
    let apply = |until| {
        let reason = "new GPUs".into();
        let phase = Phase::Paused { reason, until };
        let fleet = fixture.fleet(phase, &[(0, State::Draining)]);
        deployment.apply(&fleet, Policy::LeastConnections, EjectRules::default());
    };
    apply(None);
    let refusal = waiter.granted().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::Paused);
    assert_eq!((&*refusal.detail, refusal.retry_after), ("new GPUs", None));
    drop(held);
    assert_eq!(refused(admit(&deployment, 10)), Reason::Paused);
    assert_eq!(deployment.queue.len(), 0);

    let now = std::time::SystemTime::now();
    let left = |until| {
        apply(Some(until));
        deployment.hopeless().unwrap().retry_after.unwrap()
    };
    let hour = left(now + Duration::from_secs(3600));
    assert!((3500..=3600).contains(&hour.as_secs()), "{hour:?}");
    assert_eq!(left(now - Duration::from_secs(1)), Duration::ZERO);
}

#[tokio::test]
async fn the_queue_holds_no_more_than_its_bound() {
    let deployment = Fixture::new(1).deployment(Phase::Starting, &[]);
    let waiters: Vec<_> = (0..2).map(|_| queued(admit(&deployment, 2))).collect();
    assert_eq!(refused(admit(&deployment, 2)), Reason::QueueFull);
    drop(waiters);
    queued(admit(&deployment, 2));
}

#[tokio::test]
async fn a_full_queue_tells_when_to_come_again() {
    let fixture = Fixture::new(1);
    let retry_after = |deployment: &Arc<DeploymentState>, now: u64| {
        let wanted = Wanted {
            pick_by: &PickBy::default(),
            tried: &[],
            now: Duration::from_secs(now),
            max_queued: 1,
            has_place: false,
        };
        match deployment.admit(wanted, || patiently(Turn::default())) {
            Admission::Refused(refusal) => refusal.retry_after.unwrap().as_secs(),
            _ => panic!("the queue is full"),
        }
    };
    let busy = fixture.deployment(Phase::Warm, &READY);
    let held = leased(admit(&busy, 1));
    let waits = queued(admit(&busy, 1));
    assert_eq!([retry_after(&busy, 0), retry_after(&busy, 7)], [1, 7]);
    drop((waits, held));

    let mut fleet = fixture.fleet(Phase::Starting, &[]);
    let start = Some(Duration::from_secs(30));
    fleet.coming = Coming {
        start_p50: start,
        start_p90: start,
        starting: 1,
        oldest: Some(Duration::ZERO),
        ..Coming::default()
    };
    let cold = fixture.deployment(Phase::Cold, &[]);
    cold.apply(&fleet, Policy::LeastConnections, EjectRules::default());
    let _waits = queued(admit(&cold, 1));
    // A start that takes longer than any other did takes a tenth of that again.
    assert_eq!([0, 10, 65].map(|now| retry_after(&cold, now)), [30, 20, 6]);
}

#[tokio::test]
async fn a_draining_worker_gets_nothing_until_it_is_ready_again() {
    let fixture = Fixture::new(2);
    let deployment = fixture.deployment(Phase::Warm, &READY);
    let held = leased(admit(&deployment, 10));
    deployment.apply(
        &fixture.fleet(Phase::Starting, &[(0, State::Draining)]),
        Policy::LeastConnections,
        EjectRules::default(),
    );
    let mut waiter = queued(admit(&deployment, 10));
    drop(held);
    assert_eq!(deployment.report(Duration::ZERO).workers[0].in_flight, 0);
    assert_eq!(deployment.queue.len(), 1);
    deployment.apply(
        &fixture.fleet(Phase::Warm, &READY),
        Policy::LeastConnections,
        EjectRules::default(),
    );
    assert!(waiter.granted().await.is_ok());
}

#[test]
fn threads_that_take_wait_and_give_up_lose_no_place() {
    const MAX: u32 = 3;
    let deployment = Fixture::new(MAX).deployment(Phase::Warm, &READY);
    let served = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (deployment, served) = (&deployment, &served);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                for round in 0..2000_u64 {
                    match admit(deployment, 100) {
                        Admission::Leased(lease) => {
                            assert!(lease.worker().gate().in_flight() <= MAX)
                        }
                        Admission::Queued(waiter) if (round + thread) % 3 == 0 => drop(waiter),
                        Admission::Queued(mut waiter) => {
                            runtime.block_on(waiter.granted()).unwrap();
                        }
                        Admission::Refused(refusal) => panic!("{refusal:?}"),
                    }
                    served.fetch_add(1, Atomic::Relaxed);
                }
            });
        }
    });
    assert_eq!(served.into_inner(), 8000);
    assert_eq!(deployment.queue.len(), 0);
    assert_eq!(deployment.report(Duration::ZERO).workers[0].in_flight, 0);
}

#[test]
fn a_request_that_was_routed_just_before_its_deployment_was_removed_does_not_wait_for_nothing() {
    let fixture = Fixture::new(1);
    let deployment = fixture.deployment(Phase::Warm, &READY);
    deployment.retire();
    let late = refused(admit(&deployment, 10));
    assert_eq!(late, Reason::NoWorkers);
    // It may come back.
    deployment.apply(
        &fixture.fleet(Phase::Warm, &READY),
        Policy::LeastConnections,
        EjectRules::default(),
    );
    drop(leased(admit(&deployment, 10)));
}

#[test]
fn of_very_many_workers_none_gets_more_of_a_hot_key_than_the_bound() {
    let workers: Vec<(u32, State)> = (0..100).map(|slot| (slot, State::Ready)).collect();
    let policy = Policy::Hash(Overflow::AboveMean(1.25));
    let deployment = Fixture::new(1_000).with_policy(policy, Phase::Warm, &workers);
    let wanted = Wanted {
        pick_by: &PickBy { hash: Some(7) },
        tried: &[],
        now: Duration::ZERO,
        max_queued: 0,
        has_place: false,
    };
    let leases: Vec<Lease> = (0..400)
        .map(|_| {
            deployment.load.start(0, Duration::ZERO);
            leased(deployment.admit(wanted, || patiently(Turn::default())))
        })
        .collect();
    assert_eq!(leases.len(), 400);
    let view = deployment.view();
    let had = view.workers.iter().map(|worker| worker.gate().in_flight());
    // 1.25 times their share of 400.
    assert_eq!(had.max(), Some(5));
}
