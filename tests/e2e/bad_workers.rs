//! Workers that answer with something that is no answer.

use http::Method;

use crate::support::{
    client::full, eventually, penstock::Penstock, processes::memory_kib, scripted::ScriptedWorker,
};

async fn start(worker: &ScriptedWorker, protocol: &str) -> Penstock {
    let settings = format!("protocol = \"{protocol}\"");
    Penstock::before(worker.address, &settings).await
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_told_from_a_broken_connection() {
    for (bytes, reason) in [
        (
            "garbage in place of an answer\r\n\r\n",
            "bad_upstream_response",
        ),
        ("HTTP/1.1 999999 Strange\r\n\r\n", "bad_upstream_response"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "bad_upstream_response",
        ),
        ("HTTP/1.1 200 OK\r\nx-half", "upstream_reset"),
        ("", "upstream_reset"),
    ] {
        let worker = ScriptedWorker::start(bytes).await;
        let penstock = start(&worker, "http1").await;
        let answer = penstock.client("chat").post("/", "x").await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (502, reason),
            "{bytes:?}"
        );
        assert_eq!(worker.requests(), 1, "a POST is sent once: {bytes:?}");
        penstock.until_load("chat", 0, 0).await;
    }
}

#[tokio::test]
async fn a_worker_that_only_announces_answers_is_given_up_soon() {
    for (protocol, worker) in [
        ("http1", ScriptedWorker::endless(EARLY_HINTS).await),
        ("h2", ScriptedWorker::endless(&h2_early_hints()).await),
    ] {
        let penstock = start(&worker, protocol).await;
        let answer = penstock.client("chat").post("/", "x").await;
        assert_eq!(answer.status, 502, "{protocol}: {}", answer.text());
        penstock.until_load("chat", 0, 0).await;
        assert_eq!(worker.requests(), 1, "{protocol}: a POST is sent once");
    }
}

#[tokio::test]
async fn an_answer_that_was_announced_is_passed_on() {
    let announced = format!(
        "{}HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n{}",
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(50),
        "x".repeat(300_000)
    );
    let worker = ScriptedWorker::start(announced.leak()).await;
    let penstock = start(&worker, "http1").await;
    let answer = penstock.client("chat").post("/", "x").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text().len()),
        (200, 300_000)
    );
}

const EARLY_HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";

/// HEADERS with `:status: 103` on the first stream, without an end.
fn h2_early_hints() -> Vec<u8> {
    let mut frame = vec![0, 0, 5, 1, 4, 0, 0, 0, 1];
    frame.extend(b"\x08\x03103");
    frame
}

#[tokio::test]
async fn what_only_the_gateway_may_say_is_taken_from_a_workers_answer() {
    let bytes = "HTTP/1.1 200 OK\r\nx-penstock-reason: queue_full\r\nX_Penstock_Queue_Eta: 1\r\n\
                 trailer: x-penstock-reason\r\ntransfer-encoding: chunked\r\n\r\n\
                 2\r\nok\r\n0\r\nx-penstock-reason: forged\r\nx-own: 1\r\n\r\n";
    let worker = ScriptedWorker::start(bytes).await;
    let penstock = start(&worker, "http1").await;
    let client = penstock.client("chat");
    for client in [client.clone(), client.h2()] {
        let answer = client.get("/").await;
        assert_eq!((answer.text(), answer.reason()), ("ok", ""));
        assert_eq!(answer.header("x_penstock_queue_eta"), "");
    }
}

#[tokio::test]
async fn an_answer_shorter_than_its_length_is_seen_to_break_off() {
    let bytes = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this";
    let worker = ScriptedWorker::start(bytes).await;
    let penstock = start(&worker, "http1").await;
    let client = penstock.client("chat");
    for client in [client.clone(), client.h2()] {
        let exchange = client.send(Method::POST, "/", full("x")).await;
        assert_eq!(exchange.status(), 200);
        assert!(
            exchange.try_whole().await.is_err(),
            "a cut answer looked whole"
        );
    }
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn a_chunked_answer_that_also_names_a_length_is_taken_by_its_chunks() {
    let bytes = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n\
                 5\r\nhello\r\n0\r\n\r\n";
    let worker = ScriptedWorker::start(bytes).await;
    let penstock = start(&worker, "http1").await;
    let client = penstock.client("chat");
    for client in [client.clone(), client.h2()] {
        let answer = client.get("/").await;
        assert_eq!(answer.text(), "hello");
        assert_eq!(answer.header("content-length"), "");
    }
}

/// Two workers that say the same: one of them may be ejected.
async fn two(beginning: &'static str, bytes: &[u8]) -> (Penstock, [ScriptedWorker; 2]) {
    let workers = [
        ScriptedWorker::begun(beginning, bytes).await,
        ScriptedWorker::begun(beginning, bytes).await,
    ];
    let [one, other] = workers.each_ref().map(|worker| worker.address);
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat]
        ejection = {{ failures = 1, first = "10m", longest = "10m" }}
        [services.chat.deployments.main]
        static = {{ addresses = ["{one}", "{other}"] }}
        "#
    ))
    .await;
    penstock.until_known("chat", 2).await;
    (penstock, workers)
}

