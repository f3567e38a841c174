//! Penstock is killed and started again.

use http::Method;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{
    client::{Events, full},
    eventually,
    penstock::{NOBODY, Penstock, simulated},
};

fn config(process: &str) -> String {
    format!(
        r#"
        [services.chat.deployments.main]
        process = {{ {process}, stop_grace = "1s" }}
        probes.ready = {{ http = "/health" }}
        scaling = {{ min = 2, max = 2 }}
        "#
    )
}

/// A worker with a child that left its process group and cannot be asked to end.
fn stubborn() -> String {
    let program = env!("CARGO_BIN_EXE_penstock");
    let child = r#"setsid sh -c "trap : TERM HUP INT; while :; do sleep 1000; done""#;
    format!("shell = '''{child} & exec {program} worker --load-time 0s'''")
}

async fn kill_and_start_again(penstock: &mut Penstock) {
    penstock.signal(Signal::SIGKILL);
    penstock.exit().await;
    penstock.start_again().await;
}

#[tokio::test]
async fn after_a_crash_no_worker_is_left_unmanaged() {
    let mut penstock = Penstock::start(&config(&simulated("--load-time 0s"))).await;
    penstock.until_ready("chat", 2).await;
    kill_and_start_again(&mut penstock).await;
    penstock.until_ready("chat", 2).await;
    eventually("two processes", async || {
        (penstock.worker_processes().len() == 2).then_some(())
    })
    .await;
    assert_eq!(penstock.client("chat").get("/v1/models").await.status, 200);
    penstock.stop().await;
}

#[tokio::test]
async fn after_a_crash_workers_of_a_removed_service_are_ended_with_their_children() {
    let mut penstock = Penstock::start(&config(&stubborn())).await;
    penstock.until_ready("chat", 2).await;
    assert!(penstock.worker_processes().len() >= 4, "each has a child");
    penstock.signal(Signal::SIGKILL);
    penstock.exit().await;
    penstock.write_config(NOBODY);
    penstock.start_again().await;
    penstock.until_alone().await;
}

#[tokio::test]
async fn children_that_left_the_group_end_with_their_worker() {
    let mut penstock = Penstock::start(&config(&stubborn())).await;
    penstock.until_ready("chat", 2).await;
    penstock.stop().await;
}

#[tokio::test]
async fn a_crash_over_and_over_leaves_nothing_behind() {
    let mut penstock = Penstock::start(&config(&stubborn())).await;
    for _ in 0..3 {
        kill_and_start_again(&mut penstock).await;
    }
    penstock.until_ready("chat", 2).await;
    penstock.stop().await;
}

/// Two workers of this round, which load for a while.
fn update(round: u32) -> String {
    let command = simulated("--load-time 1s --tokens-per-second 20");
    format!(
        r#"
        [services.chat.deployments.main]
        process = {{ {command}, env = {{ ROUND = "{round}" }}, stop_grace = "1s" }}
        probes.ready = {{ http = "/health", period = "1s" }}
        scaling = {{ min = 2, max = 4 }}
        "#
    )
}

/// Whether workers of the second revision, and of the first, are in these states.
fn is_at(found: &Value, new: &[&str], old: &[&str]) -> bool {
    let workers = found["workers"].as_array().unwrap();
    let states = |revision: u64| {
        let of = workers
            .iter()
            .filter(move |worker| worker["revision"] == revision);
        let mut states: Vec<&str> = of.map(|worker| worker["state"].as_str().unwrap()).collect();
        states.sort_unstable();
        states
    };
    states(2) == new && states(1) == old
}

/// Kills Penstock when its update is at this step, while an answer is on its way that keeps an old worker
/// busy; what the next run makes of it is the same, whatever the step was.
async fn crash_at(new: &[&str], old: &[&str]) {
    let mut penstock = Penstock::start(&update(1)).await;
    penstock.until_all_run("chat", 1, 2).await;
    let client = penstock.client("chat");
    let body = r#"{"model": "demo", "stream": true, "max_tokens": 10000, "ignore_eos": true, "messages": [{"role": "user", "content": "hello"}]}"#;
    let mut answer = Events::new(
        client
            .send(Method::POST, "/v1/chat/completions", full(body))
            .await,
    );
    assert!(answer.next().await.is_some());
    penstock.reload(&update(2)).await;
    eventually(&format!("new ones {new:?}, old ones {old:?}"), async || {
        let found = penstock.deployment("chat", "main").await;
        is_at(&found, new, old).then_some(())
    })
    .await;
    kill_and_start_again(&mut penstock).await;
    // Whatever there was of a surge is not desired.
    let found = penstock.deployment("chat", "main").await;
    assert_eq!(found["desired"], 2, "{found}");
    penstock.until_all_run("chat", 2, 2).await;
    eventually("two processes", async || {
        (penstock.worker_processes().len() == 2).then_some(())
    })
    .await;
    assert_eq!(penstock.client("chat").get("/v1/models").await.status, 200);
    let found = penstock.deployment("chat", "main").await;
    assert_eq!(
        (&found["desired"], &found["revision"]),
        (&2.into(), &2.into())
    );
    penstock.stop().await;
}

#[tokio::test]
async fn a_crash_while_the_first_new_worker_starts_leaves_the_next_run_consistent() {
    crash_at(&["starting"], &["ready", "ready"]).await;
}

#[tokio::test]
async fn a_crash_after_the_first_old_worker_went_leaves_the_next_run_consistent() {
    // The old one that has nothing to do went, and the second new one is on its way.
    crash_at(&["ready", "starting"], &["ready"]).await;
}

#[tokio::test]
async fn a_crash_while_the_last_old_worker_drains_leaves_the_next_run_consistent() {
    crash_at(&["ready", "ready"], &["draining"]).await;
}
