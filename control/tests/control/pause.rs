//! What operators stop and resume while control runs.

mod beside;
mod lasting;

use std::sync::atomic::Ordering;

use penstock_config::fleet::{DeploymentFleet, Phase};
use serde_json::{Value, json};

use crate::{
    api::Scene,
    harness::{Harness, chat, draining, ready},
};

const SERVICE: &str = "/api/v1/services/chat/pause";
const STABLE: &str = "/api/v1/services/chat/deployments/stable/pause";
const TWO: &str = "scaling = { min = 2, max = 4 }";
const ZERO: &str = "scaling = { min = 0, max = 4 }";

async fn change(scene: &Scene, what: &str, body: Value) -> Value {
    let answer = scene.ask_with(what, &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

async fn pause(scene: &Scene, page: &str, body: Value) -> Value {
    change(scene, &format!("POST {page}"), body).await
}

async fn resume(scene: &Scene, page: &str) -> Value {
    change(scene, &format!("DELETE {page}"), json!({})).await
}

/// The reason that gateways are told, if it is paused.
fn reason(found: &DeploymentFleet) -> Option<&str> {
    match &found.phase {
        Phase::Paused { reason, .. } => Some(reason),
        _ => None,
    }
}

fn is_paused(found: &DeploymentFleet) -> bool {
    reason(found).is_some()
}

/// Obeys, with nothing to do, until no worker runs.
async fn until_stopped(harness: &mut Harness) {
    harness.until(|found| ready(found).is_empty()).await;
    while !harness.driver.running().is_empty() {
        harness.report_nothing().await;
        tokio::select! {
            () = harness.driver.changed.notified() => {}
            alive = harness.fleet.changed() => alive.expect("control lives"),
        }
    }
}

#[tokio::test]
async fn a_pause_lets_requests_finish_stops_the_workers_and_a_resume_brings_min_back() {
    let mut scene = Scene::of(&chat("quick", TWO)).await;
    let workers = scene.harness.until_ready(2).await;
    scene.harness.report_nothing().await;
    let body = json!({ "reason": "new GPUs", "by": "ann" });
    let status = pause(&scene, SERVICE, body).await;
    assert_eq!(
        (&status["done"], &status["pause"]["by"]),
        (&json!("paused"), &json!("ann"))
    );
    assert_eq!(status["deployments"][0]["paused"], true);
    let harness = &mut scene.harness;
    let found = harness.until(is_paused).await;
    assert_eq!(reason(&found), Some("new GPUs"));
    assert_eq!(draining(&found), workers, "told in the same snapshot");
    let generation = harness.generation();
    harness.report(generation, 0, &[(&workers[0], 1)]).await;
    harness
        .until_running(|driver| driver.running() == workers[..1])
        .await;
    harness.report_nothing().await;
    harness
        .until_running(|driver| driver.running().is_empty())
        .await;
    // Whatever comes wakes nobody.
    harness.report(generation, 5, &[]).await;
    let status = scene.get("/api/v1/status").await.json();
    let stable = &status["services"][0]["deployments"][0];
    assert_eq!(
        (&stable["phase"], &stable["desired"]),
        (&json!("paused"), &json!(0))
    );
    assert_eq!(stable["reason_text"], "paused by ann: new GPUs");
    assert_eq!(status["services"][0]["paused"]["reason"], "new GPUs");

    assert_eq!(resume(&scene, SERVICE).await["done"], "resumed");
    scene.harness.until_ready(2).await;
    assert_eq!(scene.harness.driver.starts.load(Ordering::Relaxed), 4);
    let journal = &scene.harness;
    assert_eq!(journal.journal("pause").await, ["paused by ann: new GPUs"]);
    assert_eq!(
        journal.journal("paused").await,
        ["2 → 0 workers: paused by ann: new GPUs"]
    );
    assert_eq!(journal.journal("resume").await, ["resumed"]);
}

#[tokio::test]
async fn a_resume_during_the_drain_takes_the_workers_back() {
    let mut scene = Scene::of(&chat("quick", TWO)).await;
    let workers = scene.harness.until_ready(2).await;
    scene.harness.report_nothing().await;
    pause(&scene, STABLE, json!({})).await;
    let found = scene.harness.until(is_paused).await;
    assert_eq!(reason(&found), Some("paused by the operator"));
    resume(&scene, STABLE).await;
    scene.harness.until(|found| ready(found) == workers).await;
    assert_eq!(scene.harness.driver.starts.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_worker_that_is_being_started_is_ended_and_none_follows() {
    let mut scene = Scene::of(&chat("slow", TWO)).await;
    scene
        .harness
        .until_running(|driver| driver.running().len() == 2)
        .await;
    pause(&scene, SERVICE, json!({})).await;
    scene
        .harness
        .until_running(|driver| driver.running().is_empty())
        .await;
    scene.harness.until(is_paused).await;
    assert_eq!(scene.harness.driver.starts.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn with_min_zero_a_resume_starts_nothing_and_the_next_request_wakes() {
    let mut scene = Scene::of(&chat("quick", ZERO)).await;
    pause(&scene, SERVICE, json!({})).await;
    let harness = &mut scene.harness;
    harness.until(is_paused).await;
    harness.report(0, 1, &[]).await;
    harness.report_nothing().await;
    // The reports have been taken in when the next command comes.
    harness.control.status().await.expect("control lives");
    resume(&scene, SERVICE).await;
    let harness = &mut scene.harness;
    harness.until(|found| found.phase == Phase::Cold).await;
    harness.report_nothing().await;
    harness.control.status().await.expect("control lives");
    assert_eq!(harness.driver.starts.load(Ordering::Relaxed), 0);
    harness.report(0, 1, &[]).await;
    harness.until_ready(1).await;
}

#[tokio::test]
async fn what_failed_before_does_not_hinder_a_resume() {
    let mut scene = Scene::of(&chat("missing", "scaling = { min = 1 }")).await;
    let harness = &mut scene.harness;
    let failed = |found: &DeploymentFleet| matches!(found.phase, Phase::Failed { .. });
    harness.until(failed).await;
    pause(&scene, SERVICE, json!({})).await;
    scene.harness.until(is_paused).await;
    let before = scene.harness.driver.starts.load(Ordering::Relaxed);
    resume(&scene, SERVICE).await;
    scene.harness.until(failed).await;
    assert_eq!(
        scene.harness.driver.starts.load(Ordering::Relaxed),
        before + 1
    );
}

#[tokio::test]
async fn static_workers_get_no_requests_until_they_are_resumed() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let services =
        format!("[services.chat.deployments.stable]\nstatic = {{ addresses = [\"{address}\"] }}\n");
    let mut scene = Scene::of(&services).await;
    scene.harness.until_ready(1).await;
    pause(&scene, STABLE, json!({ "reason": "moving" })).await;
    let found = scene.harness.until(is_paused).await;
    assert!(ready(&found).is_empty());
    resume(&scene, STABLE).await;
    scene.harness.until_ready(1).await;
}

#[tokio::test]
async fn each_pause_is_replaced_and_taken_back_by_itself() {
    let mut scene = Scene::of(&chat("quick", TWO)).await;
    pause(&scene, SERVICE, json!({ "reason": "first", "expires": 60 })).await;
    let again = pause(&scene, SERVICE, json!({ "reason": "second" })).await;
    assert_eq!(
        (&again["done"], &again["before"]["reason"]),
        (&json!("replaced"), &json!("first"))
    );
    assert_eq!(again["pause"]["until_ms"], Value::Null);
    pause(&scene, STABLE, json!({ "reason": "own" })).await;
    let left = resume(&scene, STABLE).await;
    assert_eq!(
        (&left["done"], &left["deployments"][0]["paused"]),
        (&json!("resumed"), &json!(true))
    );
    scene
        .harness
        .until(|found| reason(found) == Some("second"))
        .await;
    assert_eq!(resume(&scene, STABLE).await["done"], "not_paused");
    assert_eq!(
        resume(&scene, SERVICE).await["deployments"][0]["paused"],
        false
    );
    assert_eq!(resume(&scene, SERVICE).await["done"], "not_paused");
    scene.harness.until_ready(2).await;
    let said = scene.harness.journal("pause").await;
    assert!(
        said[1].starts_with("paused: second (before: paused until "),
        "{said:?}"
    );
    assert_eq!(
        scene.harness.journal("resume").await,
        ["resumed (its service is still paused: second)", "resumed"]
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_a_problem_and_pauses_nothing() {
    let scene = Scene::of(&chat("quick", TWO)).await;
    let nobody = "/api/v1/services/nobody/pause";
    let canary = "/api/v1/services/chat/deployments/canary/pause";
    let long = json!({ "reason": "x".repeat(501) }).to_string();
    for (page, body, status, words) in [
        (
            nobody,
            "{}",
            404,
            "there is no service nobody; there are: chat",
        ),
        (
            canary,
            "{}",
            404,
            "chat has no deployment canary; there are: stable",
        ),
        (SERVICE, "{", 400, "the body: "),
        (SERVICE, r#"{"until":1}"#, 400, "unknown field `until`"),
        (
            SERVICE,
            r#"{"expires":-1}"#,
            422,
            "expires: must be above 0",
        ),
        (
            SERVICE,
            r#"{"expires":"2020-01-01T00:00:00Z"}"#,
            422,
            "must be in the future",
        ),
        (
            SERVICE,
            r#"{"expires":"tomorrow"}"#,
            422,
            "must be a number of seconds, or a time",
        ),
        (SERVICE, &long, 422, "at most 500 bytes"),
        ("/api/v1/services/%ff/pause", "", 400, "UTF-8"),
    ] {
        let problem = scene.ask_with(&format!("POST {page}"), body).await;
        let problem = problem.problem(status);
        assert!(problem.contains(words), "{page} {body}: {problem}");
    }
    for page in [nobody, canary] {
        scene.get(page).await.problem(404);
        scene
            .ask_with(&format!("DELETE {page}"), "")
            .await
            .problem(404);
    }
    scene
        .ask_with(&format!("PUT {SERVICE}"), "{}")
        .await
        .problem(405);
    assert_eq!(scene.get(SERVICE).await.json()["pause"], Value::Null);
    assert!(scene.harness.journal("pause").await.is_empty());
}
