//! Requests that a worker failed are sent again where that does no harm.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Response};

use crate::support::{
    Task,
    client::{by_pieces, empty, full},
    eventually,
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
    scripted::ScriptedWorker,
};

/// The service `chat` before these workers, which get requests in turn and are not ejected.
async fn before(workers: &[SocketAddr], settings: &str) -> Penstock {
    let addresses: Vec<String> = workers.iter().map(ToString::to_string).collect();
    Penstock::start(&format!(
        r#"
        [services.chat]
        balance = "round-robin"
        ejection = {{ failures = 0 }}
        {settings}
        [services.chat.deployments.main]
        static = {{ addresses = {addresses:?} }}
        # The gateway finds out itself.
        probes.ready = {{ tcp = false }}
        "#
    ))
    .await
}

async fn retries(penstock: &Penstock, reason: &str) -> f64 {
    let labels = [("reason", reason)];
    penstock
        .metrics()
        .await
        .sum("penstock_retries_total", &labels)
}

/// As many bytes, no two places of which look alike.
fn body(length: usize) -> Bytes {
    (0..length)
        .map(|at| (at % 251) as u8 ^ (at / 251) as u8)
        .collect()
}

#[tokio::test]
async fn a_get_whose_worker_breaks_off_is_answered_by_another() {
    let (bad, good) = (FakeWorker::start().await, FakeWorker::start().await);
    bad.on("/", Behaviour::Reset);
    let penstock = before(&[bad.address, good.address], "").await;
    let client = penstock.client("chat");
    for _ in 0..10 {
        assert_eq!(client.get("/").await.text(), "ok");
    }
    let met = bad.seen().started;
    assert!(met >= 1);
    assert_eq!(retries(&penstock, "upstream_reset").await, met as f64);
    assert_eq!(good.seen().started, 10);
}

#[tokio::test]
async fn a_post_that_may_have_been_begun_is_sent_once() {
    let (one, two) = (FakeWorker::start().await, FakeWorker::start().await);
    one.on("/", Behaviour::Reset);
    two.on("/", Behaviour::Reset);
    let penstock = before(&[one.address, two.address], "").await;
    let client = penstock.client("chat");
    for count in 1..=5 {
        let answer = client.post("/", "x").await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (502, "upstream_reset")
        );
        assert_eq!(one.seen().started + two.seen().started, count);
    }
}

#[tokio::test]
async fn a_body_is_sent_again_exactly_when_the_operator_allows_it() {
    let (bad, good) = (ScriptedWorker::start("").await, FakeWorker::start().await);
    good.on("/", Behaviour::Echo);
    let penstock = before(
        &[bad.address, good.address],
        "retries = { any_method = true }",
    )
    .await;
    let client = penstock.client("chat");
    for length in [1, 5_000, 60_000, 64 << 10] {
        let (before, body) = (bad.requests(), body(length));
        while bad.requests() == before {
            let answer = client.post("/", body.clone()).await;
            assert_eq!((answer.status.as_u16(), &answer.body), (200, &body));
        }
    }
}

#[tokio::test]
async fn a_body_that_is_still_coming_goes_on_to_the_second_worker() {
    let (bad, good) = (ScriptedWorker::start("").await, FakeWorker::start().await);
    good.on("/", Behaviour::Echo);
    let penstock = before(&[bad.address, good.address], "").await;
    let client = penstock.client("chat");
    while bad.requests() == 0 {
        let (mut pieces, body) = by_pieces();
        let answer = tokio::spawn({
            let client = client.clone();
            // Idempotent, whatever its body.
            async move { client.send(Method::PUT, "/", body).await.whole().await }
        });
        pieces.send_data("the beginning, ".into()).await.unwrap();
        eventually("a worker has it", async || {
            (bad.requests() + good.seen().started > 0).then_some(())
        })
        .await;
        pieces.send_data("the rest".into()).await.unwrap();
        drop(pieces);
        assert_eq!(answer.await.unwrap().text(), "the beginning, the rest");
    }
}

#[tokio::test]
async fn a_body_longer_than_what_is_kept_is_sent_once() {
    let bad = ScriptedWorker::start("").await;
    let settings = "retries = { any_method = true, buffer = \"1KiB\" }";
    let penstock = before(&[bad.address], settings).await;
    let client = penstock.client("chat");
    assert_eq!(client.post("/", body(1025)).await.status, 502);
    assert_eq!(bad.requests(), 1);
    assert_eq!(client.post("/", body(1024)).await.status, 502);
    assert_eq!(bad.requests(), 1 + 3, "the first try and two more");
}

#[tokio::test]
async fn a_listed_status_is_tried_elsewhere_and_passed_on_when_there_is_no_elsewhere() {
    let (bad, good) = (FakeWorker::start().await, FakeWorker::start().await);
    bad.on("/", Behaviour::Answer(502, "its own 502"));
    let settings = "retries = { statuses = [502] }";
    let penstock = before(&[bad.address, good.address], settings).await;
    for _ in 0..6 {
        assert_eq!(penstock.client("chat").get("/").await.text(), "ok");
    }
    assert!(retries(&penstock, "status").await >= 1.0);
    let alone = before(&[bad.address], settings).await;
    let answer = alone.client("chat").get("/").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (502, "its own 502")
    );
    assert_eq!(retries(&alone, "status").await, 0.0);
}

