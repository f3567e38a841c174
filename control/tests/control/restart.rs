//! Another run of control on the same state file.

use std::sync::atomic::Ordering;

use penstock_config::fleet::Phase;
use penstock_control::store::JournalQuery;

use crate::harness::{Harness, chat, draining};

#[tokio::test]
async fn workers_of_an_earlier_run_are_taken_over() {
    let settings = "scaling = { min = 2, max = 4 }";
    let mut harness = Harness::start(&chat("quick", settings)).await;
    let workers = harness.until_ready(2).await;
    let mut harness = harness.again(&chat("quick", settings)).await;
    assert_eq!(harness.until_ready(2).await, workers);
    assert_eq!(
        harness.driver.starts.load(Ordering::Relaxed),
        2,
        "none was started again"
    );
    assert!(
        harness
            .until(|_| true)
            .await
            .workers
            .iter()
            .all(|worker| !worker.ramp)
    );
}

#[tokio::test]
async fn how_long_a_start_takes_is_known_in_the_next_run_too() {
    let mut harness = Harness::start(&chat("quick", "scaling = { min = 3, max = 4 }")).await;
    harness.until_ready(3).await;
    let known = harness
        .until(|found| found.coming.start_least.is_some())
        .await;
    assert!(known.coming.start_least < known.coming.start_p50);
    // With other workers, so that none of this run can have been measured. They may be quicker.
    let mut harness = harness
        .again(&chat("never", "scaling = { min = 0, max = 4 }"))
        .await;
    let found = harness.until(|_| true).await.coming;
    // The state file keeps whole milliseconds.
    let millis = |took: std::time::Duration| took.as_millis();
    let p50 = known.coming.start_p50.map(millis);
    assert_eq!(found.start_p50.map(millis), p50);
    assert_eq!(found.start_least, None);
    let mut harness = harness
        .again(&chat("quick", "scaling = { min = 0, max = 4 }"))
        .await;
    let found = harness.until(|_| true).await.coming;
    assert!(found.start_least.is_some());
}

#[tokio::test]
async fn workers_that_did_not_outlive_the_earlier_run_are_started_anew() {
    let mut harness = Harness::start(&chat("quick", "scaling = { min = 2, max = 4 }")).await;
    let workers = harness.until_ready(2).await;
    harness.driver.crash(&workers[0]);
    let mut harness = harness
        .again(&chat("quick", "scaling = { min = 2, max = 4 }"))
        .await;
    let after = harness.until_ready(2).await;
    assert!(after.contains(&workers[1]) && !after.contains(&workers[0]));
}

#[tokio::test]
async fn workers_of_a_service_that_is_gone_are_ended() {
    let other = "[services.other.deployments.d]\nprocess = { command = [\"other\"] }\n";
    let mut harness = Harness::start(&(chat("quick", "") + other)).await;
    harness.until_ready(1).await;
    harness
        .until_running(|driver| driver.running().len() == 2)
        .await;
    let harness = harness.again(other).await;
    harness
        .until_running(|driver| driver.commands() == ["other"])
        .await;
}

#[tokio::test]
async fn a_command_that_changed_in_between_replaces_the_worker_as_a_reload_does() {
    let mut harness = Harness::start(&chat("quick", "")).await;
    let workers = harness.until_ready(1).await;
    let mut harness = harness.again(&chat("other", "")).await;
    let found = harness.until(|found| draining(found) == workers).await;
    assert_eq!(found.workers.len(), 2);
    harness.report_nothing().await;
    harness
        .until_running(|driver| driver.commands() == ["other"])
        .await;
}

#[tokio::test]
async fn two_controls_cannot_use_one_state_file() {
    let harness = Harness::start(&chat("quick", "")).await;
    let error = harness
        .another_on_the_same_state(&chat("quick", ""))
        .await
        .err()
        .expect("it is in use");
    assert!(
        error
            .to_string()
            .ends_with("another penstock process uses this state file"),
        "{error}"
    );
}

#[tokio::test]
async fn decisions_can_be_read_from_the_journal_also_after_a_restart() {
    let harness = Harness::start(&chat("quick", "scaling = { min = 0 }")).await;
    let mut harness = harness;
    harness.report(0, 1, &[]).await;
    harness.until_ready(1).await;
    let harness = harness.again(&chat("quick", "scaling = { min = 0 }")).await;
    let query = JournalQuery {
        service: Some("chat".to_owned()),
        deployment: None,
        limit: 100,
    };
    let entries = harness
        .control
        .journal(query)
        .await
        .expect("the journal can be read");
    let woken = entries
        .iter()
        .find(|entry| entry.kind == "wake")
        .expect("it was woken");
    assert_eq!((woken.before, woken.desired), (Some(0), Some(1)));
    assert_eq!(
        woken.text,
        "0 → 1 workers: woken: 1 requests waiting, 1 arrived"
    );
    assert!(
        entries.iter().any(|entry| entry.kind == "worker_ready"),
        "{entries:#?}"
    );
}

#[tokio::test]
async fn after_a_restart_of_the_machine_only_what_is_needed_is_started() {
    let settings = "scaling = { min = 0, max = 4 }";
    let mut harness = Harness::start(&chat("quick", settings)).await;
    harness.report(0, 1, &[]).await;
    let workers = harness.until_ready(1).await;
    harness.driver.crash(&workers[0]);
    let mut harness = harness.again(&chat("quick", settings)).await;
    harness.until(|found| found.phase == Phase::Cold).await;
    harness.report_nothing().await;
    let status = harness.control.status().await.expect("control lives");
    assert_eq!(status.services[0].deployments[0].desired, 0);
    assert_eq!(harness.driver.starts.load(Ordering::Relaxed), 1);
}
