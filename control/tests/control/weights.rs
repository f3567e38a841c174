//! Weights that operators set while control runs.

use serde_json::{Value, json};

use crate::api::Scene;

/// The service `chat` with these deployments and weights.
pub(crate) fn chat_of(deployments: &[(&str, u32)]) -> String {
    let each = |(name, weight): &(&str, u32)| {
        format!(
            "[services.chat.deployments.{name}]\nweight = {weight}\nstatic = {{ addresses = [\"127.0.0.1:1\"] }}\n"
        )
    };
    deployments.iter().map(each).collect()
}

const FILE: &[(&str, u32)] = &[("canary", 10), ("stable", 90)];

async fn change(scene: &Scene, what: &str, body: Value) -> Value {
    let answer = scene.ask_with(what, &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

const WEIGHTS: &str = "/api/v1/services/chat/weights";

#[tokio::test]
async fn weights_are_set_promoted_rolled_back_and_given_back_to_the_file() {
    let mut scene = Scene::of(&chat_of(FILE)).await;
    let body =
        json!({ "weights": { "canary": 25, "stable": 90 }, "by": "ann", "reason": "trying v2" });
    let status = change(&scene, &format!("PUT {WEIGHTS}"), body).await;
    assert_eq!(status["by_hand"]["by"], "ann");
    assert_eq!(status["deployments"][0]["weight"], 25);
    assert_eq!(status["deployments"][0]["file_weight"], 10);
    scene
        .harness
        .until_weights(&[("canary", 25), ("stable", 90)])
        .await;
    let promote = "POST /api/v1/services/chat/promote";
    change(&scene, promote, json!({ "deployment": "canary" })).await;
    scene
        .harness
        .until_weights(&[("canary", 100), ("stable", 0)])
        .await;
    let answer = scene
        .ask_with("POST /api/v1/services/chat/rollback", "")
        .await;
    assert_eq!(answer.json()["can_roll_back"], true);
    scene
        .harness
        .until_weights(&[("canary", 25), ("stable", 90)])
        .await;
    scene
        .ask_with(&format!("DELETE {WEIGHTS}"), "")
        .await
        .json();
    scene.harness.until_weights(FILE).await;
    assert_eq!(scene.get(WEIGHTS).await.json()["by_hand"], Value::Null);
    assert_eq!(
        scene.harness.journal("weights").await,
        [
            "weights set by hand: canary 25, stable 90 (before: canary 10, stable 90), by ann: trying v2",
            "canary promoted: canary 100, stable 0 (before: canary 25, stable 90)",
            "weights rolled back: canary 25, stable 90 (before: canary 100, stable 0)",
            "weights given back to the file: canary 10, stable 90 (before: canary 25, stable 90)",
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_a_problem_and_changes_nothing() {
    let scene = Scene::of(&chat_of(FILE)).await;
    let problem = async |what: &str, body: &str, status: u16| {
        scene.ask_with(what, body).await.problem(status)
    };
    let put = format!("PUT {WEIGHTS}");
    assert_eq!(
        problem(&put, r#"{"weights":{"canry":1}}"#, 422).await,
        "chat has no deployment canry; there are: canary, stable"
    );
    problem(&put, r#"{"weights":{"canary":0,"stable":0}}"#, 422).await;
    problem(&put, r#"{"weights":{"canary":-1}}"#, 400).await;
    problem(&put, r#"{"weight":{"canary":1}}"#, 400).await;
    problem(&put, "", 400).await;
    let long = "x".repeat(501);
    let body = format!(r#"{{"weights":{{"canary":1}},"reason":"{long}"}}"#);
    problem(&put, &body, 422).await;
    problem(
        "PUT /api/v1/services/nobody/weights",
        r#"{"weights":{}}"#,
        404,
    )
    .await;
    assert_eq!(
        problem("POST /api/v1/services/chat/rollback", "", 409).await,
        "there is no change of chat's weights to take back"
    );
    assert_eq!(scene.get(WEIGHTS).await.json()["by_hand"], Value::Null);
    assert!(scene.harness.journal("weights").await.is_empty());
}

#[tokio::test]
async fn an_override_survives_a_crash_and_a_change_of_the_file() {
    let scene = Scene::of(&chat_of(FILE)).await;
    let body = json!({ "weights": { "canary": 50, "stable": 50 } });
    change(&scene, &format!("PUT {WEIGHTS}"), body).await;
    let mut harness = scene.harness.again(&chat_of(FILE)).await;
    harness
        .until_weights(&[("canary", 50), ("stable", 50)])
        .await;
    harness
        .apply(&chat_of(&[("canary", 0), ("stable", 1)]))
        .await;
    let status = harness.control.status().await.expect("control lives");
    let by_hand = status.services[0].by_hand.as_ref().expect("it stands");
    assert!(by_hand.file_changed);
    harness
        .until_weights(&[("canary", 50), ("stable", 50)])
        .await;
    assert!(
        harness.journal("weights").await[1]
            .starts_with("the file's weights have changed to canary 0, stable 1;")
    );
}

#[tokio::test]
async fn a_deployment_that_is_removed_drops_out_of_the_override() {
    let scene = Scene::of(&chat_of(&[("canary", 10), ("old", 10), ("stable", 80)])).await;
    let body = json!({ "weights": { "canary": 20, "old": 20, "stable": 80 } });
    change(&scene, &format!("PUT {WEIGHTS}"), body).await;
    // While it runs, and while it does not.
    let mut harness = scene.harness;
    harness.apply(&chat_of(FILE)).await;
    harness
        .until_weights(&[("canary", 20), ("stable", 80)])
        .await;
    let mut harness = harness.again(&chat_of(&[("canary", 10)])).await;
    harness.until_weights(&[("canary", 20)]).await;
    let journal = harness.journal("weights").await;
    assert!(
        journal
            .iter()
            .any(|text| text.starts_with("old is not configured any more"))
    );
    assert!(
        journal
            .iter()
            .any(|text| text.starts_with("stable is not configured any more"))
    );
}

#[tokio::test]
async fn a_service_that_is_removed_takes_its_override_along() {
    let other = "[services.other.deployments.d]\nstatic = { addresses = [\"127.0.0.1:1\"] }\n";
    let scene = Scene::of(&(chat_of(FILE) + other)).await;
    let promote = "POST /api/v1/services/chat/promote";
    change(&scene, promote, json!({ "deployment": "canary" })).await;
    let mut harness = scene.harness;
    harness.apply(other).await;
    harness.until_services(1).await;
    harness.apply(&(chat_of(FILE) + other)).await;
    harness.until_weights(FILE).await;
    let mut harness = harness.again(&(chat_of(FILE) + other)).await;
    harness.until_weights(FILE).await;
}
