//! The console: its files, the stream of events that it lives on, and the requests that it sends for
//! operators. What it looks like and does in a browser: `tests/browser`.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    client::{Client, RawConnection, empty, full},
    eventually,
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
    soon,
};

/// Reads the events of a stream, each with its name.
struct Stream {
    exchange: crate::support::client::Exchange,
    buffer: String,
}

impl Stream {
    async fn open(admin: &Client, query: &str) -> Self {
        let path = format!("/api/v1/events{query}");
        let exchange = admin.send(Method::GET, &path, empty()).await;
        assert_eq!(exchange.status(), StatusCode::OK);
        let content_type = &exchange.response.headers()["content-type"];
        assert_eq!(content_type, "text/event-stream");
        Self {
            exchange,
            buffer: String::new(),
        }
    }

    async fn next(&mut self) -> (String, Value) {
        use http_body_util::BodyExt;
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let event: String = self.buffer.drain(..end + 2).collect();
                let Some((name, data)) = event.trim().split_once("\ndata: ") else {
                    continue;
                };
                let name = name.strip_prefix("event: ").unwrap();
                return (name.to_owned(), serde_json::from_str(data).unwrap());
            }
            let frame = soon("an event", self.exchange.response.frame()).await;
            let data = frame.unwrap().unwrap().into_data().unwrap();
            self.buffer.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The next event of this name that is as wanted.
    async fn until(&mut self, name: &str, is: impl Fn(&Value) -> bool) -> Value {
        soon(name, async {
            loop {
                let (this, data) = self.next().await;
                if this == name && is(&data) {
                    return data;
                }
            }
        })
        .await
    }
}

