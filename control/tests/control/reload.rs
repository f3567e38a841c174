//! A new configuration while workers run.

use std::sync::{Arc, atomic::Ordering};

use penstock_config::fleet::{Phase, WorkerState};

use crate::harness::{Harness, chat, draining, failure, ready};

#[tokio::test]
async fn a_mended_command_is_tried_at_once() {
    let mut harness = Harness::start(&chat("missing", "scaling = { min = 1 }")).await;
    harness.until(|found| failure(found).is_some()).await;
    harness.apply(&chat("quick", "scaling = { min = 1 }")).await;
    harness.until_ready(1).await;
}

#[tokio::test]
async fn a_changed_command_replaces_workers_without_a_gap() {
    let mut harness = Harness::start(&chat("quick", "scaling = { min = 2, max = 2 }")).await;
    let old = harness.until_ready(2).await;
    harness
        .apply(&chat("slow", "scaling = { min = 2, max = 2 }"))
        .await;
    for round in 0..2 {
        // One more than desired at a time, and the old ones stay until it is ready.
        harness
            .until_running(|driver| driver.commands().iter().any(|command| command == "slow"))
            .await;
        harness
            .until_running(|driver| driver.running().len() == 3)
            .await;
        assert_eq!(harness.until(|_| true).await.phase, Phase::Warm);
        harness.driver.make_ready();
        let found = harness.until(|found| draining(found).len() == 1).await;
        assert_eq!(ready(&found).len(), 2, "round {round}");
        harness.report_nothing().await;
        harness
            .until_running(|driver| !driver.running().contains(&draining(&found)[0]))
            .await;
    }
    let found = harness.until(|found| found.workers.len() == 2).await;
    assert!(ready(&found).iter().all(|id| !old.contains(id)));
    assert_eq!(harness.driver.commands(), ["slow", "slow"]);
}

#[tokio::test]
async fn without_room_beside_it_the_old_worker_goes_first() {
    let mut harness = Harness::start(&chat("quick", "scaling = { min = 1, max = 1 }")).await;
    harness.until_ready(1).await;
    harness.driver.room.store(1, Ordering::Relaxed);
    harness
        .apply(&chat("other", "scaling = { min = 1, max = 1 }"))
        .await;
    harness.until(|found| draining(found).len() == 1).await;
    harness.report_nothing().await;
    harness
        .until_running(|driver| driver.commands() == ["other"])
        .await;
    harness.until_ready(1).await;
}

#[tokio::test]
async fn without_room_the_second_old_worker_stays_until_the_first_new_one_is_ready() {
    let mut harness = Harness::start(&chat("quick", "scaling = { min = 2, max = 2 }")).await;
    harness.until_ready(2).await;
    harness.driver.room.store(2, Ordering::Relaxed);
    harness
        .apply(&chat("slow", "scaling = { min = 2, max = 2 }"))
        .await;
    for left in [1, 0] {
        let found = harness.until(|found| draining(found).len() == 1).await;
        assert_eq!(ready(&found).len(), 1, "one gives way at a time");
        harness.report_nothing().await;
        harness
            .until_running(|driver| {
                let old = driver.commands().iter().filter(|c| *c == "quick").count();
                old == left && driver.running().len() == 2
            })
            .await;
        // Room for another one is looked for again and again meanwhile.
        let tried = harness.driver.starts.load(Ordering::Relaxed) + 2;
        harness
            .eventually(async |harness| {
                let tries = harness.driver.starts.load(Ordering::Relaxed);
                let found = harness.until(|_| true).await;
                assert_eq!((ready(&found).len(), draining(&found).len()), (1, 0));
                (tries >= tried || left == 0).then_some(())
            })
            .await;
        harness.driver.make_ready();
    }
    harness.until_ready(2).await;
    assert_eq!(harness.driver.commands(), ["slow", "slow"]);
}

#[tokio::test]
async fn an_update_that_fails_leaves_the_old_workers_and_says_so_first() {
    let mut harness = Harness::start(&chat("quick", "scaling = { min = 2, max = 2 }")).await;
    let old = harness.until_ready(2).await;
    harness
        .apply(&chat("crash", "scaling = { min = 2, max = 2 }"))
        .await;
    let status = harness
        .eventually(async |harness| {
            let status = harness.control.status().await.expect("control lives");
            let found = status.services[0].deployments[0].clone();
            (found.restarts >= 2).then_some(found)
        })
        .await;
    assert_eq!(status.phase, "degraded");
    let reason = status.phase_reason.unwrap_or_default();
    assert!(reason.contains("2 starts in a row failed"), "{reason}");
    assert_eq!(harness.until_ready(2).await, old);
    // What is mended is tried at once, and nothing is wrong any more.
    harness
        .apply(&chat("quick", "scaling = { min = 2, max = 2 }"))
        .await;
    harness
        .eventually(async |harness| {
            let status = harness.control.status().await.expect("control lives");
            let found = &status.services[0].deployments[0];
            (found.phase == "warm" && found.troubles.is_empty()).then_some(())
        })
        .await;
}

