//! Workers that are fresh.

use penstock_balancer::RAMP_STEP;

use super::*;

/// A deployment of one fresh worker for so many requests at a time, and what reminds it.
fn fresh(max_concurrency: u32) -> (Arc<DeploymentState>, tokio::task::JoinHandle<()>) {
    let fixture = Fixture {
        ramp: true,
        ..Fixture::new(max_concurrency)
    };
    let deployment = fixture.deployment(Phase::Warm, &READY);
    let (reminders, clock) = (fixture.reminders, deployment.clock);
    let reminding = tokio::spawn(async move { reminders.run(clock).await });
    (deployment, reminding)
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_a_fresh_worker_no_longer_than_its_limit_takes_to_double() {
    let (deployment, reminding) = fresh(64);
    // It has been ready for a while, and nobody came.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let begun = deployment.now();
    let first = leased(admit(&deployment, 100));
    let waiters: Vec<Waiter> = (1..64).map(|_| queued(admit(&deployment, 100))).collect();
    let mut leases = vec![first];
    let mut granted = Vec::new();
    for mut waiter in waiters {
        leases.push(waiter.granted().await.unwrap());
        granted.push((deployment.now() - begun).as_millis());
    }
    // Nobody is answered. It is full after six steps, and never beyond its limit before.
    for (step, limit) in (1..=6).map(|step| (step, (1_usize << step) - 1)) {
        let at = (RAMP_STEP * step).as_millis();
        let by_then = granted.iter().filter(|when| **when <= at + 5).count();
        assert_eq!(by_then, limit, "after {step} steps: {granted:?}");
    }
    assert_eq!(leases.len(), 64);
    reminding.abort();
}

#[tokio::test(start_paused = true)]
async fn an_answer_lets_more_requests_in_before_the_time() {
    let (deployment, reminding) = fresh(4);
    let first = leased(admit(&deployment, 10));
    let mut second = queued(admit(&deployment, 10));
    let begun = deployment.now();
    first.answered(Duration::from_millis(1), begun);
    let _second = second.granted().await.unwrap();
    assert_eq!(deployment.now(), begun);
    // From the answer on the time counts anew.
    let mut third = queued(admit(&deployment, 10));
    let _third = third.granted().await.unwrap();
    assert!(deployment.now() - begun >= RAMP_STEP);
    reminding.abort();
}

#[tokio::test(start_paused = true)]
async fn a_fresh_worker_that_left_the_fleet_reminds_of_nothing() {
    let (deployment, reminding) = fresh(8);
    let lease = leased(admit(&deployment, 10));
    deployment.retire();
    drop(lease);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(deployment.look_after(deployment.now()), None);
    reminding.abort();
}
