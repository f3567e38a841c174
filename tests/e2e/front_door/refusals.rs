//! What the gateway refuses at the front door, in the dialect of the path.

use serde_json::json;

use super::{CHAT, Door, ask, error, post};
use crate::support::{
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
};

#[tokio::test]
async fn a_model_that_there_is_not_is_told_with_those_that_may_have_been_meant() {
    let door = Door::open().await;
    for client in door.clients() {
        let reply = client.post(CHAT, ask("gpt-4o-mni")).await;
        assert_eq!(
            (reply.status.as_u16(), reply.reason()),
            (404, "model_not_found")
        );
        assert_eq!(reply.header("content-type"), "application/json");
        assert_eq!(reply.header("x-should-retry"), "false");
        let told = error(&reply);
        assert_eq!(told["type"], "invalid_request_error");
        assert_eq!(
            (&told["code"], &told["param"]),
            (&json!("model_not_found"), &json!("model"))
        );
        let message = told["message"].as_str().unwrap();
        assert!(message.contains("\"gpt-4o-mini\""), "{message}");
        assert_eq!(
            reply.json()["status"],
            404,
            "what RFC 9457 has is there too"
        );

        let reply = client.post("/v1/messages", ask("nothing")).await;
        let (id, body) = (reply.header("request-id"), reply.json());
        assert_eq!(
            (&body["type"], &body["request_id"]),
            (&json!("error"), &json!(id))
        );
        assert_eq!(body["error"]["type"], "not_found_error");
        assert_eq!(body.as_object().unwrap().len(), 3);
    }
}

#[tokio::test]
async fn what_names_no_model_is_refused_before_anybody_is_asked() {
    let door = Door::open().await;
    for client in door.clients() {
        for body in [
            "",
            "{}",
            "[]",
            "hello",
            r#"{"model":null}"#,
            r#"{"model":7}"#,
            r#"{"model":["small"]}"#,
            r#"{"x":{"model":"small"}}"#,
            r#"{"model":"small","Model":"org/large"}"#,
            r#"{"model":"small"}{}"#,
            r#"{"model":"small""#,
            r#"{"model":"#,
        ] {
            let reply = client.post(CHAT, body).await;
            assert_eq!(
                (reply.status.as_u16(), reply.reason()),
                (400, "bad_request"),
                "{body}"
            );
            assert_eq!(error(&reply)["param"], "model", "{body}");
        }
        let gzip = [("content-encoding", "gzip")];
        let reply = post(&client, CHAT, &gzip, &ask("small")).await;
        assert_eq!(reply.reason(), "bad_request");
        let form = ("content-type", "multipart/form-data; boundary=B");
        let types = [("content-type", "application/json"), form];
        for path in [
            "/v1/audio/transcriptions",
            "/openai/deployments/small/chat/completions",
        ] {
            let reply = post(&client, path, &types, &ask("small")).await;
            let told = (reply.status.as_u16(), reply.reason());
            assert_eq!(told, (400, "bad_request"), "{path}");
        }
        let long = ask(&"a".repeat(5000));
        assert_eq!(client.post(CHAT, long).await.reason(), "bad_request");
        for path in [
            "/sleep",
            "/%77ake_up",
            "/v1/load_lora_adapter",
            "/collective_rpc",
        ] {
            let reply = client.post(path, "{}").await;
            assert_eq!(
                (reply.status.as_u16(), reply.reason()),
                (403, "forbidden"),
                "{path}"
            );
        }
        let reply = client.get("/v1/nothing").await;
        assert_eq!((reply.status.as_u16(), reply.reason()), (404, "no_route"));
    }
    assert_eq!(door.small.seen().started + door.large.seen().started, 0);
}

#[tokio::test]
async fn limits_full_queues_and_failing_workers_are_told_in_the_dialect() {
    let worker = FakeWorker::start().await;
    worker.on(CHAT, Behaviour::Reset);
    worker.on("/v1/messages", Behaviour::Hold);
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat]
        models = ["small"]
        queue = {{ max_requests = 0 }}
        deployments.main = {{ static = {{ addresses = ["{}"] }}, max_concurrency = 1 }}
        ejection.failures = 1000
        [services.limited]
        models = ["limited"]
        limits = [{{ requests = 1, period = "1h" }}]
        deployments.main.static = {{ addresses = ["{}"] }}
        "#,
        worker.address, worker.address
    ))
    .await;
    penstock.until_known("chat", 1).await;
    penstock.until_known("limited", 1).await;
    let client = penstock.client("api");
    let reply = client.post(CHAT, ask("small")).await;
    assert_eq!(
        (reply.status.as_u16(), reply.reason()),
        (502, "upstream_reset")
    );
    assert_eq!(error(&reply)["type"], "server_error");
    assert_eq!(reply.header("x-should-retry"), "true");

    let first = client.post("/v1/messages", ask("small"));
    let second = async {
        worker
            .until("the first is there", |seen| seen.current == 1)
            .await;
        let openai = client.post(CHAT, ask("small")).await;
        let anthropic = client.h2().post("/v1/messages", ask("small")).await;
        worker.release_all();
        (openai, anthropic)
    };
    let (first, (openai, anthropic)) = tokio::join!(first, second);
    assert_eq!(first.text(), "released");
    assert_eq!(
        (openai.status.as_u16(), openai.reason()),
        (429, "queue_full")
    );
    assert_eq!(error(&openai)["code"], "queue_full");
    assert!(openai.retry_after().is_some());
    assert_eq!(anthropic.json()["error"]["type"], "rate_limit_error");
    assert_eq!(anthropic.header("x-should-retry"), "true");

    client.post("/v1/embeddings", ask("limited")).await;
    let reply = client.post("/v1/embeddings", ask("limited")).await;
    assert_eq!(reply.reason(), "rate_limited");
    assert!(reply.retry_after().is_some());
    // At a service's own host it is as it was.
    let own = penstock.client("limited").post(CHAT, ask("limited")).await;
    assert_eq!(own.header("content-type"), "application/problem+json");
    assert!(!own.headers.contains_key("x-should-retry"));
}