#[tokio::test]
async fn limits_and_scaling_apply_to_the_workers_that_run() {
    let mut harness = Harness::start(&chat("quick", "scaling = { min = 1, max = 1 }")).await;
    let workers = harness.until_ready(1).await;
    harness
        .apply(&chat(
            "quick",
            "max_concurrency = 3\nscaling = { min = 2, max = 2 }",
        ))
        .await;
    let both = harness.until_ready(2).await;
    assert!(both.contains(&workers[0]));
    assert_eq!(harness.until(|_| true).await.spec.max_concurrency, Some(3));
    assert_eq!(harness.driver.starts.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_unchanged_service_stays_the_same_in_the_snapshot() {
    let other = "[services.other.deployments.d]\nprocess = { command = [\"quick\"] }\n";
    let mut harness = Harness::start(&(chat("quick", "") + other)).await;
    harness.until_ready(1).await;
    harness
        .fleet
        .wait_for(|fleet| fleet.services[1].deployments[0].phase == Phase::Warm)
        .await
        .expect("control lives");
    let before = harness.fleet.borrow().clone();
    harness.apply(&(chat("quick", "weight = 7") + other)).await;
    let found = harness.until(|found| found.spec.weight == 7).await;
    let after = harness.fleet.borrow().clone();
    assert!(after.generation > before.generation);
    assert!(Arc::ptr_eq(&before.services[1], &after.services[1]));
    assert_eq!(found.workers, before.services[0].deployments[0].workers);
}

#[tokio::test]
async fn a_removed_service_is_not_routed_to_but_its_requests_may_finish() {
    let other = "[services.other.deployments.d]\nprocess = { command = [\"quick\"] }\n";
    let mut harness = Harness::start(&(chat("quick", "drain_timeout = \"1h\"") + other)).await;
    let workers = harness.until_ready(1).await;
    let generation = harness.generation();
    harness.report(generation, 0, &[(&workers[0], 1)]).await;
    harness.apply(other).await;
    harness
        .fleet
        .wait_for(|fleet| fleet.services.len() == 1)
        .await
        .expect("control lives");
    let generation = harness.generation();
    harness.report(generation, 0, &[(&workers[0], 1)]).await;
    let status = harness.control.status().await.expect("control lives");
    assert!(status.services[0].removed);
    assert!(harness.driver.running().contains(&workers[0]));
    // The gateway does not mention it any more.
    harness.report(generation, 0, &[]).await;
    harness
        .until_running(|driver| !driver.running().contains(&workers[0]))
        .await;
}

#[tokio::test]
async fn a_removed_service_that_comes_back_gets_its_draining_worker_back() {
    let other = "[services.other.deployments.d]\nprocess = { command = [\"quick\"] }\n";
    let mut harness = Harness::start(&(chat("quick", "drain_timeout = \"1h\"") + other)).await;
    let workers = harness.until_ready(1).await;
    harness.apply(other).await;
    harness
        .fleet
        .wait_for(|fleet| fleet.services.len() == 1)
        .await
        .expect("control lives");
    harness.apply(&(chat("quick", "") + other)).await;
    assert_eq!(harness.until_ready(1).await, workers);
}

#[tokio::test]
async fn static_addresses_come_and_go_one_by_one() {
    let service = |addresses: &str| {
        format!(
            "[services.chat.deployments.stable]\nstatic = {{ addresses = [{addresses}] }}\nprobes.ready = {{ tcp = false }}\n"
        )
    };
    let mut harness = Harness::start(&service("\"127.0.0.1:1001\", \"127.0.0.1:1002\"")).await;
    let before = harness.until_ready(2).await;
    harness
        .apply(&service(
            "\"127.0.0.1:1003\", { address = \"127.0.0.1:1002\", weight = 5 }",
        ))
        .await;
    let found = harness
        .until(|found| draining(found).len() == 1 && ready(found).len() == 2)
        .await;
    let at = |port| {
        found
            .workers
            .iter()
            .find(|worker| worker.address.port() == port)
    };
    let kept = at(1002).expect("it stays");
    assert!(before.contains(&kept.id));
    assert_eq!((kept.weight, kept.state), (5, WorkerState::Ready));
    assert_eq!(at(1001).map(|old| old.state), Some(WorkerState::Draining));
    assert_eq!(at(1003).map(|new| new.state), Some(WorkerState::Ready));
    harness.report_nothing().await;
    harness.until(|found| found.workers.len() == 2).await;
}
