//! Streams of models that break: the client is told.

use http::Method;
use serde_json::{Value, json};

use super::{
    CHAT,
    tokens::{COMPLETIONS, Counted, MESSAGES, RESPONSES, ask, body},
};
use crate::support::{client::full, penstock::Penstock, scripted::ScriptedWorker};

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_of_its_api() {
    let counted = Counted::start(&["--break-after", "5", "--tokens-per-second", "100"]).await;
    let mut count = 0.0;
    for client in counted.clients() {
        for path in [CHAT, COMPLETIONS, MESSAGES, RESPONSES] {
            let events = ask(
                &client,
                "one",
                path,
                &body(path, &json!({ "stream": true })),
                None,
            )
            .await;
            let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
            if path == MESSAGES {
                assert_eq!(
                    (&last["type"], &last["error"]["type"]),
                    (&json!("error"), &json!("api_error"))
                );
            } else {
                assert_eq!(last["error"]["code"], "upstream_reset", "{events:?}");
            }
            assert!(events.len() > 2, "{events:?}");
            count += 1.0;
        }
    }
    let labels = [("reason", "upstream_reset")];
    let metrics = counted.metrics(count).await;
    assert_eq!(metrics.sum("penstock_stream_errors_total", &labels), count);
    assert!(
        counted
            .penstock
            .log()
            .contains(r#""reason":"upstream_reset""#)
    );
}

#[tokio::test]
async fn an_event_that_has_begun_is_ended_before_an_error() {
    const HEAD: &str =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    for (rest, text) in [
        // Between two chunks, and in the middle of a short one and of a long one.
        ("d\r\ndata: {\"a\":1}\r\n", "data: {\"a\":1}\n\n"),
        ("20\r\ndata: {\"a\":1}\n\n", "data: {\"a\":1}\n\n"),
        (
            "2000\r\ndata: {\"a\":1}\n\ndata: {\"cho",
            "data: {\"a\":1}\n\ndata: {\"cho\n\n",
        ),
    ] {
        let answer: &'static str = format!("{HEAD}{rest}").leak();
        let worker = ScriptedWorker::start(answer).await;
        let settings = r#"models = ["demo"]
            token_usage = "read""#;
        let penstock = Penstock::before(worker.address, settings).await;
        penstock.until_known("chat", 1).await;
        let (own, door) = (penstock.client("chat"), penstock.client("api"));
        for client in [own.clone(), own.h2(), door.clone(), door.h2()] {
            let body = body(CHAT, &json!({ "stream": true }));
            let reply = client.post(CHAT, body).await;
            let rest = reply.text().strip_prefix(text);
            let rest = rest.unwrap_or_else(|| panic!("{:?}", reply.text()));
            let error = rest
                .strip_prefix("data: ")
                .unwrap()
                .split('\n')
                .next()
                .unwrap();
            let error: Value = serde_json::from_str(error).unwrap();
            assert_eq!(error["error"]["code"], "upstream_reset");
        }
    }
    // What is in the middle of a size, or was promised to have a length, cannot be ended.
    for (head, rest) in [
        (HEAD, "d\r\ndata: {\"a\":1}\r\n2"),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 100\r\n\r\n",
            "data: {}\n\n",
        ),
    ] {
        let answer: &'static str = format!("{head}{rest}").leak();
        let worker = ScriptedWorker::start(answer).await;
        let penstock = Penstock::before(worker.address, "models = [\"demo\"]").await;
        penstock.until_known("chat", 1).await;
        let own = penstock.client("chat");
        let body = full(body(CHAT, &json!({ "stream": true })));
        let exchange = own.send(Method::POST, CHAT, body).await;
        assert!(exchange.try_whole().await.is_err());
    }
}
