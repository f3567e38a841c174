//! Tokens of answers, counted as they pass: against what workers say that they gave.

use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{CHAT, keys::hash};
use crate::support::{
    client::{Client, Events, full},
    eventually,
    fake::{Behaviour, FakeWorker},
    metrics::Metrics,
    penstock::Penstock,
    simulated::SimulatedWorker,
};

pub(super) const COMPLETIONS: &str = "/v1/completions";
pub(super) const MESSAGES: &str = "/v1/messages";
pub(super) const RESPONSES: &str = "/v1/responses";
const EMBEDDINGS: &str = "/v1/embeddings";

/// More than the blocks in which workers keep prompts.
const PROMPT: &str = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen \
    fifteen sixteen seventeen eighteen nineteen twenty";

/// What a request of this API says, besides `more`.
pub(super) fn body(path: &str, more: &Value) -> String {
    let messages = json!([{ "role": "user", "content": PROMPT }]);
    let mut body = match path {
        CHAT => json!({ "messages": messages, "reasoning_effort": "low" }),
        MESSAGES => {
            json!({ "messages": messages, "max_tokens": 40, "thinking": { "type": "enabled" } })
        }
        RESPONSES => json!({ "input": PROMPT, "reasoning": { "effort": "low" } }),
        COMPLETIONS => json!({ "prompt": PROMPT }),
        _ => json!({ "input": [PROMPT, "water"] }),
    };
    body["model"] = json!("demo");
    let members = body.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    body.to_string()
}

/// A worker, before it a Penstock with two keys, and the clients of it: at the front door and at the service's own
/// host, over HTTP/1.1 and HTTP/2. The first one of the service's own is relayed, the others are served by hyper.
pub(super) struct Counted {
    _worker: SimulatedWorker,
    worker: Client,
    pub(super) penstock: Penstock,
}

impl Counted {
    pub(super) async fn start(args: &[&str]) -> Self {
        let (simulated, worker) = SimulatedWorker::ready(args).await;
        let penstock = Penstock::start(&format!(
            r#"
            gateway.access_log = "json"
            [services.chat]
            models = ["demo", {{ name = "alias", upstream = "demo" }}]
            api_keys.one.sha256 = "{}"
            api_keys.two.sha256 = "{}"
            deployments.main.static = {{ addresses = ["{}"] }}
            "#,
            hash("one"),
            hash("two"),
            worker.address
        ))
        .await;
        penstock.until_known("chat", 1).await;
        Self {
            _worker: simulated,
            worker,
            penstock,
        }
    }

    pub(super) fn clients(&self) -> [Client; 4] {
        let (door, own) = (self.penstock.client("api"), self.penstock.client("chat"));
        [own.clone(), own.h2(), door.clone(), door.h2()]
    }

    /// What the worker counts, once nobody asks it anything.
    async fn stats(&self) -> Value {
        eventually("the worker has nothing to do", async || {
            let stats = self.worker.get("/stats").await.json();
            (stats["in_flight"] == 0).then_some(stats)
        })
        .await
    }

    /// The metrics, once so many requests are counted.
    pub(super) async fn metrics(&self, requests: f64) -> Metrics {
        let is_counted =
            |metrics: &Metrics| metrics.sum("penstock_model_requests_total", &[]) == requests;
        self.penstock
            .until("all requests are counted", is_counted)
            .await
    }
}

fn tokens(metrics: &Metrics, kind: &str) -> f64 {
    metrics.sum("penstock_tokens_total", &[("kind", kind)])
}

/// Sends a request with this key, and reads all of the answer, or so many events of it.
pub(super) async fn ask(
    client: &Client,
    key: &str,
    path: &str,
    body: &str,
    events: Option<usize>,
) -> Vec<String> {
    let key = format!("Bearer {key}");
    let headers = [("authorization", &*key), ("accept-encoding", "gzip")];
    let body = full(body.to_owned());
    let exchange = client.send_with(Method::POST, path, &headers, body).await;
    if exchange.response.headers()["content-type"] == "application/json" {
        return vec![exchange.whole().await.text().to_owned()];
    }
    let mut stream = Events::new(exchange);
    let Some(most) = events else {
        return stream.rest().await;
    };
    let mut all = Vec::new();
    while all.len() < most {
        all.push(stream.next().await.unwrap());
    }
    all
}

