//! A canary that watches itself, with gateways that report what the test wants.

use std::time::Duration;

use penstock_config::fleet::Outcomes;
use penstock_control::status::RolloutStatus;
use serde_json::json;

use crate::{
    api::Scene,
    harness::{Harness, PATIENCE},
};

const WORKERS: &str = "static = { addresses = [\"127.0.0.1:1\"] }\nprobes.ready = { tcp = false }";

/// The service `chat` with a canary that has these workers and these further settings of a rollout.
pub(crate) fn chat(workers: &str, rollout: &str) -> String {
    format!(
        "[services.chat.deployments.stable]\n{WORKERS}\n\
         [services.chat.deployments.canary]\n{workers}\n\
         rollout = {{ steps = [10, 100], interval = \"1s\", min_requests = 20, {rollout} }}\n"
    )
}

const NOTHING: &[(&str, u32)] = &[("canary", 0), ("stable", 1)];
pub(crate) const A_TENTH: &[(&str, u32)] = &[("canary", 1), ("stable", 9)];
pub(crate) const ALL: &[(&str, u32)] = &[("canary", 1), ("stable", 0)];

/// What canary and siblings answer between two reports.
pub(crate) struct Traffic {
    pub(crate) canary: Outcomes,
    pub(crate) stable: Outcomes,
}

/// So many successes after so many milliseconds, and so many failures.
fn answers(succeeded: u64, millis: u64, failed: u64) -> Outcomes {
    let mut outcomes = Outcomes {
        succeeded,
        failed,
        ..Outcomes::default()
    };
    for _ in 0..succeeded {
        outcomes.first_byte.record(Duration::from_millis(millis));
    }
    outcomes
}

pub(crate) fn good() -> Traffic {
    Traffic {
        canary: answers(30, 50, 0),
        stable: answers(300, 50, 1),
    }
}

/// Reports this traffic over and over until the weights are as wanted.
pub(crate) async fn serve_until(harness: &mut Harness, traffic: &Traffic, wanted: &[(&str, u32)]) {
    let Traffic { canary, stable } = traffic;
    let rounds = async {
        while !harness.weights_are(wanted) {
            let news = [("canary", canary), ("stable", stable)];
            harness.report_outcomes(&news).await;
            // Reports come every second, and more often here.
            let changed = harness.fleet.changed();
            drop(tokio::time::timeout(Duration::from_millis(100), changed).await);
        }
    };
    if tokio::time::timeout(PATIENCE, rounds).await.is_err() {
        panic!("not {wanted:?}: {:#?}", harness.control.status().await);
    }
}

pub(crate) async fn rollout(harness: &Harness) -> RolloutStatus {
    let status = harness.control.status().await.expect("control lives");
    let canary = status.services[0]
        .deployments
        .iter()
        .find(|found| found.name == "canary");
    let rollout = canary.and_then(|canary| canary.rollout.clone());
    rollout.expect("it has a rollout")
}

/// How often the journal says that a rollout begins.
fn begun(journal: &[String]) -> usize {
    let begins = journal.iter().filter(|text| text.contains("begins"));
    begins.count()
}

/// Waits until the rollout is as wanted.
pub(crate) async fn until(
    harness: &mut Harness,
    wanted: impl Fn(&RolloutStatus) -> bool,
) -> RolloutStatus {
    harness
        .eventually(async |harness| Some(rollout(harness).await).filter(|found| wanted(found)))
        .await
}

#[tokio::test]
async fn a_good_canary_gets_everything_step_by_step() {
    let mut harness = Harness::start(&chat(WORKERS, "")).await;
    serve_until(&mut harness, &good(), A_TENTH).await;
    serve_until(&mut harness, &good(), ALL).await;
    // Nobody else has traffic at the last step.
    let alone = Traffic {
        stable: Outcomes::default(),
        ..good()
    };
    harness
        .eventually(async |harness| {
            let news = [("canary", &alone.canary), ("stable", &alone.stable)];
            harness.report_outcomes(&news).await;
            (rollout(harness).await.state == "done").then_some(())
        })
        .await;
    assert!(harness.weights_are(ALL));
    let journal = harness.journal("rollout").await;
    assert_eq!(
        journal[0],
        "rollout begins with steps of 10, 100 %: it is new"
    );
    let steps: Vec<&str> = journal
        .iter()
        .filter_map(|text| text.split(" (before: ").next())
        .filter(|text| !text.contains("holds"))
        .skip(1)
        .collect();
    let wanted = [
        "rollout: 10 % of the traffic",
        "rollout: 100 % of the traffic",
        "rollout done: 100 % of the traffic stay",
    ];
    assert_eq!(steps, wanted);
}