#[tokio::test]
async fn retries_stop_when_the_budget_is_used_up() {
    let (bad, good) = (FakeWorker::start().await, FakeWorker::start().await);
    bad.on("/", Behaviour::Reset);
    let settings = "retries = { budget_percent = 0, budget_per_second = 1 }";
    let penstock = before(&[bad.address, good.address], settings).await;
    let client = penstock.client("chat");
    let mut failed = 0;
    // Ten are saved up, and one comes in a second.
    while failed < 3 {
        failed += usize::from(client.get("/").await.status == 502);
    }
    let metrics = penstock.metrics().await;
    let refused = metrics.sum("penstock_retries_refused_total", &[]);
    let retried = metrics.sum("penstock_retries_total", &[]);
    assert_eq!(refused, 3.0);
    assert!(retried >= 10.0, "{retried}");
    assert_eq!(retried + refused, bad.seen().started as f64);
}

#[tokio::test]
async fn a_get_is_tried_as_often_as_set_on_a_lonely_worker() {
    let bad = FakeWorker::start().await;
    bad.on("/", Behaviour::Reset);
    for attempts in [0, 1, 4] {
        let before_it = bad.seen().started;
        let settings = format!("retries = {{ attempts = {attempts} }}");
        let penstock = before(&[bad.address], &settings).await;
        let answer = penstock.client("chat").get("/").await;
        assert_eq!(answer.reason(), "upstream_reset");
        assert_eq!(bad.seen().started - before_it, 1 + attempts);
    }
}

#[tokio::test]
async fn an_answer_that_has_begun_is_never_begun_again() {
    let (bad, good) = (FakeWorker::start().await, FakeWorker::start().await);
    bad.on("/", Behaviour::CutOff);
    good.on("/", Behaviour::CutOff);
    let penstock = before(&[bad.address, good.address], "").await;
    let client = penstock.client("chat");
    let answer = client.send(Method::GET, "/", empty()).await;
    assert_eq!(answer.status(), 200);
    bad.release_all();
    good.release_all();
    assert!(answer.try_whole().await.is_err());
    assert_eq!(bad.seen().started + good.seen().started, 1);
}

#[tokio::test]
async fn a_grpc_call_that_finds_a_worker_unavailable_goes_to_another() {
    let (bad, good) = (FakeWorker::start().await, FakeWorker::start().await);
    for (worker, status) in [(&bad, "14"), (&good, "0")] {
        let answer = Behaviour::custom(move |_| async move {
            Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", status)
                .body(full(""))
                .unwrap()
        });
        worker.on("/test.Echo/Unary", answer);
    }
    for (settings, expected) in [("", "14"), ("retries = { any_method = true }", "0")] {
        let settings = format!("protocol = \"h2\"\n{settings}");
        let penstock = before(&[bad.address, good.address], &settings).await;
        let client = penstock.client("chat").h2();
        let met = bad.seen().started;
        while bad.seen().started == met {
            let grpc = [("content-type", "application/grpc")];
            let call = client.send_with(Method::POST, "/test.Echo/Unary", &grpc, full("call"));
            let answer = call.await.whole().await;
            if bad.seen().started > met {
                assert_eq!(answer.header("grpc-status"), expected);
            }
        }
    }
}

#[tokio::test]
async fn a_post_on_a_connection_that_is_going_away_is_processed_elsewhere() {
    // SETTINGS, then GOAWAY: stream 0 was the last one processed, and there was no error.
    let goaway = "\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let (bad, good) = (
        ScriptedWorker::start(goaway).await,
        FakeWorker::start().await,
    );
    good.on("/", Behaviour::Echo);
    let penstock = before(&[bad.address, good.address], "protocol = \"h2\"").await;
    let client = penstock.client("chat");
    while bad.requests() == 0 {
        let answer = client.post("/", body(30_000)).await;
        assert_eq!((answer.status.as_u16(), answer.body), (200, body(30_000)));
    }
}

#[tokio::test]
async fn a_post_on_a_stream_that_was_refused_is_processed_elsewhere() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing = listener.local_addr().unwrap();
    let (refused, mut seen) = tokio::sync::watch::channel(0);
    let _task = Task::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut connection) = h2::server::handshake(stream).await else {
                continue;
            };
            let refused = refused.clone();
            tokio::spawn(async move {
                while let Some(Ok((_request, mut answer))) = connection.accept().await {
                    answer.send_reset(h2::Reason::REFUSED_STREAM);
                    refused.send_modify(|count| *count += 1);
                }
            });
        }
    });
    let good = FakeWorker::start().await;
    good.on("/", Behaviour::Echo);
    let penstock = before(&[refusing, good.address], "protocol = \"h2\"").await;
    let client = penstock.client("chat");
    while *seen.borrow_and_update() == 0 {
        let answer = client.post("/", body(30_000)).await;
        assert_eq!((answer.status.as_u16(), answer.body), (200, body(30_000)));
    }
    assert!(retries(&penstock, "not_processed").await >= 1.0);
}
