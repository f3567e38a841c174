//! Streaming requests that wait: their answers begin before there is a worker.

use std::sync::Arc;

use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{CHAT, ask};
use crate::support::{
    client::{Client, Exchange, full},
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
    soon,
};

/// A streaming request; what tells so comes last.
fn ask_for_stream() -> String {
    json!({ "messages": [], "model": "small", "stream": true }).to_string()
}

/// What comes next of a stream of events.
async fn next(exchange: &mut Exchange) -> String {
    let frame = soon("a piece", exchange.response.frame()).await;
    let data = frame.expect("a piece").unwrap().into_data().unwrap();
    String::from_utf8(data.to_vec()).unwrap()
}

/// A service with one place, which is taken.
struct Full {
    penstock: Penstock,
    worker: FakeWorker,
    _first: tokio::task::JoinHandle<()>,
}

impl Full {
    async fn with(queue: &str) -> Self {
        let worker = FakeWorker::start().await;
        worker.on("/hold", Behaviour::Hold);
        let penstock = Penstock::start(&format!(
            r#"
            [services.chat]
            models = ["small"]
            queue = {{ begin_stream_after = "100ms", {queue} }}
            ejection.failures = 0
            deployments.main = {{ static = {{ addresses = ["{}"] }}, max_concurrency = 1 }}
            "#,
            worker.address
        ))
        .await;
        penstock.until_known("chat", 1).await;
        let client = penstock.client("chat");
        let first = tokio::spawn(async move { drop(client.get("/hold").await) });
        worker
            .until("the place is taken", |seen| seen.current == 1)
            .await;
        Self {
            penstock,
            worker,
            _first: first,
        }
    }

    fn clients(&self) -> [Client; 2] {
        let client = self.penstock.client("api");
        [client.clone(), client.h2()]
    }

    /// How many requests ended like this.
    async fn ended(&self, code: &str) -> f64 {
        let labels = [("service", "chat"), ("code", code)];
        let metrics = self.penstock.metrics().await;
        metrics.sum("penstock_requests_total", &labels)
    }
}

async fn stream(client: &Client, path: &str) -> Exchange {
    let body = full(ask_for_stream());
    let exchange = client.send(Method::POST, path, body).await;
    assert_eq!(exchange.status(), 200);
    let content_type = &exchange.response.headers()["content-type"];
    assert_eq!(content_type, "text/event-stream");
    assert!(exchange.response.headers().contains_key("x-request-id"));
    exchange
}

fn sse(data: &'static str) -> Behaviour {
    Behaviour::custom(move |request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        // The worker may be asked for more than its client has asked for.
        let asked = ask_for_stream();
        assert!(body.starts_with(asked.trim_end_matches('}').as_bytes()));
        http::Response::builder()
            .header("content-type", "text/event-stream; charset=utf-8")
            .body(full(data))
            .unwrap()
    })
}

#[tokio::test]
async fn a_stream_begins_with_keep_alives_and_goes_on_with_the_workers() {
    let service = Full::with("max_wait = '60s'").await;
    service.worker.on(CHAT, sse("data: {}\n\ndata: [DONE]\n\n"));
    service
        .worker
        .on("/v1/messages", sse("event: message_stop\ndata: {}\n\n"));
    let [h1, h2] = service.clients();
    let mut openai = stream(&h1, CHAT).await;
    let mut anthropic = stream(&h2, "/v1/messages").await;
    assert_eq!(next(&mut openai).await, ": waiting for a worker\n\n");
    assert_eq!(
        next(&mut anthropic).await,
        "event: ping\ndata: {\"type\": \"ping\"}\n\n"
    );
    assert!(anthropic.response.headers().contains_key("request-id"));
    service.worker.release_all();
    let told = openai.whole().await;
    assert_eq!(told.text(), "data: {}\n\ndata: [DONE]\n\n");
    let told = anthropic.whole().await;
    assert_eq!(told.text(), "event: message_stop\ndata: {}\n\n");
    service.penstock.until_load("chat", 0, 0).await;
    assert_eq!(service.ended("200").await, 3.0);
}

