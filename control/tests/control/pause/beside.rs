//! A pause beside other things that move the count: advice, schedules, rollouts, reloads.

use penstock_config::fleet::Phase;
use serde_json::{Value, json};

use super::{SERVICE, STABLE, TWO, is_paused, pause, resume, until_stopped};
use crate::{
    api::Scene,
    harness::{Harness, chat, ready},
    rollout,
};

/// Decisions are only told, and `min` is this.
fn advise(min: u32) -> String {
    let scaling = format!("scaling = {{ mode = \"advise\", min = {min}, max = 9 }}");
    chat("quick", &scaling)
}

/// Three workers, of which nothing but the mode keeps any.
async fn three_kept() -> Scene {
    let mut scene = Scene::of(&advise(3)).await;
    scene.harness.until_ready(3).await;
    scene.harness.apply(&advise(0)).await;
    scene
}

#[tokio::test]
async fn what_only_advises_is_paused_all_the_same_and_resumed_with_the_count_it_kept() {
    let mut scene = three_kept().await;
    pause(&scene, SERVICE, json!({ "reason": "new GPUs" })).await;
    until_stopped(&mut scene.harness).await;
    // Whatever comes wakes nobody, and nothing is advised.
    let generation = scene.harness.generation();
    scene.harness.report(generation, 5, &[]).await;
    let status = scene.get("/api/v1/status").await.json();
    let stable = &status["services"][0]["deployments"][0];
    assert_eq!(
        (&stable["phase"], &stable["desired"], &stable["advice"]),
        (&json!("paused"), &json!(0), &Value::Null)
    );
    resume(&scene, SERVICE).await;
    scene.harness.until_ready(3).await;
    assert_eq!(
        scene.harness.journal("paused").await,
        ["3 → 0 workers: paused: new GPUs"]
    );
    let back = scene.harness.journal("advise").await;
    assert_eq!(
        back,
        ["0 → 3 workers: mode is advise: the count is kept at 3"]
    );
}

#[tokio::test]
async fn the_count_that_is_kept_outlives_a_restart_within_the_pause() {
    let mut scene = three_kept().await;
    pause(&scene, SERVICE, json!({})).await;
    until_stopped(&mut scene.harness).await;
    let Scene { harness, .. } = scene;
    let mut harness = harness.again(&advise(0)).await;
    harness.until(is_paused).await;
    assert_eq!(harness.driver.running(), []);
    let scene = Scene::before(harness).await;
    resume(&scene, SERVICE).await;
    let mut harness = scene.harness;
    harness.until_ready(3).await;
}

#[tokio::test]
async fn whoever_goes_from_advice_to_acting_within_a_pause_comes_back_with_min_and_the_reverse() {
    let act = |min: u32| chat("quick", &format!("scaling = {{ min = {min}, max = 9 }}"));
    let mut scene = three_kept().await;
    pause(&scene, SERVICE, json!({})).await;
    until_stopped(&mut scene.harness).await;
    scene.harness.apply(&act(2)).await;
    resume(&scene, SERVICE).await;
    scene.harness.until_ready(2).await;
    pause(&scene, SERVICE, json!({})).await;
    until_stopped(&mut scene.harness).await;
    // One at least, as ever while decisions are only told.
    scene.harness.apply(&advise(0)).await;
    resume(&scene, SERVICE).await;
    scene.harness.until_ready(1).await;
    let status = scene.get("/api/v1/status").await.json();
    assert_eq!(status["services"][0]["deployments"][0]["desired"], 1);
}

#[tokio::test]
async fn a_schedule_brings_nobody_back_who_is_paused_and_its_min_with_the_resume() {
    let always = "{ type = \"schedule\", cron = \"* * * * *\", duration = \"2m\", min = 3 }";
    let rules = format!("rules = [{{ type = \"concurrency\" }}, {always}]");
    let scaling = format!("scaling = {{ min = 0, max = 9, {rules} }}");
    let mut scene = Scene::of(&chat("quick", &scaling)).await;
    scene.harness.until_ready(3).await;
    pause(&scene, STABLE, json!({})).await;
    until_stopped(&mut scene.harness).await;
    let status = scene.get("/api/v1/status").await.json();
    assert_eq!(status["services"][0]["deployments"][0]["desired"], 0);
    resume(&scene, STABLE).await;
    scene.harness.until_ready(3).await;
}