#[tokio::test]
async fn tokens_of_all_apis_are_those_that_workers_count_also_when_clients_leave() {
    let counted = Counted::start(&["--tokens-per-second", "2000"]).await;
    let asked = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let streamed = json!({ "stream": true });
    let endless = json!({ "stream": true, "max_tokens": 100_000, "ignore_eos": true });
    let mut tasks = Vec::new();
    let (mut whole, mut left) = (0, 0);
    for (number, client) in counted.clients().into_iter().enumerate() {
        let is_door = number >= 2;
        // At its own host nobody asks the worker for what the client does not ask for.
        let chat = if is_door { &streamed } else { &asked };
        for (path, more, events) in [
            (CHAT, chat, None),
            (CHAT, &asked, None),
            (CHAT, &json!({}), None),
            (COMPLETIONS, chat, None),
            (COMPLETIONS, &json!({}), None),
            (MESSAGES, &streamed, None),
            (MESSAGES, &json!({}), None),
            (RESPONSES, &streamed, None),
            (RESPONSES, &json!({}), None),
            (EMBEDDINGS, &json!({}), None),
            (CHAT, &endless, Some(30)),
            (COMPLETIONS, &endless, Some(20)),
            (MESSAGES, &endless, Some(25)),
            (RESPONSES, &endless, Some(15)),
        ] {
            let key = ["one", "two"][tasks.len() % 2];
            let (client, body) = (client.clone(), body(path, more));
            if events.is_some() {
                left += 1;
            } else {
                whole += 1;
            }
            tasks.push(tokio::spawn(async move {
                ask(&client, key, path, &body, events).await
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    let stats = counted.stats().await;
    let metrics = counted.metrics(f64::from(whole + left)).await;
    let told = |name: &str| stats[name].as_f64().unwrap();
    let known_by = |by| metrics.sum("penstock_model_requests_total", &[("tokens", by)]);
    assert_eq!(
        (known_by("reported"), known_by("estimated")),
        (f64::from(whole), f64::from(left))
    );
    let estimated = tokens(&metrics, "estimated");
    let wanted = told("told_generated_tokens");
    assert_eq!(tokens(&metrics, "output") - estimated, wanted, "{stats}");
    assert_eq!(tokens(&metrics, "reasoning"), told("told_reasoning_tokens"));
    // Messages tell the prompt at the beginning, so that it is known of those who left, too.
    let early = 4.0 * 20.0;
    assert_eq!(
        tokens(&metrics, "input"),
        told("told_prompt_tokens") + early
    );
    assert!(tokens(&metrics, "cached") >= told("told_cached_tokens"));
    assert!(told("told_cached_tokens") > 0.0);
    // What a client gets that leaves is less than what the worker has given by then.
    let unfinished = told("generated_tokens") - wanted;
    assert!(
        estimated > 4.0 * 80.0 && estimated <= unfinished,
        "{estimated} {unfinished}"
    );
    for key in ["one", "two"] {
        assert!(metrics.sum("penstock_tokens_total", &[("key", key)]) > 0.0);
    }

    // Where the time to first tokens went comes to all of it.
    let first = metrics.sum("penstock_time_to_first_token_seconds_sum", &[]);
    let parts = metrics.sum("penstock_time_to_first_token_part_seconds_total", &[]);
    assert!((first - parts).abs() < 1e-3, "{first} {parts}");
    let streams = metrics.sum("penstock_first_tokens_total", &[]);
    assert_eq!(
        metrics.sum("penstock_time_to_first_token_seconds_count", &[]),
        streams
    );
    assert_eq!(
        metrics.sum("gen_ai_server_time_to_first_token_seconds_count", &[]),
        streams
    );
    assert_eq!(
        metrics.sum(
            "gen_ai_client_token_usage_sum",
            &[("gen_ai_token_type", "output")]
        ),
        tokens(&metrics, "output")
    );
    assert_eq!(
        metrics.sum("gen_ai_server_request_duration_seconds_count", &[]),
        f64::from(whole + left)
    );
    let of = |operation| {
        let labels = [
            ("gen_ai_operation_name", operation),
            ("gen_ai_request_model", "demo"),
        ];
        metrics.sum("gen_ai_server_request_duration_seconds_count", &labels)
    };
    assert_eq!((of("embeddings"), of("text_completion")), (4.0, 12.0));

    // Control hears of them as well.
    eventually("the status tells tokens", async || {
        let status = counted.penstock.admin().get("/api/v1/status").await.json();
        let service = &status["services"][0];
        let is_same = |told: &Value| told["output"].as_f64() == Some(tokens(&metrics, "output"));
        (is_same(&service["tokens"]) && is_same(&service["deployments"][0]["tokens"])).then_some(())
    })
    .await;
    let line = counted.penstock.log();
    assert!(line.contains(r#""model":"demo","tokens_in":20"#), "{line}");
}

#[tokio::test]
async fn a_client_gets_no_usage_that_it_did_not_ask_for() {
    let counted = Counted::start(&[]).await;
    let [own, own_h2, door, door_h2] = counted.clients();
    let streamed = body(CHAT, &json!({ "stream": true, "max_tokens": 12 }));
    let direct = Events::new(
        counted
            .worker
            .send(Method::POST, CHAT, full(streamed.clone()))
            .await,
    );
    let direct = direct.rest().await;
    // But for what names an answer.
    let content = |events: &[String]| -> Vec<Value> {
        let each = events.iter().map(|event| {
            let mut event = serde_json::from_str::<Value>(event).unwrap_or_default();
            event["id"] = Value::Null;
            event["created"] = Value::Null;
            event
        });
        each.collect()
    };
    for (client, wanted) in [
        (&own, "estimated"),
        (&own_h2, "estimated"),
        (&door, "reported"),
        (&door_h2, "reported"),
    ] {
        let before = counted.penstock.metrics().await;
        let events = ask(client, "one", CHAT, &streamed, None).await;
        assert_eq!(content(&events), content(&direct));
        let labels = [("tokens", wanted)];
        let name = "penstock_model_requests_total";
        let after = counted
            .penstock
            .until("it is counted", |metrics| {
                metrics.sum(name, &labels) > before.sum(name, &labels)
            })
            .await;
        // Counted from pieces, it is the same here.
        assert_eq!(tokens(&after, "output") - tokens(&before, "output"), 12.0);
    }
    // Who asks for it gets it.
    let asked =
        json!({ "stream": true, "max_tokens": 12, "stream_options": { "include_usage": true } });
    let events = ask(&door, "one", CHAT, &body(CHAT, &asked), None).await;
    assert!(
        events[events.len() - 2].contains(r#""completion_tokens":12"#),
        "{events:?}"
    );
    // And what a client says about it is left as it is.
    let refused =
        json!({ "stream": true, "max_tokens": 12, "stream_options": { "include_usage": false } });
    let events = ask(&door, "one", CHAT, &body(CHAT, &refused), None).await;
    assert_eq!(content(&events), content(&direct));
}

#[tokio::test]
async fn a_stream_of_a_known_length_is_shorter_without_its_usage() {
    const BEFORE: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    const USAGE: &str =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n";
    const END: &str = "data: [DONE]\n\n";
    let worker = FakeWorker::start().await;
    let answer = Behaviour::custom(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let asked: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(asked["stream_options"]["include_usage"], true);
        http::Response::builder()
            .header("content-type", "text/event-stream")
            .body(full([BEFORE, USAGE, END].concat()))
            .unwrap()
    });
    worker.on(CHAT, answer);
    let penstock = Penstock::before(worker.address, r#"models = ["demo"]"#).await;
    penstock.until_known("chat", 1).await;
    let door = penstock.client("api");
    for client in [door.clone(), door.h2()] {
        let body = body(CHAT, &json!({ "stream": true }));
        let reply = client.post(CHAT, body).await;
        assert_eq!(reply.text(), [BEFORE, END].concat());
        assert!(!reply.headers.contains_key("content-length"));
    }
}

#[tokio::test]
async fn where_it_is_off_nothing_is_asked_and_nothing_read() {
    let (_simulated, worker) = SimulatedWorker::ready(&[]).await;
    let settings = r#"models = ["demo"]
        token_usage = "off""#;
    let penstock = Penstock::before(worker.address, settings).await;
    penstock.until_known("chat", 1).await;
    let streamed = body(CHAT, &json!({ "stream": true }));
    let exchange = penstock
        .client("api")
        .send(Method::POST, CHAT, full(streamed))
        .await;
    let events = Events::new(exchange).rest().await;
    assert!(!events.iter().any(|event| event.contains("usage")));
    let metrics = penstock.until("it is counted", |metrics| {
        metrics.sum("penstock_requests_total", &[("code", "200")]) == 1.0
    });
    assert_eq!(metrics.await.count("penstock_model_requests_total", &[]), 0);
}