#[tokio::test]
async fn a_canary_that_fails_is_taken_back_for_good_also_over_restarts() {
    let mut harness = Harness::start(&chat(WORKERS, "")).await;
    serve_until(&mut harness, &good(), A_TENTH).await;
    let failing = Traffic {
        canary: answers(10, 50, 20),
        ..good()
    };
    serve_until(&mut harness, &failing, NOTHING).await;
    let found = rollout(&harness).await;
    assert_eq!(
        (&*found.state, found.share, found.taken),
        ("rolled_back", 0, 1)
    );
    let why = found.why.expect("it says why");
    assert!(
        why.contains("requests failed") && why.contains("1.0 % is accepted"),
        "{why}"
    );
    let mut harness = harness.again(&chat(WORKERS, "")).await;
    harness.until_weights(NOTHING).await;
    assert_eq!(rollout(&harness).await.why, Some(why.clone()));
    // Other steps are another rollout.
    let other = chat(WORKERS, "").replace("[10, 100]", "[10, 50]");
    harness.apply(&other).await;
    harness.until_weights(A_TENTH).await;
    let journal = harness.journal("rollout").await;
    assert!(
        journal
            .iter()
            .any(|text| text.starts_with("rolled back to 0 %: "))
    );
    assert_eq!(begun(&journal), 2);
}

#[tokio::test]
async fn a_canary_that_is_slow_is_taken_back() {
    let mut harness = Harness::start(&chat(WORKERS, "max_p95_ratio = 1.5")).await;
    serve_until(&mut harness, &good(), A_TENTH).await;
    let slow = Traffic {
        canary: answers(30, 200, 0),
        ..good()
    };
    serve_until(&mut harness, &slow, NOTHING).await;
    let why = rollout(&harness).await.why.expect("it says why");
    assert!(why.contains("1.5 times that is accepted"), "{why}");
}

#[tokio::test]
async fn a_cold_canary_is_woken_and_waited_for() {
    let slow = "process = { command = [\"slow\"] }\nscaling = { min = 0 }";
    let mut harness = Harness::start(&chat(slow, "")).await;
    harness
        .until_running(|driver| driver.commands() == ["slow"])
        .await;
    harness.until_weights(NOTHING).await;
    let found = until(&mut harness, |found| found.why.is_some()).await;
    assert_eq!(
        found.why.as_deref(),
        Some("10 % needs 1 workers ready, 0 are")
    );
    harness.driver.make_ready();
    harness.until_weights(A_TENTH).await;
}

#[tokio::test]
async fn a_canary_that_cannot_be_started_gets_nothing() {
    let missing = "process = { command = [\"missing\"] }\nscaling = { min = 0 }";
    let mut harness = Harness::start(&chat(missing, "")).await;
    let found = until(&mut harness, |found| {
        found
            .why
            .as_ref()
            .is_some_and(|why| why.contains("no such program"))
    });
    assert_eq!(
        (&*found.await.state, harness.weights_are(NOTHING)),
        ("running", true)
    );
}

#[tokio::test]
async fn too_little_traffic_is_no_reason_to_go_on() {
    let mut harness = Harness::start(&chat(WORKERS, "")).await;
    serve_until(&mut harness, &good(), A_TENTH).await;
    let few = answers(7, 50, 0);
    harness
        .report_outcomes(&[("canary", &few), ("stable", &few)])
        .await;
    let found = until(&mut harness, |found| {
        found
            .why
            .as_ref()
            .is_some_and(|why| why.starts_with("too little traffic"))
    });
    assert_eq!(found.await.share, 10);
    assert!(harness.weights_are(A_TENTH));
}

#[tokio::test]
async fn a_restart_in_the_middle_goes_on_with_the_step_it_had() {
    let mut harness = Harness::start(&chat(WORKERS, "")).await;
    serve_until(&mut harness, &good(), A_TENTH).await;
    let mut harness = harness.again(&chat(WORKERS, "")).await;
    harness.until_weights(A_TENTH).await;
    assert_eq!(rollout(&harness).await.taken, 1);
    serve_until(&mut harness, &good(), ALL).await;
    let journal = harness.journal("rollout").await;
    assert_eq!(begun(&journal), 1);
}