#[tokio::test]
async fn who_did_not_ask_for_a_stream_waits_for_the_head() {
    let service = Full::with("max_wait = '1s'").await;
    for client in service.clients() {
        let body = format!(r#"{{"stream":false,{}"#, &ask("small")[1..]);
        for body in [ask("small"), body] {
            let reply = client.post(CHAT, body).await;
            assert_eq!(
                (reply.status.as_u16(), reply.reason()),
                (504, "queue_timeout")
            );
        }
    }
    assert_eq!(service.ended("504").await, 4.0);
}

#[tokio::test]
async fn a_failure_is_an_event_of_the_stream_and_the_log_tells_the_truth() {
    let service = Full::with("max_wait = '1s'").await;
    for client in service.clients() {
        let told = stream(&client, CHAT).await.whole().await;
        let (wait, event) = told.text().split_once("\n\n").unwrap();
        assert_eq!(wait, ": waiting for a worker");
        let event: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(event["error"]["code"], "queue_timeout");
        assert_eq!(event["error"]["type"], "server_error");

        let told = stream(&client, "/v1/messages").await.whole().await;
        let (_, event) = told.text().split_once("event: error\ndata: ").unwrap();
        let event: Value = serde_json::from_str(event).unwrap();
        assert_eq!(event["type"], "error");
        assert_eq!(event["error"]["type"], "timeout_error");
        assert_eq!(event["request_id"], told.header("request-id"));
    }
    assert_eq!(service.ended("504").await, 4.0);
}

#[tokio::test]
async fn an_error_of_the_worker_is_an_event_too() {
    let service = Full::with("max_wait = '60s'").await;
    let error = r#"{"error":{"message":"too long","type":"invalid_request_error","code":400}}"#;
    service.worker.on(CHAT, Behaviour::Answer(400, error));
    service
        .worker
        .on("/v1/completions", Behaviour::Answer(200, "hello"));
    let [h1, h2] = service.clients();
    let mut first = stream(&h1, CHAT).await;
    let mut second = stream(&h2, "/v1/completions").await;
    next(&mut first).await;
    next(&mut second).await;
    service.worker.release_all();
    let told = first.whole().await;
    let event: Value = serde_json::from_str(told.text().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(event, serde_json::from_str::<Value>(error).unwrap());
    let told = second.whole().await;
    assert!(
        told.text().contains("bad_upstream_response"),
        "{}",
        told.text()
    );
    service.penstock.until_load("chat", 0, 0).await;
    assert_eq!(service.ended("400").await, 1.0);
}

/// Sends this of a stream, and breaks off when the test opens the gate.
fn breaks(gate: &Arc<Semaphore>, piece: &'static str) -> Behaviour {
    let gate = Arc::clone(gate);
    Behaviour::custom(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            let pieces = async_stream::stream! {
                yield Ok(http_body::Frame::data(piece.into()));
                gate.acquire().await.unwrap().forget();
                yield Err("asked to break off".into());
            };
            http::Response::builder()
                .header("content-type", "text/event-stream")
                .body(BodyExt::boxed(http_body_util::StreamBody::new(pieces)))
                .unwrap()
        }
    })
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_an_error_event() {
    let service = Full::with("max_wait = '60s'").await;
    let gate = Arc::new(Semaphore::new(0));
    const INSIDE: &str = "/v1/completions";
    for (path, piece) in [(CHAT, "data: 1\n\n"), (INSIDE, "data: 1\n\ndata: {")] {
        service.worker.on(path, breaks(&gate, piece));
    }
    let [h1, h2] = service.clients();
    let mut begun = Vec::new();
    for (client, path) in [(&h1, CHAT), (&h2, CHAT), (&h1, INSIDE), (&h2, INSIDE)] {
        let mut exchange = stream(client, path).await;
        next(&mut exchange).await;
        begun.push(exchange);
    }
    service.worker.release_all();
    for mut exchange in begun {
        let piece = next(&mut exchange).await;
        assert!(piece.starts_with("data: 1\n\n"), "{piece}");
        gate.add_permits(1);
        let told = exchange.whole().await;
        let text = told.text();
        // An event that was not at its end might have been the usage, and nobody gets the beginning of it.
        assert!(text.starts_with("data: {\"error\":"), "{text}");
        assert!(text.contains("upstream_reset"), "{text}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_its_begun_stream_leaves_the_queue() {
    let service = Full::with("max_wait = '60s'").await;
    for client in service.clients() {
        let mut exchange = stream(&client, CHAT).await;
        next(&mut exchange).await;
        service.penstock.until_load("chat", 1, 1).await;
        drop(exchange);
        service.penstock.until_load("chat", 1, 0).await;
    }
    assert_eq!(service.ended("499").await, 2.0);
}

#[tokio::test]
async fn a_stream_that_has_begun_is_not_compressed() {
    let service = Full::with("max_wait = '60s'").await;
    for (path, content_type, encoding) in [
        (CHAT, "Text/Event-Stream", "identity"),
        ("/v1/completions", "text/event-stream", "gzip"),
    ] {
        let behaviour = Behaviour::custom(move |_| async move {
            http::Response::builder()
                .header("content-type", content_type)
                .header("content-encoding", encoding)
                .body(full("data: 1\n\n"))
                .unwrap()
        });
        service.worker.on(path, behaviour);
    }
    let [h1, h2] = service.clients();
    let gzip = [("accept-encoding", "gzip")];
    let begin = async |client: &Client, path| {
        let body = full(ask_for_stream());
        let mut exchange = client.send_with(Method::POST, path, &gzip, body).await;
        next(&mut exchange).await;
        exchange
    };
    let plain = begin(&h1, CHAT).await;
    let compressed = begin(&h2, "/v1/completions").await;
    service.worker.release_all();
    assert_eq!(plain.whole().await.text(), "data: 1\n\n");
    let told = compressed.whole().await;
    let text = told.text();
    assert!(text.contains("bad_upstream_response"), "{text}");
    let asked = service.worker.heads();
    let mut asked = asked.iter().map(|head| &head.headers);
    assert!(asked.all(|headers| !headers.contains_key("accept-encoding")));
}

#[tokio::test]
async fn an_answer_of_google_begins_early_only_where_it_is_a_stream_of_events() {
    let service = Full::with("max_wait = '1s'").await;
    let path = "/v1beta/models/small:streamGenerateContent";
    for client in service.clients() {
        for query in ["", "?alt=json"] {
            let reply = client.post(&[path, query].concat(), "{}").await;
            let told = (reply.status.as_u16(), reply.reason());
            assert_eq!(told, (504, "queue_timeout"), "{query}");
        }
        let reply = client.post(&[path, "?alt=sse"].concat(), "{}").await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), "text/event-stream");
    }
}

#[tokio::test]
async fn a_request_for_a_stream_may_be_long_before_its_model() {
    let service = Full::with("max_wait = '1s'").await;
    for client in service.clients() {
        let long = "a".repeat(3 << 20);
        let body = format!(r#"{{"messages":["{long}"],"model":"small","stream":true}}"#);
        let reply = client.post(CHAT, body).await;
        assert_eq!(reply.status, 200);
        assert!(reply.text().starts_with(": waiting for a worker"));
    }
}

#[tokio::test]
async fn an_error_of_the_worker_in_no_form_of_an_api_keeps_its_status_and_words() {
    let service = Full::with("max_wait = '60s'").await;
    let worker = &service.worker;
    worker.on(CHAT, Behaviour::Answer(422, r#"{"detail":[{"msg":"no"}]}"#));
    worker.on(
        "/v1/messages",
        Behaviour::Answer(400, r#"{"message":"too long"}"#),
    );
    let [h1, h2] = service.clients();
    let mut openai = stream(&h1, CHAT).await;
    let mut anthropic = stream(&h2, "/v1/messages").await;
    next(&mut openai).await;
    next(&mut anthropic).await;
    worker.release_all();
    let told = openai.whole().await;
    let event = told.text().strip_prefix("data: ").unwrap();
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(event["error"]["message"], r#"[{"msg":"no"}]"#);
    assert_eq!(
        (&event["error"]["code"], &event["status"]),
        (&json!(422), &json!(422))
    );
    assert_eq!(event["request_id"], told.header("x-request-id"));
    let told = anthropic.whole().await;
    let (_, event) = told.text().split_once("event: error\ndata: ").unwrap();
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(
        event["error"],
        json!({ "type": "invalid_request_error", "message": "too long" })
    );
    assert_eq!(event["request_id"], told.header("request-id"));
}
