//! How long pauses last: over crashes, reloads and the end of what is paused, until their time.

use std::sync::atomic::Ordering;

use penstock_config::fleet::Phase;
use serde_json::{Value, json};

use super::{SERVICE, STABLE, TWO, is_paused, pause, reason, resume, until_stopped};
use crate::{api::Scene, harness::chat};

#[tokio::test]
async fn a_pause_ends_by_itself_at_its_time() {
    let mut scene = Scene::of(&chat("quick", TWO)).await;
    scene.harness.until_ready(2).await;
    let status = pause(
        &scene,
        STABLE,
        json!({ "expires": 5, "reason": "a moment" }),
    )
    .await;
    assert!(status["deployments"][0]["pause"]["until_ms"].is_number());
    let found = scene.harness.until(is_paused).await;
    assert!(matches!(found.phase, Phase::Paused { until: Some(_), .. }));
    scene.harness.until_ready(2).await;
    let ended = scene.harness.journal("pause_ended").await;
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert!(
        ended[0].starts_with("no longer paused: it was until "),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_pause_survives_a_crash_and_starts_nothing_in_the_next_run() {
    let mut scene = Scene::of(&chat("quick", TWO)).await;
    scene.harness.until_ready(2).await;
    pause(
        &scene,
        SERVICE,
        json!({ "expires": 3600, "reason": "new GPUs" }),
    )
    .await;
    // Before anything was drained, and again when all is gone.
    let mut harness = scene.harness.again(&chat("quick", TWO)).await;
    let found = harness.until(is_paused).await;
    assert_eq!(reason(&found), Some("new GPUs"));
    until_stopped(&mut harness).await;
    let mut harness = harness.again(&chat("quick", TWO)).await;
    harness.until(is_paused).await;
    harness.report_nothing().await;
    harness.control.status().await.expect("control lives");
    assert_eq!(harness.driver.starts.load(Ordering::Relaxed), 2);
    let decisions = harness.journal("paused").await;
    assert!(
        decisions.len() <= 2,
        "nothing is decided anew: {decisions:?}"
    );
}

#[tokio::test]
async fn a_pause_that_ended_while_control_was_away_holds_nobody_up() {
    let mut scene = Scene::of(&chat("quick", TWO)).await;
    scene.harness.until_ready(2).await;
    pause(&scene, SERVICE, json!({ "expires": 0.001 })).await;
    let mut harness = scene.harness.again(&chat("quick", TWO)).await;
    harness.until_ready(2).await;
    assert_eq!(harness.journal("pause_ended").await.len(), 1);
    let mut harness = harness.again(&chat("quick", TWO)).await;
    harness.until_ready(2).await;
    assert_eq!(harness.journal("pause_ended").await.len(), 1, "told once");
}

#[tokio::test]
async fn a_paused_service_stays_so_over_a_reload_and_with_it_whatever_is_added() {
    let other = "[services.chat.deployments.canary]\nprocess = { command = [\"other\"] }\n";
    let mut scene = Scene::of(&(chat("quick", TWO) + other)).await;
    scene.harness.until_ready(2).await;
    pause(&scene, SERVICE, json!({})).await;
    pause(
        &scene,
        "/api/v1/services/chat/deployments/canary/pause",
        json!({}),
    )
    .await;
    let added = "[services.chat.deployments.added]\nprocess = { command = [\"added\"] }\n";
    scene.harness.apply(&(chat("changed", TWO) + added)).await;
    until_stopped(&mut scene.harness).await;
    let status = scene.get(SERVICE).await.json();
    let names = |status: &Value| -> Vec<(String, bool)> {
        let all = status["deployments"].as_array().expect("a list").iter();
        all.map(|each| {
            (
                each["name"].as_str().expect("a name").to_owned(),
                each["paused"] == true,
            )
        })
        .collect()
    };
    let expected = [("added".to_owned(), true), ("stable".to_owned(), true)];
    assert_eq!(names(&status), expected);
    assert_eq!(
        scene.harness.journal("pause_forgotten").await,
        ["canary is not configured any more; its pause is forgotten"]
    );
    resume(&scene, SERVICE).await;
    scene
        .harness
        .until_running(|driver| driver.commands() == ["added", "changed", "changed"])
        .await;
}

#[tokio::test]
async fn a_service_that_is_removed_takes_its_pause_along() {
    let other = "[services.other.deployments.d]\nstatic = { addresses = [\"127.0.0.1:1\"] }\n";
    let all = chat("quick", TWO) + other;
    let mut scene = Scene::of(&all).await;
    pause(&scene, SERVICE, json!({})).await;
    scene.harness.until(is_paused).await;
    scene.harness.apply(other).await;
    scene.harness.until_services(1).await;
    scene.harness.apply(&all).await;
    scene.harness.until_ready(2).await;
    // While it does not run, too.
    pause(&scene, SERVICE, json!({})).await;
    let harness = scene.harness.again(other).await;
    let forgotten = harness.journal("pause_forgotten").await;
    assert_eq!(
        forgotten,
        ["what was paused is forgotten with the service"; 2]
    );
    let mut harness = harness.again(&all).await;
    harness.until_ready(2).await;
}

#[tokio::test]
async fn a_pause_while_control_shuts_down_is_harmless() {
    let mut scene = Scene::of(&chat("quick", TWO)).await;
    scene.harness.until_ready(2).await;
    let control = std::sync::Arc::clone(&scene.harness.control);
    let post = format!("POST {SERVICE}");
    let (_, answer) = tokio::join!(control.shutdown(), scene.ask_with(&post, "{}"));
    assert!([200, 503].contains(&answer.status), "{}", answer.body);
    assert!(scene.harness.driver.running().is_empty());
}
