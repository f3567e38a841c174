//! Workers that answer with something that is no answer.

use http::Method;

use crate::support::{client::full, penstock::Penstock, scripted::ScriptedWorker};

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

#[tokio::test]
async fn a_post_is_sent_once_to_an_http2_worker_that_answers_garbage() {
    let worker = ScriptedWorker::start("garbage in place of frames").await;
    let penstock = start(&worker, "h2").await;
    let answer = penstock.client("chat").post("/", "x").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(worker.requests() <= 1);
    penstock.until_load("chat", 0, 0).await;
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
