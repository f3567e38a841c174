//! Workers from start to stop.

use std::sync::atomic::Ordering;

use penstock_config::fleet::Phase;

use crate::harness::{Harness, chat, draining, failure, ready};

const AT_ZERO: &str = "scaling = { min = 0, max = 4, idle_timeout = \"1ms\", down = { stable_for = \"1ms\" }, rules = [{ type = \"concurrency\", target = 1, window = \"1s\", burst_window = \"1s\" }] }";

#[tokio::test]
async fn min_workers_are_started_and_published_when_they_are_ready() {
    let mut harness = Harness::start(&chat("slow", "scaling = { min = 2, max = 4 }")).await;
    let first = harness.until(|found| found.phase == Phase::Starting).await;
    assert!(
        first.workers.is_empty(),
        "nobody sees a worker that is not ready"
    );
    harness
        .until_running(|driver| driver.running().len() == 2)
        .await;
    harness.driver.make_ready();
    let found = harness.until(|found| found.workers.len() == 2).await;
    assert_eq!(found.phase, Phase::Warm);
    assert_eq!(
        found
            .workers
            .iter()
            .map(|worker| worker.slot)
            .collect::<Vec<_>>(),
        [0, 1]
    );
    assert!(found.workers.iter().all(|worker| worker.ramp));
    assert!(found.coming.start_p50.is_some());
}

#[tokio::test]
async fn the_first_waiter_at_zero_wakes_a_worker_without_waiting_for_a_tick() {
    let mut harness = Harness::start(&chat("quick", AT_ZERO)).await;
    harness.until(|found| found.phase == Phase::Cold).await;
    for _ in 0..3 {
        let generation = harness.generation();
        harness.report(generation, 1, &[]).await;
        assert_eq!(harness.decided().await, 1);
        harness
            .until_running(|driver| driver.running().len() == 1)
            .await;
        harness.until_ready(1).await;
        // Nothing to do any more.
        harness.report_nothing().await;
        harness.until(|found| !draining(found).is_empty()).await;
        harness.report_nothing().await;
        harness
            .until_running(|driver| driver.running().is_empty())
            .await;
        harness
            .until(|found| found.phase == Phase::Cold && found.workers.is_empty())
            .await;
    }
}

#[tokio::test]
async fn a_worker_is_stopped_only_after_the_gateway_obeys_and_has_nothing_in_flight_on_it() {
    let mut harness = Harness::start(&chat("quick", AT_ZERO)).await;
    harness.report(0, 1, &[]).await;
    let workers = harness.until_ready(1).await;
    let before = harness.generation();
    harness.report(before, 0, &[]).await;
    harness.until(|found| draining(found) == workers).await;
    let drains = harness.generation();
    // It says it obeys, but a request got in before its gate closed.
    harness.report(drains, 0, &[(&workers[0], 1)]).await;
    // It has nothing in flight, but does not obey yet.
    harness.report(before, 0, &[]).await;
    harness.control.status().await.expect("control lives");
    assert_eq!(harness.driver.running(), workers, "too early");
    harness.report(drains, 0, &[]).await;
    harness
        .until_running(|driver| driver.running().is_empty())
        .await;
}

