//! Heads and trailers: their limits, and what may not stand in them.

use bytes::Bytes;
use futures_util::future::poll_fn;
use http::{HeaderMap, HeaderValue, Method};

use super::before;
use crate::support::{
    client::empty,
    eventually,
    fake::{Behaviour, FakeWorker},
    h2_client::{H2Client, piece, whole},
    h2_worker::H2Worker,
    penstock::Penstock,
    scripted::ScriptedWorker,
    soon,
};

#[tokio::test]
async fn a_long_head_of_an_answer_passes_and_a_too_long_one_fails_alone() {
    let worker = H2Worker::start().await;
    let penstock = before(&worker, "").await;
    let chat = penstock.client("chat");
    let client = H2Client::connect(penstock.address).await;
    let mut events = client.get(&chat, "/events").await.into_body();
    for (bytes, told) in [
        (30_000, (200, "")),
        (60_000, (200, "")),
        (100_000, (502, "bad_upstream_response")),
        (600_000, (502, "bad_upstream_response")),
    ] {
        let answer = client.get(&chat, &format!("/head/{bytes}")).await;
        let reason = answer.headers().get("x-penstock-reason");
        let reason = reason.map_or("", |reason| reason.to_str().unwrap());
        assert_eq!((answer.status().as_u16(), reason), told, "{bytes}");
        let parts = answer.headers().get_all("x-part").iter();
        let length: usize = parts.map(HeaderValue::len).sum();
        assert_eq!(length, if told.0 == 200 { bytes } else { 0 });
        for _ in 0..20 {
            piece(&mut events).await.expect("another stream goes on");
        }
    }
    assert_eq!(worker.seen().connections, 1);
    let told = "are allowed by `limits.max_header_bytes`";
    // What is written is not seen at once on a busy machine.
    eventually("the log says why", async || {
        penstock.log().contains(told).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_with_a_too_long_head_is_told_so() {
    let worker = H2Worker::start().await;
    let penstock = Penstock::start(&format!(
        r#"
        gateway.access_log = "json"
        [services.chat]
        protocol = "h2"
        [services.chat.deployments.main]
        static = {{ addresses = ["{}"] }}
        "#,
        worker.address
    ))
    .await;
    penstock.until_known("chat", 1).await;
    let chat = penstock.client("chat");
    let client = H2Client::connect(penstock.address).await;
    let mut events = client.get(&chat, "/events").await.into_body();
    for bytes in [60_000, 100_000, 400_000] {
        let mut headers = HeaderMap::new();
        for _ in 0..bytes / 10_000 {
            let part = HeaderValue::try_from("h".repeat(10_000)).unwrap();
            headers.append("x-part", part);
        }
        let mut call = client
            .begin_with(&chat, Method::GET, "/length", &headers)
            .await;
        let _ = call.body.send_data(Bytes::new(), true);
        let answer = call.head().await;
        match bytes {
            60_000 => assert_eq!(answer.status(), 200),
            _ => {
                assert_eq!(answer.status(), 431);
                assert_eq!(answer.headers()["x-penstock-reason"], "header_too_large");
            }
        }
        piece(&mut events).await.expect("another stream goes on");
    }
    penstock
        .until("both are counted", |metrics| {
            let labels = [("code", "431")];
            metrics.sum("penstock_requests_total", &labels) == 2.0
        })
        .await;
    eventually("both are logged", async || {
        let log = penstock.log();
        let lines = log.lines().filter(|line| line.contains("header_too_large"));
        (lines.count() == 2).then_some(())
    })
    .await;
    assert_eq!(worker.seen().requests, 2);
}

#[tokio::test]
async fn a_length_that_is_told_twice_is_told_once_or_not_believed() {
    for (fields, told) in [
        ("content-length: 3\r\ncontent-length: 3", (200, "3")),
        ("content-length: 3, 3", (200, "3")),
        ("content-length: 3, 4", (502, "")),
        ("content-length: 3\r\ncontent-length: 4", (502, "")),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nabc");
        let worker = ScriptedWorker::start(answer.leak()).await;
        let penstock = Penstock::before(worker.address, "").await;
        for client in [penstock.client("chat"), penstock.client("chat").h2()] {
            let answer = client.get("/").await;
            assert_eq!(answer.status.as_u16(), told.0, "{fields}");
            if told.0 == 200 {
                let lengths = answer.headers.get_all("content-length").iter();
                assert_eq!(lengths.collect::<Vec<_>>(), [told.1], "{fields}");
                assert_eq!(answer.text(), "abc");
            } else {
                assert_eq!(answer.reason(), "bad_upstream_response", "{fields}");
            }
        }
    }
}

#[tokio::test]
async fn trailers_that_must_not_be_there_are_left_out_and_others_pass() {
    let worker = H2Worker::start().await;
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\
                   content-length: 7\r\ngrpc-status: 0\r\nx-own: 1\r\n\r\n";
    let over_http1 = ScriptedWorker::start(chunked).await;
    for penstock in [
        before(&worker, "").await,
        Penstock::before(over_http1.address, "").await,
    ] {
        let client = H2Client::connect(penstock.address).await;
        let answer = client.get(&penstock.client("chat"), "/trailers").await;
        let (text, trailers) = whole(answer.into_body()).await;
        assert_eq!(text, "ok");
        let trailers = trailers.expect("trailers");
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers["x-own"], "1");
        assert_eq!(trailers.len(), 2, "{trailers:?}");
    }
}

/// What a worker of HTTP/1.1 says that gives interim answers.
const HINTS: &str = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
                     HTTP/1.1 103 Early Hints\r\nlink: </b>\r\nx-penstock-reason: forged\r\n\r\n\
                     HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Asks for them, and hears both.
async fn hears_hints(penstock: &Penstock) {
    let client = H2Client::connect(penstock.address).await;
    let chat = penstock.client("chat");
    let mut call = client.begin(&chat, Method::GET, "/early-hints").await;
    call.body.send_data(Bytes::new(), true).unwrap();
    for link in ["</a>", "</b>"] {
        let hint = poll_fn(|cx| call.answer.poll_informational(cx));
        let hint = soon("an interim answer", hint).await;
        let hint = hint.expect("it comes first").unwrap();
        assert_eq!(hint.status(), 103);
        assert_eq!(hint.headers()["link"], link);
        assert!(!hint.headers().contains_key("x-penstock-reason"));
    }
    let answer = call.head().await;
    assert_eq!(answer.status(), 200);
    assert_eq!(whole(answer.into_body()).await.0, "ok");
}

#[tokio::test]
async fn interim_answers_pass_on() {
    let worker = H2Worker::start().await;
    let over_http1 = ScriptedWorker::start(HINTS).await;
    for penstock in [
        before(&worker, "").await,
        Penstock::before(over_http1.address, "").await,
    ] {
        hears_hints(&penstock).await;
    }
}

#[tokio::test]
async fn interim_answers_of_the_worker_that_is_tried_next_pass_on() {
    let worker = H2Worker::start().await;
    let over_http1 = ScriptedWorker::start(HINTS).await;
    for (protocol, good) in [("h2", worker.address), ("http1", over_http1.address)] {
        let bad = FakeWorker::start().await;
        bad.on("/early-hints", Behaviour::Reset);
        let penstock = Penstock::start(&format!(
            r#"
            gateway.threads = 1
            [services.chat]
            protocol = "{protocol}"
            balance = "round-robin"
            ejection = {{ failures = 0 }}
            [services.chat.deployments.main]
            static = {{ addresses = ["{}", "{good}"] }}
            probes.ready = {{ tcp = false }}
            "#,
            bad.address
        ))
        .await;
        penstock.until_known("chat", 2).await;
        for _ in 0..4 {
            hears_hints(&penstock).await;
        }
        assert!(bad.seen().started >= 1);
    }
}

#[tokio::test]
async fn the_status_of_a_call_reaches_a_client_of_http1() {
    let worker = H2Worker::start().await;
    let penstock = before(&worker, "").await;
    let client = penstock.client("chat");
    let grpc = [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("connection", "te"),
    ];
    let exchange = client.send_with(Method::POST, "/trailers", &grpc, empty());
    let answer = exchange.await.whole().await;
    assert_eq!(answer.text(), "ok");
    let trailers = answer.trailers.expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn a_client_does_not_say_in_trailers_what_it_may_not_say_in_a_head() {
    let worker = H2Worker::start().await;
    let penstock = before(&worker, "").await;
    let client = H2Client::connect(penstock.address).await;
    let mut call = client
        .begin(&penstock.client("chat"), Method::POST, "/length")
        .await;
    call.body.send_data("abc".into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    for name in [
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "host",
        "content-length",
        "x-penstock-reason",
        "x-checksum",
    ] {
        trailers.insert(name, HeaderValue::from_static("1"));
    }
    call.body.send_trailers(trailers).unwrap();
    let answer = call.head().await;
    assert_eq!(answer.status(), 200);
    let names = answer.headers().keys().map(http::HeaderName::as_str);
    let got: Vec<&str> = names.filter(|name| name.starts_with("got-")).collect();
    assert_eq!(got, ["got-x-checksum"]);
}
