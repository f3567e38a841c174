//! The front door: the model of a request names the service.

mod bodies;
mod breaks;
mod keys;
mod listing;
mod refusals;
mod together;
mod tokens;
mod waiting;

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    client::{Client, Reply, empty, full},
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
};

/// Where most requests go.
const CHAT: &str = "/v1/chat/completions";

/// Two services with models, before workers that send bodies back.
struct Door {
    penstock: Penstock,
    small: FakeWorker,
    large: FakeWorker,
}

impl Door {
    async fn open() -> Self {
        let (small, large) = (FakeWorker::start().await, FakeWorker::start().await);
        for worker in [&small, &large] {
            for path in [
                CHAT,
                "/v1/messages",
                "/v1/audio/transcriptions",
                "/v1/embeddings",
            ] {
                worker.on(path, Behaviour::Echo);
            }
        }
        let penstock = Penstock::start(&format!(
            r#"
            gateway.access_log = "json"
            [services.small]
            models = ["small", {{ name = "gpt-4o-mini", upstream = "small", strip = ["user", "store"], set = {{ temperature = 0.5 }} }}]
            deployments.main.static = {{ addresses = ["{}"] }}
            [services.large]
            models = ["org/large"]
            deployments.main.static = {{ addresses = ["{}"] }}
            "#,
            small.address, large.address
        ))
        .await;
        penstock.until_known("small", 1).await;
        penstock.until_known("large", 1).await;
        Self {
            penstock,
            small,
            large,
        }
    }

    fn client(&self) -> Client {
        self.penstock.client("api")
    }

    /// Over HTTP/1.1 and HTTP/2.
    fn clients(&self) -> [Client; 2] {
        [self.client(), self.client().h2()]
    }
}

/// A request for a model.
fn ask(model: &str) -> String {
    json!({ "messages": [{ "role": "user", "content": "hello" }], "model": model }).to_string()
}

async fn post(client: &Client, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let body = full(body.to_owned());
    let exchange = client.send_with(Method::POST, path, headers, body).await;
    exchange.whole().await
}

#[tokio::test]
async fn each_model_leads_to_its_service() {
    let door = Door::open().await;
    for client in door.clients() {
        for (model, worker, other) in [
            ("small", &door.small, &door.large),
            ("org/large", &door.large, &door.small),
        ] {
            let before = (worker.seen().started, other.seen().started);
            for path in [CHAT, "/v1/messages", "/v1/embeddings"] {
                let reply = client.post(path, ask(model)).await;
                assert_eq!((reply.status.as_u16(), reply.text()), (200, &*ask(model)));
            }
            let after = (worker.seen().started, other.seen().started);
            assert_eq!(after, (before.0 + 3, before.1), "{model}");
        }
    }
    // The services' own hosts do not look at models.
    let reply = door
        .penstock
        .client("small")
        .post(CHAT, ask("org/large"))
        .await;
    assert_eq!(reply.status, 200);
    door.penstock.until_load("small", 0, 0).await;
}

#[tokio::test]
async fn where_the_default_service_has_models_every_other_host_is_the_front_door() {
    let (chat, other) = (FakeWorker::start().await, FakeWorker::start().await);
    chat.on(CHAT, Behaviour::Echo);
    other.on(CHAT, Behaviour::Answer(200, "the other one"));
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat]
        default = true
        models = ["demo"]
        deployments.main.static = {{ addresses = ["{}"] }}
        [services.other]
        models = ["other"]
        deployments.main.static = {{ addresses = ["{}"] }}
        "#,
        chat.address, other.address
    ))
    .await;
    penstock.until_known("chat", 1).await;
    penstock.until_known("other", 1).await;
    let client = Client::new(penstock.address, penstock.address.to_string());
    assert_eq!(client.post(CHAT, ask("demo")).await.text(), ask("demo"));
    assert_eq!(
        client.post(CHAT, ask("other")).await.text(),
        "the other one"
    );
    assert_eq!(
        client.get("/v1/models").await.json()["data"][1]["id"],
        "other"
    );
    // What is no path of an API is the default service's.
    assert_eq!(client.get("/health").await.text(), "ok");
    assert_eq!(client.get("/sleep").await.reason(), "forbidden");
    assert_eq!(chat.heads().len(), 2);
}