#[tokio::test]
async fn a_request_that_comes_during_the_drain_takes_the_worker_back() {
    let mut harness = Harness::start(&chat("quick", AT_ZERO)).await;
    harness.report(0, 1, &[]).await;
    let workers = harness.until_ready(1).await;
    let generation = harness.generation();
    harness.report(generation, 0, &[]).await;
    harness.until(|found| draining(found) == workers).await;
    // Not obeyed yet, so it cannot be stopped; and somebody waits.
    harness.report(generation, 1, &[]).await;
    harness.until(|found| ready(found) == workers).await;
    assert_eq!(harness.driver.starts.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_program_that_does_not_exist_fails_the_deployment_at_once() {
    let mut harness = Harness::start(&chat("missing", "scaling = { min = 0 }")).await;
    harness.report(0, 1, &[]).await;
    let found = harness.until(|found| failure(found).is_some()).await;
    assert_eq!(failure(&found), Some("missing: no such program"));
    assert_eq!(harness.driver.starts.load(Ordering::Relaxed), 1);
    // The queue was refused.
    harness.report_nothing().await;
    // After the pause nothing is tried before somebody asks again.
    harness.until(|found| found.phase == Phase::Cold).await;
    assert_eq!(harness.driver.starts.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_third_crash_in_a_row_fails_the_deployment() {
    let mut harness = Harness::start(&chat("crash", "scaling = { min = 1 }")).await;
    let found = harness.until(|found| failure(found).is_some()).await;
    assert_eq!(failure(&found), Some("exit status 1"));
    assert_eq!(harness.driver.starts.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_worker_that_is_not_ready_in_time_is_stopped_and_fails_the_deployment() {
    let settings = "start_timeout = \"300ms\"\nscaling = { min = 1 }";
    let mut harness = Harness::start(&chat("slow", settings)).await;
    let found = harness.until(|found| failure(found).is_some()).await;
    let reason = failure(&found).expect("it failed").to_owned();
    assert!(
        reason.starts_with("not ready within start_timeout (300ms): "),
        "{reason}"
    );
    assert!(reason.contains("refused"), "{reason}");
    harness
        .until_running(|driver| driver.running().is_empty())
        .await;
}

#[tokio::test]
async fn no_room_is_no_failure_and_is_tried_again() {
    let mut harness = Harness::start(&chat("quick", "scaling = { min = 2, max = 2 }")).await;
    harness.until_ready(2).await;
    harness.driver.room.store(1, Ordering::Relaxed);
    let victim = harness.driver.running()[0].clone();
    harness.driver.crash(&victim);
    let status = harness
        .eventually(async |harness| {
            let status = harness.control.status().await.expect("control lives");
            let deployment = status.services[0].deployments[0].clone();
            deployment.no_room.is_some().then_some(deployment)
        })
        .await;
    assert_eq!(
        (&*status.phase, status.no_room.as_deref()),
        ("degraded", Some("1 worker waits for room: no GPU free"))
    );
    harness.driver.room.store(2, Ordering::Relaxed);
    harness.until_ready(2).await;
}

#[tokio::test]
async fn a_crashed_worker_leaves_the_snapshot_at_once_and_is_replaced() {
    let mut harness = Harness::start(&chat("quick", "scaling = { min = 1 }")).await;
    let workers = harness.until_ready(1).await;
    harness.driver.crash(&workers[0]);
    harness.until(|found| found.workers.is_empty()).await;
    let replaced = harness.until_ready(1).await;
    assert_ne!(replaced, workers, "a worker's identity is never used twice");
}

#[tokio::test]
async fn shutdown_stops_every_worker() {
    let services = chat("quick", "scaling = { min = 3, max = 4 }")
        + "[services.other.deployments.d]\nprocess = { command = [\"slow\"] }\n";
    let mut harness = Harness::start(&services).await;
    harness.until_ready(3).await;
    harness
        .until_running(|driver| driver.running().len() == 4)
        .await;
    harness.control.shutdown().await;
    assert_eq!(harness.driver.running(), []);
}

#[tokio::test]
async fn a_hurried_shutdown_waits_for_no_request() {
    let mut harness = Harness::start(&chat(
        "quick",
        "drain_timeout = \"1h\"\nscaling = { min = 1 }",
    ))
    .await;
    let workers = harness.until_ready(1).await;
    let generation = harness.generation();
    harness.report(generation, 0, &[(&workers[0], 5)]).await;
    harness.until(|_| true).await;
    let down = harness.control.shutdown();
    tokio::pin!(down);
    let mut fleet = harness.fleet.clone();
    tokio::select! {
        () = &mut down => panic!("five requests are in flight"),
        seen = fleet.wait_for(|fleet| !draining(&fleet.services[0].deployments[0]).is_empty()) => {
            drop(seen.expect("control lives"));
        }
    }
    harness.control.hurry().await;
    down.await;
    assert_eq!(harness.driver.running(), []);
}

#[tokio::test]
async fn a_worker_that_fails_its_liveness_probe_drains_and_is_replaced() {
    // The fake workers accept connections and never answer.
    let settings = "probes.live = { http = \"/\", initial_delay = \"0s\", timeout = \"20ms\", period = \"20ms\", failures = 2 }\nscaling = { min = 1 }";
    let mut harness = Harness::start(&chat("quick", settings)).await;
    let workers = harness.until_ready(1).await;
    let found = harness.until(|found| draining(found) == workers).await;
    assert_eq!(ready(&found), []);
    let found = harness.until(|found| !ready(found).is_empty()).await;
    assert_ne!(ready(&found), workers);
    harness.report_nothing().await;
    let first = workers[0].clone();
    harness
        .until_running(move |driver| !driver.running().contains(&first))
        .await;
}
