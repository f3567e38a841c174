//! Which requests are copied, and what a copy may wake.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use http::Method;
use tokio_tungstenite::tungstenite::Message;

use super::{
    config, config_with, ended, reload, until_dropped, until_ended, until_nothing_is_left,
};
use crate::support::{
    client::{Client, empty, over_h1, over_h2},
    fake::{Behaviour, FakeWorker},
    metrics::Metrics,
    penstock::{Penstock, simulated},
    soon,
};

#[tokio::test]
async fn the_share_is_copied_evenly() {
    let (stable, candidate) = (FakeWorker::start().await, FakeWorker::start().await);
    let config = config("", stable.address, candidate.address, ", percent = 10");
    let penstock = Penstock::start(&config).await;
    let client = penstock.client("chat");
    for hundred in 1..=3 {
        for _ in 0..100 {
            assert_eq!(client.get("/").await.text(), "ok");
        }
        let copies = candidate.seen().started;
        assert!(copies.abs_diff(10 * hundred) <= 3, "{copies}");
    }
    until_nothing_is_left(&penstock).await;
}

#[tokio::test]
async fn upgrades_are_never_copied() {
    let (stable, candidate) = (FakeWorker::start().await, FakeWorker::start().await);
    stable.on("/ws", Behaviour::WebSocket);
    let config = config("", stable.address, candidate.address, "");
    let penstock = Penstock::start(&config).await;
    let client = penstock.client("chat");
    let mut socket = over_h1(&client, "/ws").await;
    socket.send(Message::text("hello")).await.unwrap();
    let echoed = soon("the echo", socket.next()).await.unwrap().unwrap();
    assert_eq!(echoed, Message::text("hello"));
    let (_connection, mut socket) = over_h2(&client, "/ws").await;
    socket.send(Message::text("hello")).await.unwrap();
    let echoed = soon("the echo", socket.next()).await.unwrap().unwrap();
    assert_eq!(echoed, Message::text("hello"));
    // The request before the extended CONNECT is an ordinary one.
    until_ended(&penstock, "ok", 1).await;
    assert_eq!(candidate.heads().len(), 1);
    assert_eq!(candidate.heads()[0].path, "/");
}

#[tokio::test]
async fn what_the_target_answers_itself_and_what_names_its_deployment_is_not_copied() {
    let (stable, candidate) = (FakeWorker::start().await, FakeWorker::start().await);
    stable.on("/", Behaviour::Answer(200, "stable"));
    candidate.on("/", Behaviour::Answer(200, "candidate"));
    let config = format!(
        r#"
        [services.chat]
        mirror = {{ to = "candidate" }}
        deployments.stable = {{ static = {{ addresses = ["{}"] }} }}
        deployments.candidate = {{ static = {{ addresses = ["{}"] }} }}
        "#,
        stable.address, candidate.address
    );
    let penstock = Penstock::start(&config).await;
    for straight in ["stable--chat", "candidate--chat"] {
        for _ in 0..5 {
            penstock.client(straight).get("/").await;
        }
    }
    assert_eq!((stable.seen().started, candidate.seen().started), (5, 5));
    let client = penstock.client("chat");
    let mut by_stable = 0;
    for _ in 0..20 {
        by_stable += usize::from(client.get("/").await.text() == "stable");
    }
    assert_eq!(by_stable, 10);
    until_ended(&penstock, "ok", 10).await;
    until_nothing_is_left(&penstock).await;
    assert_eq!(stable.seen().started, 15);
    assert_eq!(candidate.seen().started, 25);
}

#[tokio::test]
async fn a_copy_is_not_copied_by_the_word_of_a_trusted_proxy() {
    let (stable, candidate) = (FakeWorker::start().await, FakeWorker::start().await);
    let trust = "[gateway]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let config = config("", stable.address, candidate.address, "");
    let penstock = Penstock::start(&format!("{trust}{config}")).await;
    let client = penstock.client("chat");
    let mark = [("x-penstock-mirror", "1")];
    let marked = client.send_with(Method::GET, "/", &mark, empty()).await;
    assert_eq!(marked.whole().await.text(), "ok");
    assert_eq!(stable.heads()[0].header("x-penstock-mirror"), "1");
    assert_eq!(client.get("/").await.text(), "ok");
    until_ended(&penstock, "ok", 1).await;
    assert_eq!(candidate.seen().started, 1);
}