/// The lines that a request that is tried is answered with.
async fn tried(penstock: &Penstock, wanted: Value) -> Vec<Value> {
    let reply = penstock
        .admin()
        .post("/api/v1/try", wanted.to_string())
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let lines = reply.text().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_stream_begins_with_the_state_and_goes_on_with_what_changes() {
    let worker = FakeWorker::start().await;
    let penstock = Penstock::before(worker.address, "").await;
    penstock.until_ready("chat", 1).await;
    let mut stream = Stream::open(&penstock.admin(), "").await;
    let (first, state) = stream.next().await;
    assert_eq!(first, "state");
    let main = &state["services"]["chat"]["deployments"]["main"];
    assert_eq!(main["phase"], "warm");
    assert_eq!(main["workers"].as_object().unwrap().len(), 1);
    worker.on("/held", Behaviour::Hold);
    let client = penstock.client("chat");
    let held = tokio::spawn(async move {
        client
            .try_send(client.request(Method::GET, "/held", empty()))
            .await
    });
    let place = ["services", "chat", "deployments", "main", "in_flight"];
    let at = |patch: &Value| {
        place
            .iter()
            .fold(patch.clone(), |value, key| value[key].clone())
    };
    let patch = stream.until("patch", |patch| at(patch) == 1).await;
    // What has not changed is not told again.
    assert!(patch["services"]["chat"].get("hosts").is_none(), "{patch}");
    assert!(patch.get("config").is_none(), "{patch}");
    held.abort();
    stream.until("patch", |patch| at(patch) == 0).await;
}

#[tokio::test]
async fn a_stream_of_one_service_tells_of_its_requests_decisions_and_samples() {
    let worker = FakeWorker::start().await;
    worker.on("/held", Behaviour::Hold);
    let penstock = Penstock::before(worker.address, "").await;
    penstock.until_ready("chat", 1).await;
    let mut stream = Stream::open(&penstock.admin(), "?service=chat").await;
    let client = penstock.client("chat");
    assert_eq!(client.get("/").await.status, 200);
    let held = tokio::spawn(async move { client.get("/held").await });
    // The first one may not be settled yet when its client has the answer.
    let is_held = |detail: &Value| {
        let requests = &detail["requests"];
        let recent = &detail["recent"]["main"]["recent"];
        requests["open"] == 1 && requests["oldest"][0]["path"] == "/held" && recent["requests"] == 1
    };
    let detail = stream.until("service", is_held).await;
    assert_eq!(detail["explain"][0]["deployment"], "main");
    held.abort();
    let counts = |samples: &Value| {
        let rows = samples["of"]["main"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        rows.iter().filter_map(|row| row[1].as_u64()).sum::<u64>()
    };
    eventually("the requests are in the samples", async || {
        let page = penstock.admin().get("/api/v1/history?service=chat").await;
        (counts(&page.json()) == 2).then_some(())
    })
    .await;
    // Whoever comes later sees what came before.
    let mut later = Stream::open(&penstock.admin(), "?service=chat").await;
    let samples = later.until("history", |_| true).await;
    assert_eq!(counts(&samples), 2);
    assert_eq!(samples["columns"][1], "requests");
    assert_eq!(
        penstock
            .admin()
            .get("/api/v1/history?service=x")
            .await
            .status,
        404
    );
    let mut nowhere = Stream::open(&penstock.admin(), "?service=nowhere").await;
    let detail = nowhere.until("service", |_| true).await;
    assert!(detail["problem"].as_str().unwrap().contains("nowhere"));
}

#[tokio::test]
async fn only_so_many_watch_and_a_place_is_free_again_when_one_leaves() {
    let worker = FakeWorker::start().await;
    let penstock = Penstock::before(worker.address, "").await;
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(Stream::open(&penstock.admin(), "").await);
    }
    let refused = penstock.admin().get("/api/v1/events").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.text().contains("32 clients"), "{}", refused.text());
    // Everybody is told the same at the same time, whether others read or not.
    streams.last_mut().unwrap().until("patch", |_| true).await;
    streams.truncate(31);
    eventually("a place is free", async || {
        let exchange = penstock
            .admin()
            .send(Method::GET, "/api/v1/events", empty())
            .await;
        (exchange.status() == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whoever_reads_nothing_holds_up_nobody_and_gets_the_newest_state_at_last() {
    let worker = FakeWorker::start().await;
    let penstock = Penstock::before(worker.address, "").await;
    let mut slow = RawConnection::open(penstock.admin_address()).await;
    slow.write("GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    let mut quick = Stream::open(&penstock.admin(), "").await;
    let (_, state) = quick.next().await;
    let mut last = state["at_ms"].as_u64().unwrap();
    for _ in 0..5 {
        let patch = quick.until("patch", |_| true).await;
        let at = patch["at_ms"].as_u64().unwrap();
        assert!(at > last, "{at} after {last}");
        last = at;
    }
    let begins = slow.read_until("event: state").await;
    assert!(begins.starts_with("HTTP/1.1 200 "), "{begins}");
}

#[tokio::test]
async fn a_request_is_tried_through_the_gateway_and_told_as_it_is_answered() {
    let worker = FakeWorker::start().await;
    let penstock = Penstock::before(worker.address, "").await;
    penstock.until_ready("chat", 1).await;
    let asked = json!({ "service": "chat", "method": "POST", "path": "/echo?a=b", "headers": [["x-test", "1"]], "body": "hello" });
    let lines = tried(&penstock, asked).await;
    assert!(lines[0]["connected"].is_string(), "{lines:?}");
    assert_eq!(lines[1]["status"], 200);
    let end = lines.last().unwrap();
    assert_eq!(end["end"], true, "{lines:?}");
    let times: Vec<f64> = lines
        .iter()
        .map(|line| line["at"].as_f64().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    let text: String = lines
        .iter()
        .filter_map(|line| line["text"].as_str())
        .collect();
    assert_eq!(end["bytes"], text.len());
    // Straight to one deployment, and what the gateway itself answers.
    let asked = json!({ "service": "chat", "deployment": "main", "path": "/" });
    assert_eq!(tried(&penstock, asked).await[1]["status"], 200);
    let refused = |wanted: Value| {
        let admin = penstock.admin();
        async move { admin.post("/api/v1/try", wanted.to_string()).await }
    };
    for (wanted, status, words) in [
        (
            json!({ "service": "x", "path": "/" }),
            404,
            "there is no service x",
        ),
        (
            json!({ "service": "chat", "deployment": "x", "path": "/" }),
            404,
            "no deployment x",
        ),
        (
            json!({ "service": "chat", "path": "evil.example:80" }),
            422,
            "begins with a slash",
        ),
        (
            json!({ "service": "chat", "path": "/", "headers": [["host", "x"]] }),
            422,
            "cannot be set here",
        ),
        (
            json!({ "service": "chat", "path": "/", "address": "1.2.3.4:80" }),
            400,
            "unknown field",
        ),
    ] {
        let reply = refused(wanted).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert!(reply.text().contains(words), "{}", reply.text());
    }
}

#[tokio::test]
async fn a_request_that_is_tried_ends_when_whoever_asked_leaves() {
    let worker = FakeWorker::start().await;
    worker.on("/events", Behaviour::Events);
    let penstock = Penstock::before(worker.address, "").await;
    penstock.until_ready("chat", 1).await;
    let wanted = json!({ "service": "chat", "path": "/events" }).to_string();
    let exchange = penstock
        .admin()
        .send(Method::POST, "/api/v1/try", full(wanted))
        .await;
    penstock.until_load("chat", 1, 0).await;
    drop(exchange);
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn pages_of_other_origins_can_neither_read_nor_ask_nor_frame_anything() {
    let worker = FakeWorker::start().await;
    let penstock = Penstock::before(worker.address, "").await;
    let page = penstock.admin().get("/").await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-security-policy")
            .contains("frame-ancestors 'none'")
    );
    assert_eq!(page.header("x-frame-options"), "DENY");
    assert_eq!(page.header("cross-origin-resource-policy"), "same-origin");
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let script = penstock.admin().get("/console/main.js").await;
    assert_eq!(
        script.header("content-type"),
        "text/javascript; charset=utf-8"
    );
    assert_eq!(penstock.admin().get("/console/other.js").await.status, 404);
    for (method, path) in [
        (Method::GET, "/api/v1/events"),
        (Method::POST, "/api/v1/try"),
        (Method::POST, "/api/v1/services/chat/pause"),
    ] {
        for headers in [
            [("origin", "http://evil.example"), ("x-a", "b")],
            [
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "no-cors"),
            ],
        ] {
            let sent = penstock.admin();
            let answer = sent
                .send_with(method.clone(), path, &headers, empty())
                .await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path} {headers:?}");
        }
    }
}
