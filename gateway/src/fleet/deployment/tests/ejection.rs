//! Workers that are out because of how they answer.

use super::*;

const TWO: [(u32, State); 2] = [(0, State::Ready), (1, State::Ready)];

fn now(deployment: &DeploymentState) -> Duration {
    deployment.clock.now()
}

/// Fails a request on the worker in this slot, as often as is enough to eject it.
fn eject(deployment: &Arc<DeploymentState>, slot: u32) {
    let worker = worker(deployment, slot);
    for _ in 0..EjectRules::default().failures {
        worker.failed(None, now(deployment));
        deployment.worker_failed(&worker, now(deployment));
    }
    assert!(worker.gate().is_ejected());
}

fn worker(deployment: &DeploymentState, slot: u32) -> Arc<WorkerState> {
    let view = deployment.view();
    let found = view.workers.iter().find(|worker| worker.slot == slot);
    Arc::clone(found.unwrap())
}

#[tokio::test(start_paused = true)]
async fn who_waits_gets_the_place_of_a_readmitted_worker_at_its_time() {
    let reminders = Arc::<Reminders>::default();
    let fixture = Fixture {
        reminders: Arc::clone(&reminders),
        ..Fixture::new(1)
    };
    let deployment = fixture.deployment(Phase::Warm, &TWO);
    let clock = deployment.clock;
    let running = tokio::spawn(async move { reminders.run(clock).await });
    eject(&deployment, 0);
    let first = leased(admit(&deployment, 10));
    assert_eq!(first.worker().slot, 1);
    let mut waiter = queued(admit(&deployment, 10));
    let ejected_at = now(&deployment);
    let lease = waiter.granted().await.unwrap();
    assert_eq!(lease.worker().slot, 0);
    let out = now(&deployment) - ejected_at;
    let first = EjectRules::default().first;
    assert!(
        out >= first && out < first + Duration::from_millis(50),
        "{out:?}"
    );
    running.abort();
}

#[tokio::test]
async fn a_lonely_worker_is_never_ejected() {
    let deployment = Fixture::new(1).deployment(Phase::Warm, &READY);
    let worker = worker(&deployment, 0);
    for _ in 0..100 {
        worker.failed(None, now(&deployment));
        deployment.worker_failed(&worker, now(&deployment));
        deployment.worker_rests(&worker, Duration::from_secs(9), now(&deployment));
    }
    drop(leased(admit(&deployment, 10)));
}

#[tokio::test]
async fn an_ejection_outlives_a_snapshot_and_ends_when_too_few_workers_remain() {
    let fixture = Fixture::new(1);
    let deployment = fixture.deployment(Phase::Warm, &TWO);
    eject(&deployment, 0);
    let apply = |workers: &[(u32, State)]| {
        deployment.apply(
            &fixture.fleet(Phase::Warm, workers),
            Policy::RoundRobin,
            EjectRules::default(),
        );
    };
    apply(&TWO);
    assert!(worker(&deployment, 0).gate().is_ejected());
    assert!(deployment.report(now(&deployment)).workers[0].ejected);
    let waiting_for_both = [admit(&deployment, 10), admit(&deployment, 10)];
    apply(&[(0, State::Ready), (1, State::Draining)]);
    assert!(!worker(&deployment, 0).gate().is_ejected());
    let [first, second] = waiting_for_both;
    assert_eq!(leased(first).worker().slot, 1);
    assert_eq!(queued(second).granted().await.unwrap().worker().slot, 0);
}

#[tokio::test]
async fn a_worker_that_drains_is_not_ejected_by_its_last_requests() {
    let fixture = Fixture::new(1);
    let deployment = fixture.deployment(Phase::Warm, &[TWO[0], (1, State::Draining)]);
    let draining = worker(&deployment, 1);
    for _ in 0..100 {
        draining.failed(None, now(&deployment));
        deployment.worker_failed(&draining, now(&deployment));
    }
    assert!(!draining.gate().is_ejected());
}