#[tokio::test]
async fn a_new_revision_begins_anew() {
    let run = |command: &str| {
        format!("process = {{ command = [\"{command}\"] }}\nscaling = {{ min = 1, max = 2 }}")
    };
    let mut harness = Harness::start(&chat(&run("quick"), "")).await;
    serve_until(&mut harness, &good(), A_TENTH).await;
    serve_until(&mut harness, &good(), ALL).await;
    harness.apply(&chat(&run("slow"), "")).await;
    harness.until_weights(NOTHING).await;
    harness
        .until_running(|driver| driver.commands().contains(&"slow".to_owned()))
        .await;
    harness.driver.make_ready();
    // The worker of the old revision goes first.
    serve_until(&mut harness, &good(), A_TENTH).await;
    harness
        .until_running(|driver| driver.commands() == ["slow"])
        .await;
    let journal = harness.journal("rollout").await;
    assert!(
        journal
            .iter()
            .any(|text| text.ends_with("there is a new revision")),
        "{journal:#?}"
    );
}

#[tokio::test]
async fn operators_pause_take_back_and_restart_it() {
    let mut scene = Scene::of(&chat(WORKERS, "")).await;
    serve_until(&mut scene.harness, &good(), A_TENTH).await;
    let of_rollout = "POST /api/v1/services/chat/rollout";
    let pause = json!({ "action": "pause", "deployment": "canary", "by": "ann" }).to_string();
    let status = scene.ask_with(of_rollout, &pause).await.json();
    assert_eq!(status["deployments"][0]["rollout"]["state"], "paused");
    let problem = scene.ask_with(of_rollout, &pause).await.problem(409);
    assert_eq!(problem, "the rollout of canary is not running");
    let other = json!({ "action": "pause", "deployment": "stable" }).to_string();
    let problem = scene.ask_with(of_rollout, &other).await.problem(422);
    assert_eq!(problem, "stable has no rollout; canary has");
    let resume = json!({ "action": "resume" }).to_string();
    assert_eq!(scene.ask_with(of_rollout, &resume).await.status, 200);
    let back = "POST /api/v1/services/chat/rollback";
    let why = json!({ "by": "ann", "reason": "smells" }).to_string();
    assert_eq!(scene.ask_with(back, &why).await.status, 200);
    scene.harness.until_weights(NOTHING).await;
    let found = rollout(&scene.harness).await;
    assert_eq!(found.why.as_deref(), Some("taken back, by ann: smells"));
    scene.ask_with(back, "").await.problem(409);
    let restart = json!({ "action": "restart" }).to_string();
    assert_eq!(scene.ask_with(of_rollout, &restart).await.status, 200);
    scene.harness.until_weights(A_TENTH).await;
}

#[tokio::test]
async fn weights_set_by_hand_stop_it_until_they_are_given_back() {
    let mut scene = Scene::of(&chat(WORKERS, "")).await;
    serve_until(&mut scene.harness, &good(), A_TENTH).await;
    let weights = "/api/v1/services/chat/weights";
    let body = json!({ "weights": { "canary": 30, "stable": 70 } }).to_string();
    assert_eq!(
        scene
            .ask_with(&format!("PUT {weights}"), &body)
            .await
            .status,
        200
    );
    let found = until(&mut scene.harness, |found| {
        found.why.as_deref() == Some("weights are set by hand")
    });
    assert_eq!(found.await.taken, 1);
    let restart = json!({ "action": "restart" }).to_string();
    let problem = scene
        .ask_with("POST /api/v1/services/chat/rollout", &restart)
        .await;
    assert!(
        problem
            .problem(409)
            .contains("penstock weights chat --reset")
    );
    // However well it does.
    for _ in 0..5 {
        let good = good();
        let news = [("canary", &good.canary), ("stable", &good.stable)];
        scene.harness.report_outcomes(&news).await;
    }
    assert!(scene.harness.weights_are(&[("canary", 30), ("stable", 70)]));
    scene
        .ask_with(&format!("DELETE {weights}"), "")
        .await
        .json();
    scene.harness.until_weights(A_TENTH).await;
    serve_until(&mut scene.harness, &good(), ALL).await;
}

#[tokio::test]
async fn without_the_setting_the_files_weights_are_back() {
    let mut harness = Harness::start(&chat(WORKERS, "")).await;
    serve_until(&mut harness, &good(), A_TENTH).await;
    let plain = format!(
        "[services.chat.deployments.stable]\n{WORKERS}\nweight = 3\n\
         [services.chat.deployments.canary]\n{WORKERS}\nweight = 2\n"
    );
    harness.apply(&plain).await;
    harness.until_weights(&[("canary", 2), ("stable", 3)]).await;
    let mut scene = harness.again(&plain).await;
    scene.until_weights(&[("canary", 2), ("stable", 3)]).await;
}