/// A target that control starts and stops.
fn asleep(idle_timeout: &str) -> String {
    let command = simulated("--load-time 0s");
    format!(
        r#"
        process = {{ {command} }}
        probes.ready = {{ http = "/health" }}
        scaling = {{ min = 0, max = 3, idle_timeout = "{idle_timeout}" }}
        "#
    )
}

fn desired(metrics: &Metrics) -> f64 {
    let labels = [("deployment", "candidate")];
    metrics.sum("penstock_desired_workers", &labels)
}

async fn ask(client: &Client, requests: usize) {
    for _ in 0..requests {
        assert_eq!(client.get("/v1/models").await.text(), "ok");
    }
}

#[tokio::test]
async fn a_target_at_zero_stays_there_unless_copies_may_wake_it() {
    let stable = FakeWorker::start().await;
    let config = |mirror| config_with("", stable.address, &asleep("1h"), mirror);
    let penstock = Penstock::start(&config("")).await;
    let client = penstock.client("chat");
    ask(&client, 5).await;
    let metrics = until_dropped(&penstock, "no_worker", 5).await;
    assert_eq!(desired(&metrics), 0.0);
    reload(&penstock, &config(", scales = true")).await;
    ask(&client, 5).await;
    let metrics = until_dropped(&penstock, "no_worker", 10).await;
    assert_eq!(desired(&metrics), 0.0);

    reload(&penstock, &config(", wakes = true")).await;
    ask(&client, 5).await;
    let metrics = until_ended(&penstock, "ok", 5).await;
    assert_eq!(desired(&metrics), 1.0, "copies wake one worker");
    until_nothing_is_left(&penstock).await;
    let metrics = penstock.metrics().await;
    let labels = [("deployment", "candidate")];
    assert_eq!(metrics.sum("penstock_requests_total", &labels), 0.0);
    assert_eq!(ended(&metrics, "dropped"), 10.0);
}

#[tokio::test]
async fn a_target_that_copies_woke_sleeps_again_when_they_end() {
    let stable = FakeWorker::start().await;
    let config = config_with("", stable.address, &asleep("2s"), ", wakes = true");
    let penstock = Penstock::start(&config).await;
    let client = penstock.client("chat");
    // Control counts a start once it has told the gateway of it.
    let until_woken = async |times: f64| {
        let labels = [("deployment", "candidate"), ("result", "ready")];
        let starts = |metrics: &Metrics| metrics.sum("penstock_worker_starts_total", &labels);
        penstock
            .until("the target was woken", |metrics| starts(metrics) >= times)
            .await;
        assert_eq!(starts(&penstock.metrics().await), times);
    };
    ask(&client, 1).await;
    until_ended(&penstock, "ok", 1).await;
    until_woken(1.0).await;
    penstock
        .until("the target sleeps", |metrics| {
            let labels = [("deployment", "candidate")];
            metrics.sum("penstock_workers", &labels) == 0.0
        })
        .await;
    ask(&client, 1).await;
    until_ended(&penstock, "ok", 2).await;
    until_woken(2.0).await;
}

#[tokio::test]
async fn requests_of_many_clients_at_once_are_each_copied_once() {
    let (stable, candidate) = (FakeWorker::start().await, FakeWorker::start().await);
    stable.on("/", Behaviour::Echo);
    let settings = ", max_in_flight = 1000";
    let config = config("", stable.address, candidate.address, settings);
    let penstock = Arc::new(Penstock::start(&config).await);
    let clients: Vec<_> = (0..8)
        .map(|number: usize| {
            let client = penstock.client("chat");
            tokio::spawn(async move {
                for request in 0..50 {
                    let body = format!("{number} {request}");
                    assert_eq!(client.post("/", body.clone()).await.text(), body);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    until_ended(&penstock, "ok", 400).await;
    until_nothing_is_left(&penstock).await;
    let mut originals: Vec<_> = stable
        .heads()
        .iter()
        .map(|h| h.header("x-request-id"))
        .collect();
    let mut copies: Vec<_> = candidate
        .heads()
        .iter()
        .map(|h| h.header("x-request-id"))
        .collect();
    originals.sort();
    copies.sort();
    assert_eq!(originals, copies);
}
