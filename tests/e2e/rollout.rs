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

/// A static canary that fails everything, which its rollout has taken back, after somebody had given
/// it half of the traffic by hand once.
async fn taken_back_after_half_by_hand() -> (Penstock, FakeWorker, FakeWorker) {
    let (stable, canary) = (FakeWorker::start().await, FakeWorker::start().await);
    let config = format!(
        r#"
        [services.chat]
        retries = {{ attempts = 0 }}
        [services.chat.deployments.stable]
        static = {{ addresses = ["{}"] }}
        [services.chat.deployments.canary]
        static = {{ addresses = ["{}"] }}
        rollout = {{ steps = [20, 100], interval = "1s", min_requests = 20 }}
        "#,
        stable.address, canary.address
    );
    let penstock = Penstock::start(&config).await;
    penstock.until_known("chat", 2).await;
    penstock
        .command(&["weights", "chat", "stable=50%", "canary=50%"])
        .await;
    canary.on("/", Behaviour::Answer(500, "broken"));
    penstock.command(&["weights", "chat", "--reset"]).await;
    let requests = {
        let client = penstock.client("chat");
        Task::spawn(async move {
            loop {
                client.get("/").await;
            }
        })
    };
    until_state(&penstock, "rolled_back").await;
    drop(requests);
    penstock
        .until_weights(&[("canary", 0), ("stable", 1)])
        .await;
    (penstock, stable, canary)
}

#[tokio::test]
async fn nothing_gives_a_canary_that_failed_its_traffic_again_unless_somebody_insists() {
    let (penstock, _stable, _canary) = taken_back_after_half_by_hand().await;
    let still_nothing = [("canary", 0), ("stable", 1)];
    for args in [
        &["rollback", "chat"][..],
        &["rollback", "chat"],
        &["promote", "chat", "canary"],
        &["weights", "chat", "canary=5%"],
        &["weights", "chat", "canary=1", "stable=1"],
    ] {
        let error = penstock.failing(args).await;
        for words in ["taken back because it failed", "--force", "--restart"] {
            assert!(error.contains(words), "{args:?}: {error}");
        }
        let dry = [args, &["--dry-run"]].concat();
        let said = penstock.command(&dry).await;
        for words in ["nothing has changed", "it needs --force", "BEFORE"] {
            assert!(said.contains(words), "{dry:?}: {said}");
        }
        penstock.until_weights(&still_nothing).await;
    }
    let client = penstock.client("chat");
    for _ in 0..100 {
        assert_eq!(client.get("/").await.status, 200);
    }
    let admin = penstock.admin();
    let path = "/api/v1/services/chat/rollback";
    let post = async |body: &'static str| {
        let body = crate::support::client::full(body);
        let exchange = admin.send(http::Method::POST, path, body).await;
        exchange.whole().await
    };
    let refused = post("{}").await;
    assert_eq!(refused.status, 409);
    let detail = refused.json()["detail"].to_string();
    assert!(detail.contains("\\\"force\\\": true"), "{detail}");
    let dry = post(r#"{"dry_run": true}"#).await;
    assert_eq!(dry.status, 200);
    assert_eq!(dry.json()["deployments"][0]["weight"], 50);
    assert!(dry.json()["change"]["needs_force"].is_string());
    penstock.until_weights(&still_nothing).await;
    // Back to the file is back to the rollout, which gives it nothing.
    penstock.command(&["promote", "chat", "stable"]).await;
    penstock.command(&["weights", "chat", "--reset"]).await;
    penstock.until_weights(&still_nothing).await;
    penstock
        .command(&["weights", "chat", "canary=10%", "--force"])
        .await;
    penstock
        .until_weights(&[("canary", 10), ("stable", 90)])
        .await;
    // Less of it is always given.
    penstock.command(&["weights", "chat", "canary=5%"]).await;
    penstock
        .until_weights(&[("canary", 5), ("stable", 95)])
        .await;
}

#[tokio::test]
async fn a_second_rollback_does_not_undo_the_first() {
    let (stable, canary) = (FakeWorker::start().await, FakeWorker::start().await);
    let config = format!(
        r#"
        [services.chat.deployments.stable]
        static = {{ addresses = ["{}"] }}
        [services.chat.deployments.canary]
        static = {{ addresses = ["{}"] }}
        "#,
        stable.address, canary.address
    );
    let penstock = Penstock::start(&config).await;
    penstock.until_known("chat", 2).await;
    for share in ["canary=50%", "canary=0%", "canary=30%"] {
        penstock.command(&["weights", "chat", share]).await;
    }
    penstock.command(&["rollback", "chat"]).await;
    let nothing = [("canary", 0), ("stable", 100)];
    penstock.until_weights(&nothing).await;
    let error = penstock.failing(&["rollback", "chat"]).await;
    assert!(
        error.contains("an earlier rollback took it away"),
        "{error}"
    );
    penstock.until_weights(&nothing).await;
    penstock.command(&["rollback", "chat", "--force"]).await;
    penstock
        .until_weights(&[("canary", 50), ("stable", 50)])
        .await;
}
