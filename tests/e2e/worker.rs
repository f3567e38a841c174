//! `penstock worker` by itself.

use http::Method;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    client::{Client, Events, RawConnection, full},
    eventually,
    simulated::SimulatedWorker,
};

const CHAT: &str = "/v1/chat/completions";

fn chat(extra: &Value) -> String {
    let mut body = json!({
        "model": "demo", "messages": [{ "role": "user", "content": "Explain turbines please" }],
    });
    body.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    body.to_string()
}

/// Waits until the worker's own count has this value.
async fn count(client: &Client, name: &str, value: u64) {
    eventually(&format!("{name} = {value}"), async || {
        (client.get("/stats").await.json()[name] == value).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_streamed_answer_has_role_content_reason_usage_and_an_end() {
    let (_worker, client) = SimulatedWorker::ready(&[]).await;
    let body = chat(&json!({ "stream": true, "stream_options": { "include_usage": true } }));
    let events = Events::new(client.send(Method::POST, CHAT, full(body)).await)
        .rest()
        .await;
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(done, "[DONE]");
    let chunks: Vec<Value> = chunks
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let content = |chunk: &Value| {
        chunk["choices"][0]["delta"]["content"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let text: String = chunks[1..chunks.len() - 2].iter().map(content).collect();
    assert!(text.contains("turbines"), "{text}");
    assert_eq!(
        chunks[chunks.len() - 2]["choices"][0]["finish_reason"],
        "stop"
    );
    let usage = &chunks[chunks.len() - 1]["usage"];
    assert_eq!(usage["completion_tokens"], text.split(' ').count());
    assert_eq!(usage["prompt_tokens"], 3);

    let whole = client.post(CHAT, chat(&json!({}))).await.json();
    assert_eq!(whole["choices"][0]["message"]["content"], text);
    assert_eq!(&whole["usage"], usage);
}

#[tokio::test]
async fn plain_completions_answer_every_prompt() {
    let (_worker, client) = SimulatedWorker::ready(&[]).await;
    let body = json!({ "model": "demo", "prompt": ["one", "two"], "max_tokens": 3 });
    let answer = client
        .post("/v1/completions", body.to_string())
        .await
        .json();
    let texts: Vec<&str> = answer["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts.len(), 2);
    assert!(
        texts.iter().all(|text| text.split(' ').count() == 3),
        "{texts:?}"
    );
    assert_eq!(answer["choices"][1]["finish_reason"], "length");
}

#[tokio::test]
async fn embeddings_are_the_same_as_floats_and_as_base64() {
    let (_worker, client) = SimulatedWorker::ready(&[]).await;
    let ask = async |format: &str| {
        let body = json!({ "input": "water", "encoding_format": format, "dimensions": 8 });
        client.post("/v1/embeddings", body.to_string()).await.json()["data"][0]["embedding"].clone()
    };
    let floats: Vec<f32> = serde_json::from_value(ask("float").await).unwrap();
    let encoded: String = serde_json::from_value(ask("base64").await).unwrap();
    let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, encoded).unwrap();
    let decoded: Vec<f32> = bytes
        .chunks(4)
        .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
        .collect();
    assert_eq!(floats, decoded);
    assert_eq!(floats.len(), 8);
}

#[tokio::test]
async fn bad_input_is_answered_in_openais_form() {
    let (_worker, client) = SimulatedWorker::ready(&[]).await;
    for (path, body, status) in [
        (CHAT, "{", 400),
        (CHAT, r#"{"messages":[]}"#, 400),
        (CHAT, r#"{"messages":7}"#, 422),
        (
            CHAT,
            r#"{"messages":[{"role":"user"}],"max_tokens":1000000}"#,
            400,
        ),
        (
            CHAT,
            r#"{"messages":[{"role":"user"}],"model":"other"}"#,
            404,
        ),
        ("/v1/completions", r#"{"prompt":[]}"#, 400),
        ("/v1/embeddings", r#"{"input":"x","dimensions":0}"#, 400),
        ("/v1/embeddings", "", 400),
        ("/v1/nothing", "", 404),
        ("/health", "", 405),
    ] {
        let answer = client.post(path, body).await;
        assert_eq!(answer.status, status, "{path} {body}");
        assert!(
            answer.json()["error"]["message"].is_string(),
            "{}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn a_full_batch_makes_requests_wait_in_the_worker() {
    let (_worker, client) =
        SimulatedWorker::ready(&["--batch", "2", "--tokens-per-second", "1"]).await;
    let body = chat(&json!({ "stream": true }));
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(client.send(Method::POST, CHAT, full(body.clone())).await);
    }
    count(&client, "waiting", 1).await;
    let metrics = client.get("/metrics").await;
    assert!(
        metrics
            .text()
            .contains("vllm:num_requests_running{model_name=\"demo\"} 2\n")
    );
    assert!(
        metrics
            .text()
            .contains("vllm:num_requests_waiting{model_name=\"demo\"} 1\n")
    );
    open.remove(0);
    count(&client, "waiting", 0).await;
    assert_eq!(client.get("/stats").await.json()["running"], 2);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() {
    let (_worker, client) = SimulatedWorker::ready(&["--tokens-per-second", "1"]).await;
    for (client, stream) in [(client.clone(), true), (client.h2(), true)] {
        let body = chat(&json!({ "stream": stream }));
        drop(client.send(Method::POST, CHAT, full(body)).await);
    }
    let body = chat(&json!({}));
    let mut unanswered = RawConnection::open(client.address).await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    unanswered.write(head + &body).await;
    count(&client, "started", 3).await;
    drop(unanswered);
    count(&client, "aborted", 3).await;
    count(&client, "in_flight", 0).await;
}

#[tokio::test]
async fn while_it_loads_only_its_own_pages_answer() {
    let mut worker = SimulatedWorker::spawn(&["--hang-on-start"]);
    let client = worker.client().await;
    assert_eq!(client.get("/health").await.status, 503);
    assert_eq!(client.get("/metrics").await.status, 200);
    assert_eq!(client.post(CHAT, chat(&json!({}))).await.status, 503);
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.exit().await.0, Some(0));
}

#[tokio::test]
async fn faults_strike_when_asked_for() {
    let (code, errors) = SimulatedWorker::spawn(&["--crash-on-start"]).exit().await;
    assert_eq!(code, Some(1));
    assert!(errors.contains("out of memory"), "{errors}");

    let crash = ["--load-time", "0s", "--crash-after", "1ms"];
    assert_eq!(SimulatedWorker::spawn(&crash).exit().await.0, Some(1));

    let (_worker, client) = SimulatedWorker::ready(&["--fail-after", "1"]).await;
    assert_eq!(client.post(CHAT, chat(&json!({}))).await.status, 200);
    assert_eq!(client.post(CHAT, chat(&json!({}))).await.status, 500);
}

#[tokio::test]
async fn sigterm_lets_a_stream_end_and_then_the_worker() {
    let (mut worker, client) = SimulatedWorker::ready(&["--tokens-per-second", "20"]).await;
    let body = chat(&json!({ "stream": true, "max_tokens": 5 }));
    let mut events = Events::new(client.send(Method::POST, CHAT, full(body)).await);
    events.next().await.unwrap();
    worker.signal(Signal::SIGTERM);
    assert_eq!(events.rest().await.last().unwrap(), "[DONE]");
    assert_eq!(worker.exit().await.0, Some(0));
}

#[tokio::test]
async fn bodies_come_back_as_they_are() {
    let (_worker, client) = SimulatedWorker::ready(&[]).await;
    let body = "x".repeat(3_000_000);
    assert_eq!(
        client.post("/echo?delay_ms=1", body.clone()).await.text(),
        body
    );
    assert_eq!(client.h2().post("/echo", body.clone()).await.text(), body);
}
