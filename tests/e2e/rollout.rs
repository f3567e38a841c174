//! A canary that watches itself, with real workers and the gateway's own counts.

use nix::sys::signal::Signal;

use crate::support::{
    Task,
    client::Client,
    eventually,
    fake::{Behaviour, FakeWorker},
    penstock::{Penstock, simulated},
};

const CANARY: &[(&str, &str)] = &[("service", "chat"), ("deployment", "canary")];

const QUICK: &str = "--load-time 0s --time-to-first-token 1ms --tokens-per-second 10000";

/// A service with a canary whose simulated worker has these faults.
fn config(faults: &str) -> String {
    let (good, canary) = (simulated(QUICK), simulated(&format!("{QUICK} {faults}")));
    format!(
        r#"
        [services.chat.deployments.stable]
        process = {{ {good} }}
        probes.ready = {{ http = "/health" }}
        [services.chat.deployments.canary]
        process = {{ {canary} }}
        probes.ready = {{ http = "/health" }}
        scaling = {{ min = 0, max = 1 }}
        rollout = {{ steps = [20, 50, 100], interval = "1s", min_requests = 20 }}
        "#
    )
}

/// One token of an answer.
const ASK: &str = r#"{"model":"demo","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#;

async fn ask(client: &Client) -> u16 {
    let reply = client.post("/v1/chat/completions", ASK).await;
    reply.status.as_u16()
}

/// Requests one after the other until it is dropped.
fn traffic(client: Client) -> Task {
    Task::spawn(async move {
        loop {
            ask(&client).await;
        }
    })
}

async fn state(penstock: &Penstock) -> String {
    let path = "/api/v1/services/chat/weights";
    let weights = penstock.admin().get(path).await.json();
    let canary = &weights["deployments"][0];
    assert_eq!(canary["name"], "canary");
    canary["rollout"]["state"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// How often the rollout was taken back, and in which share it is in percent.
async fn taken_back(penstock: &Penstock) -> (f64, f64) {
    let metrics = penstock.metrics().await;
    (
        metrics.sum("penstock_rollout_rollbacks_total", CANARY),
        metrics.sum("penstock_rollout_share", CANARY),
    )
}

async fn until_state(penstock: &Penstock, wanted: &str) {
    eventually(&format!("the rollout is {wanted}"), async || {
        (state(penstock).await == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_good_canary_is_woken_and_gets_everything() {
    let mut penstock = Penstock::start(&config("")).await;
    let requests = traffic(penstock.client("chat"));
    until_state(&penstock, "done").await;
    penstock
        .until_weights(&[("canary", 1), ("stable", 0)])
        .await;
    drop(requests);
    let metrics = penstock.metrics().await;
    let of_rollout = |name: &str| metrics.sum(&format!("penstock_rollout_{name}"), CANARY);
    assert_eq!(
        (of_rollout("share"), of_rollout("steps_taken")),
        (100.0, 3.0)
    );
    assert!(of_rollout("looks_total") >= 3.0);
    assert_eq!(of_rollout("rollbacks_total"), 0.0);
    let done = [CANARY, &[("state", "done")]].concat();
    assert_eq!(metrics.sum("penstock_rollout_state", &done), 1.0);
    assert_eq!(of_rollout("state"), 1.0, "one state only");
    let journal = penstock.command(&["status", "chat"]).await;
    for words in [
        "rollout begins with steps of 20, 50, 100 %",
        "rollout: done, 100 %",
    ] {
        assert!(journal.contains(words), "{words} is missing:\n{journal}");
    }
    penstock.stop().await;
}

#[tokio::test]
async fn a_canary_that_fails_is_taken_back_and_stays_so_over_a_kill() {
    let mut penstock = Penstock::start(&config("--fail-after 0")).await;
    let requests = traffic(penstock.client("chat"));
    until_state(&penstock, "rolled_back").await;
    penstock
        .until_weights(&[("canary", 0), ("stable", 1)])
        .await;
    drop(requests);
    assert_eq!(taken_back(&penstock).await, (1.0, 0.0));
    let client = penstock.client("chat");
    for _ in 0..50 {
        assert_eq!(ask(&client).await, 200);
    }
    let status = penstock.command(&["status"]).await;
    assert!(status.contains("rollout: rolled back to 0 %"), "{status}");
    assert!(status.contains("requests failed"), "{status}");
    penstock.signal(Signal::SIGKILL);
    penstock.exit().await;
    penstock.start_again().await;
    assert_eq!(state(&penstock).await, "rolled_back");
    penstock
        .until_weights(&[("canary", 0), ("stable", 1)])
        .await;
    assert_eq!(taken_back(&penstock).await, (0.0, 0.0), "not once more");
    // The operator insists, and it fails again.
    penstock
        .command(&["rollout", "chat", "canary", "--restart"])
        .await;
    let _requests = traffic(penstock.client("chat"));
    penstock
        .until("it has traffic again", |metrics| {
            let labels = [("service", "chat"), ("deployment", "canary")];
            metrics.sum("penstock_deployment_weight", &labels) > 0.0
        })
        .await;
    until_state(&penstock, "rolled_back").await;
    assert_eq!(taken_back(&penstock).await, (1.0, 0.0));
    penstock.stop().await;
}

#[tokio::test]
async fn a_canary_that_is_slow_is_taken_back() {
    let (stable, canary) = (FakeWorker::start().await, FakeWorker::start().await);
    // Slow beside whatever a busy machine does to the other one.
    let slow = Behaviour::custom(|_| async {
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        http::Response::new(crate::support::client::full("late"))
    });
    canary.on("/v1/chat/completions", slow);
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat.deployments.stable]
        static = {{ addresses = ["{}"] }}
        [services.chat.deployments.canary]
        static = {{ addresses = ["{}"] }}
        rollout = {{ steps = [20, 100], interval = "1s", min_requests = 20, max_p95_ratio = 2 }}
        "#,
        stable.address, canary.address
    ))
    .await;
    let _requests: Vec<Task> = (0..24).map(|_| traffic(penstock.client("chat"))).collect();
    until_state(&penstock, "rolled_back").await;
    let text = penstock.command(&["rollout", "chat"]).await;
    assert!(text.contains("answers began later than"), "{text}");
}