#[tokio::test]
async fn a_model_may_stand_in_the_path_or_the_query() {
    let door = Door::open().await;
    for client in door.clients() {
        let path = "/openai/deployments/gpt-4o-mini/chat/completions?api-version=1";
        for body in [
            r#"{"messages":[],"model":"org/large"}"#,
            r#"{"messages":[]}"#,
        ] {
            let reply = client.post(path, body).await;
            let wanted = json!({ "temperature": 0.5, "messages": [], "model": "small" });
            assert_eq!(reply.json(), wanted, "{}", reply.text());
        }
        let head = door.small.heads().pop().unwrap();
        assert_eq!(head.path, CHAT);
        assert!(!head.headers.contains_key("x-penstock-reason"));

        let path = "/v1beta/models/gpt-4o-mini:generateContent?alt=sse";
        assert_eq!(client.post(path, "{}").await.text(), "ok");
        let head = door.small.heads().pop().unwrap();
        assert_eq!(head.path, "/v1beta/models/small:generateContent");
        // Parameters are changed there too; the worker takes the model from the path.
        let counts = "/v1beta/models/small:countTokens";
        door.small.on(counts, Behaviour::Echo);
        let path = "/v1beta/models/gpt-4o-mini:countTokens";
        let told = client.post(path, r#"{"user":"u","a":[]}"#).await;
        assert_eq!(told.text(), r#"{"temperature":0.5,"a":[]}"#);
        let reply = client
            .post("/v1beta/models/none:generateContent", "{}")
            .await;
        assert_eq!(reply.json()["error"]["status"], "NOT_FOUND");

        assert_eq!(
            client.get("/v1/realtime?model=org%2Flarge").await.text(),
            "ok"
        );
        assert_eq!(client.get("/v1/realtime").await.reason(), "bad_request");
        let twice = client
            .get("/v1/realtime?model=small&model=org%2Flarge")
            .await;
        assert_eq!(twice.reason(), "bad_request");
    }
}

#[tokio::test]
async fn a_websocket_finds_its_model_by_the_query() {
    use crate::support::client::{over_h1, over_h2};
    use futures_util::{SinkExt, StreamExt};
    let door = Door::open().await;
    door.large.on("/v1/realtime", Behaviour::WebSocket);
    let path = "/v1/realtime?model=org/large";
    let mut socket = over_h1(&door.client(), path).await;
    socket.send("hello".into()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), "hello".into());
    let (_connection, mut socket) = over_h2(&door.client(), path).await;
    socket.send("hello".into()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), "hello".into());
}

#[tokio::test]
async fn a_question_of_a_browser_is_answered_without_a_worker() {
    let door = Door::open().await;
    for client in door.clients() {
        for (path, methods) in [
            (CHAT, "POST, OPTIONS"),
            ("/v1/models", "GET, HEAD, OPTIONS"),
        ] {
            let reply = client.send(Method::OPTIONS, path, empty()).await;
            assert_eq!(reply.status(), 204);
            assert_eq!(reply.whole().await.header("allow"), methods);
            let reply = client
                .send(Method::DELETE, path, empty())
                .await
                .whole()
                .await;
            assert_eq!(
                (reply.status.as_u16(), reply.header("allow")),
                (405, methods)
            );
        }
    }
    assert_eq!(door.small.seen().started + door.large.seen().started, 0);
}

/// The `error` of an answer in OpenAI's form.
fn error(reply: &Reply) -> Value {
    reply.json()["error"].clone()
}
