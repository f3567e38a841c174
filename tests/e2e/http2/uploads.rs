//! Uploads that the worker does not take: whoever leaves, the other one hears of it.

use h2::Reason;
use http::Method;

use super::before;
use crate::support::{
    fake::{Behaviour, FakeWorker},
    h2_client::{H2Client, piece, whole},
    h2_worker::H2Worker,
    penstock::Penstock,
    soon,
};

const MEGABYTE: usize = 1 << 20;

#[tokio::test]
async fn a_client_that_leaves_a_blocked_upload_leaves_the_worker_too() {
    let (worker, other) = (H2Worker::start().await, FakeWorker::start().await);
    other.on("/read", Behaviour::Answer(200, "read"));
    let penstock = Penstock::start(&format!(
        r#"
        gateway.threads = 1
        [services.chat]
        protocol = "h2"
        [services.chat.deployments.main]
        static = {{ addresses = ["{}"] }}
        [services.other.deployments.main]
        static = {{ addresses = ["{}"] }}
        "#,
        worker.address, other.address
    ))
    .await;
    let chat = penstock.client("chat");
    let client = H2Client::connect(penstock.address).await;
    let mut events = client.get(&chat, "/events").await.into_body();
    piece(&mut events).await.unwrap();
    let mut calls = Vec::new();
    for _ in 0..5 {
        let mut call = client.begin(&chat, Method::POST, "/stuck").await;
        let mut body = call.head().await.into_body();
        assert_eq!(piece(&mut body).await.unwrap(), "begun");
        let sent = call.send_until_blocked(2 * MEGABYTE).await;
        assert!(sent < 2 * MEGABYTE, "the worker took it");
        calls.push((call, body));
    }
    penstock.until_load("chat", 6, 0).await;
    for (mut call, body) in calls {
        call.cancel();
        drop(body);
    }
    let seen = worker
        .until("all are taken back", |seen| seen.taken_back.len() == 5)
        .await;
    assert_eq!(seen.taken_back, [Reason::CANCEL; 5]);
    assert_eq!(seen.connections, 1);
    penstock.until_load("chat", 1, 0).await;

    // Nothing of what they sent is in the way of others on the same connections.
    let mut upload = client
        .begin(&penstock.client("other"), Method::POST, "/read")
        .await;
    assert_eq!(upload.send_until_blocked(4 * MEGABYTE).await, 4 * MEGABYTE);
    upload.body.send_data("".into(), true).unwrap();
    assert_eq!(upload.head().await.status(), 200);
    for _ in 0..10 {
        piece(&mut events).await.unwrap();
    }
    let (status, text) = client.get_whole(&chat, "/length").await;
    assert_eq!((status, &*text), (200, "0"));
    assert_eq!(worker.seen().connections, 1);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_leaves_the_worker_too() {
    let worker = H2Worker::start().await;
    let penstock = before(&worker, "").await;
    let client = H2Client::connect(penstock.address).await;
    let mut call = client
        .begin(&penstock.client("chat"), Method::POST, "/hold")
        .await;
    call.send_until_blocked(2 * MEGABYTE).await;
    worker.until("the request", |seen| seen.requests == 1).await;
    call.cancel();
    let seen = worker
        .until("it is taken back", |seen| seen.taken_back.len() == 1)
        .await;
    assert_eq!(seen.taken_back, [Reason::CANCEL]);
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn an_early_refusal_reaches_the_client_while_it_sends() {
    let worker = H2Worker::start().await;
    let penstock = before(&worker, "ejection = { failures = 1 }").await;
    let client = H2Client::connect(penstock.address).await;
    let chat = penstock.client("chat");
    for _ in 0..20 {
        let mut call = client.begin(&chat, Method::POST, "/refuse").await;
        call.body
            .send_data(vec![0; 2 * MEGABYTE].into(), false)
            .unwrap();
        assert_eq!(call.head().await.status(), 413);
    }
    let page = penstock.metrics().await;
    assert_eq!(page.sum("penstock_ejections_total", &[]), 0.0);
    penstock.until_load("chat", 0, 0).await;
}

/// The worker goes on answering and takes nothing: `total` ends that; or it is silent: `idle` does.
#[tokio::test]
async fn the_clocks_ring_while_an_upload_is_blocked() {
    for (path, timeouts) in [
        ("/chatty", "total"),
        ("/stuck", "idle"),
        ("/stuck", "total"),
    ] {
        let worker = H2Worker::start().await;
        let settings = format!("timeouts = {{ {timeouts} = \"1s\" }}");
        let penstock = before(&worker, &settings).await;
        let client = H2Client::connect(penstock.address).await;
        let chat = penstock.client("chat");
        let mut call = client.begin(&chat, Method::POST, path).await;
        let mut body = call.head().await.into_body();
        let reads = async {
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
            }
        };
        let sends = async {
            call.body.reserve_capacity(2 * MEGABYTE);
            call.body.send_data(vec![0; 2 * MEGABYTE].into(), false)
        };
        let (sent, ()) = tokio::join!(sends, soon("the answer ends", reads));
        sent.unwrap();
        worker
            .until("it is taken back", |seen| seen.taken_back.len() == 1)
            .await;
        penstock.until_load("chat", 0, 0).await;
    }
}

/// Nobody reads the answer either, so that nobody asks for it.
#[tokio::test]
async fn the_total_clock_rings_also_for_an_answer_that_nobody_reads() {
    let worker = H2Worker::start().await;
    let penstock = before(&worker, "timeouts = { total = \"1s\" }").await;
    let client = H2Client::connect(penstock.address).await;
    let _unread = client.get(&penstock.client("chat"), "/pour").await;
    let seen = worker
        .until("it is taken back", |seen| seen.taken_back.len() == 1)
        .await;
    assert_eq!(seen.taken_back, [Reason::CANCEL]);
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn what_nobody_takes_after_the_answer_is_given_up_in_time() {
    let worker = H2Worker::start().await;
    let penstock = before(&worker, "timeouts = { idle = \"1s\" }").await;
    let client = H2Client::connect(penstock.address).await;
    let mut call = client
        .begin(&penstock.client("chat"), Method::POST, "/early")
        .await;
    let answer = call.head().await.into_body();
    assert_eq!(whole(answer).await.0, "answer");
    call.send_until_blocked(2 * MEGABYTE).await;
    worker
        .until("it is taken back", |seen| seen.taken_back.len() == 1)
        .await;
}