#[tokio::test]
async fn a_rollout_waits_for_the_end_of_a_pause_and_has_its_worker_back_then() {
    let canary = "process = { command = [\"quick\"] }\nscaling = { min = 0 }";
    let mut scene = Scene::of(&rollout::chat(canary, "")).await;
    let harness = &mut scene.harness;
    rollout::serve_until(harness, &rollout::good(), rollout::A_TENTH).await;
    let page = "/api/v1/services/chat/deployments/canary/pause";
    pause(&scene, page, json!({})).await;
    let harness = &mut scene.harness;
    let held = rollout::until(harness, |found| {
        found.why.as_deref() == Some("canary is paused")
    });
    assert_eq!(held.await.taken, 1);
    let good = rollout::good();
    let told = [("canary", &good.canary), ("stable", &good.stable)];
    while !harness.driver.running().is_empty() {
        harness.report_outcomes(&told).await;
        tokio::select! {
            () = harness.driver.changed.notified() => {}
            alive = harness.fleet.changed() => alive.expect("control lives"),
        }
    }
    // However well it did.
    assert!(harness.weights_are(rollout::A_TENTH));
    resume(&scene, page).await;
    let harness = &mut scene.harness;
    harness
        .until_running(|driver| driver.running().len() == 1)
        .await;
    rollout::serve_until(harness, &rollout::good(), rollout::ALL).await;
}

#[tokio::test]
async fn a_rollout_waits_for_its_siblings_too() {
    let given = "static = { addresses = [\"127.0.0.1:1\"] }\nprobes.ready = { tcp = false }";
    let mut scene = Scene::of(&rollout::chat(given, "")).await;
    let harness = &mut scene.harness;
    rollout::serve_until(harness, &rollout::good(), rollout::A_TENTH).await;
    pause(&scene, STABLE, json!({})).await;
    let held = rollout::until(&mut scene.harness, |found| {
        found.why.as_deref() == Some("stable is paused")
    });
    assert_eq!(held.await.share, 10);
    resume(&scene, STABLE).await;
    rollout::serve_until(&mut scene.harness, &rollout::good(), rollout::ALL).await;
}

/// The service without the deployment that is paused.
const WITHOUT: &str =
    "[services.chat.deployments.canary]\nprocess = { command = [\"other\"] }\nscaling.min = 0\n";

#[tokio::test]
async fn a_deployment_that_is_removed_and_comes_back_is_not_paused_any_more() {
    let with = chat("quick", TWO) + WITHOUT;
    let mut scene = Scene::of(&with).await;
    let workers = scene.harness.until_ready(2).await;
    pause(&scene, STABLE, json!({})).await;
    let harness = &mut scene.harness;
    harness.until(is_paused).await;
    // One of its workers has still something to do.
    let generation = harness.generation();
    harness.report(generation, 0, &[(&workers[0], 1)]).await;
    harness
        .until_running(|driver| driver.running() == workers[..1])
        .await;
    harness.apply(WITHOUT).await;
    let forgotten = harness.journal("pause_forgotten").await;
    assert_eq!(
        forgotten,
        ["stable is not configured any more; its pause is forgotten"]
    );
    harness.apply(&with).await;
    let found = harness
        .until(|found| !is_paused(found) && ready(found).len() == 2)
        .await;
    assert_eq!(found.phase, Phase::Warm);
    let status = scene.get(STABLE).await.json();
    assert_eq!(status["deployments"][1]["paused"], false, "{status}");
}

#[tokio::test]
async fn a_pause_with_an_end_that_passes_while_control_is_down_is_over_at_once_in_advise_mode_too()
{
    let scene = three_kept().await;
    pause(&scene, SERVICE, json!({ "expires": 0.001 })).await;
    let mut harness: Harness = scene.harness.again(&advise(0)).await;
    harness.until_ready(3).await;
    assert_eq!(harness.journal("pause_ended").await.len(), 1);
}