/// KiB that an answer without end may cost, with what a debug binary needs for a request anyway.
const ROOM: u64 = 32 << 10;

/// The worker was blamed, nothing is left of the request, and little memory was needed.
async fn was_ended(penstock: &Penstock, before: u64, what: &str) {
    penstock
        .until("the worker is blamed", |metrics| {
            metrics.sum("penstock_ejections_total", &[]) == 1.0
        })
        .await;
    penstock.until_load("chat", 0, 0).await;
    let grown = memory_kib(penstock.pid(), "VmHWM").saturating_sub(before);
    assert!(grown < ROOM, "{grown} KiB for {what}");
}

#[tokio::test]
async fn the_head_of_an_http1_answer_is_bounded_in_bytes_and_in_fields() {
    for (what, beginning, bytes) in [
        (
            "a field without end",
            "HTTP/1.1 200 OK\r\nx-long: ",
            &b"a"[..],
        ),
        ("fields without end", "HTTP/1.1 200 OK\r\n", b"x-a: b\r\n"),
        ("a status line without end", "HTTP/1.1 200 ", b"O"),
    ] {
        let (penstock, _workers) = two(beginning, bytes).await;
        let before = memory_kib(penstock.pid(), "VmHWM");
        let answer = penstock.client("chat").post("/", "x").await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (502, "bad_upstream_response"),
            "{what}"
        );
        was_ended(&penstock, before, what).await;
    }
}

#[tokio::test]
async fn the_trailers_of_an_http1_answer_are_bounded() {
    let beginning = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n";
    for bytes in [&b"x-a: b\r\n"[..], b"a"] {
        let (penstock, _workers) = two(beginning, bytes).await;
        let before = memory_kib(penstock.pid(), "VmHWM");
        // The head has passed on, so that the answer can only break off.
        let client = penstock.client("chat");
        let exchange = client.send(Method::POST, "/", full("x")).await;
        assert_eq!(exchange.status(), 200);
        assert!(
            exchange.try_whole().await.is_err(),
            "a cut answer looked whole"
        );
        was_ended(&penstock, before, "trailers without end").await;
        let metrics = penstock.metrics().await;
        let cut = [("reason", "upstream_reset")];
        assert_eq!(metrics.sum("penstock_gateway_answers_total", &cut), 1.0);
    }
}

#[tokio::test]
async fn a_post_is_sent_once_to_an_http2_worker_that_answers_garbage() {
    let worker = ScriptedWorker::start("garbage in place of frames").await;
    let penstock = start(&worker, "h2").await;
    let answer = penstock.client("chat").post("/", "x").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(worker.requests(), 1);
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn a_worker_that_speaks_no_http2_gets_no_request() {
    for bytes in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
        let worker = ScriptedWorker::rash(bytes).await;
        let penstock = start(&worker, "h2").await;
        let answer = penstock.client("chat").post("/", "x").await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (502, "connect_failed"),
            "{bytes:?}"
        );
        assert_eq!(worker.requests(), 3, "it may go elsewhere: {bytes:?}");
        let told = format!("{} does not speak HTTP/2", worker.address);
        eventually(&told, async || penstock.log().contains(&told).then_some(())).await;
    }
}

#[tokio::test]
async fn a_worker_that_stays_silent_is_given_up_after_the_first_byte_timeout() {
    let worker = ScriptedWorker::silent().await;
    let settings = r#"timeouts = { first_byte = "500ms" }"#;
    let penstock = Penstock::before(worker.address, settings).await;
    let answer = penstock.client("chat").post("/", "x").await;
    assert_eq!(
        (answer.status.as_u16(), answer.reason()),
        (504, "first_byte_timeout")
    );
    penstock.until_load("chat", 0, 0).await;
}
