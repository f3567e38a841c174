//! The front door together with what else a service may have.

use http_body_util::BodyExt;
use tokio::sync::mpsc;

use super::{CHAT, ask};
use crate::support::{
    client::{Client, full},
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
    soon,
};

const MODELS: &str =
    r#"models = [{ name = "gpt", upstream = "llama", strip = ["user"] }, "plain"]"#;

/// What a client sends, and what workers get of it.
const ASKED: &str = r#"{"user":"u","messages":["hello"],"model":"gpt"}"#;
const GOT: &str = r#"{"messages":["hello"],"model":"llama"}"#;

/// Tells of every body that came to its end, with the length that its head told.
fn recording(sender: &mpsc::UnboundedSender<(String, String)>) -> Behaviour {
    let sender = sender.clone();
    Behaviour::custom(move |request| {
        let sender = sender.clone();
        async move {
            let length = request.headers().get("content-length");
            let length = length
                .map_or("", |length| length.to_str().unwrap())
                .to_owned();
            if let Ok(body) = request.into_body().collect().await {
                let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
                let _ = sender.send((length, body));
            }
            http::Response::new(full("recorded"))
        }
    })
}

fn both(client: Client) -> [Client; 2] {
    [client.clone(), client.h2()]
}

#[tokio::test]
async fn workers_of_either_protocol_get_what_was_made_of_the_body_and_so_do_copies() {
    for protocol in ["http1", "h2"] {
        let (stable, candidate) = (FakeWorker::start().await, FakeWorker::start().await);
        let (sender, mut got) = mpsc::unbounded_channel();
        stable.on(CHAT, recording(&sender));
        candidate.on(CHAT, recording(&sender));
        let penstock = Penstock::start(&format!(
            r#"
            [services.chat]
            {MODELS}
            protocol = "{protocol}"
            mirror = {{ to = "candidate", percent = 100 }}
            deployments.stable = {{ static = {{ addresses = ["{}"] }} }}
            deployments.candidate = {{ static = {{ addresses = ["{}"] }}, weight = 0 }}
            "#,
            stable.address, candidate.address
        ))
        .await;
        penstock.until_known("chat", 2).await;
        for client in both(penstock.client("api")) {
            for (asked, wanted) in [
                (ASKED.to_owned(), GOT.to_owned()),
                (ask("plain"), ask("plain")),
            ] {
                let reply = client.post(CHAT, asked).await;
                assert_eq!(reply.text(), "recorded");
                for _ in 0..2 {
                    let (length, body) = soon("a body", got.recv()).await.unwrap();
                    assert_eq!(
                        (length, &body),
                        (wanted.len().to_string(), &wanted),
                        "{protocol}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_changed_body_can_be_sent_again() {
    let (broken, good) = (FakeWorker::start().await, FakeWorker::start().await);
    broken.on(CHAT, Behaviour::Reset);
    let (sender, mut got) = mpsc::unbounded_channel();
    good.on(CHAT, recording(&sender));
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat]
        {MODELS}
        balance = "round-robin"
        ejection.failures = 0
        retries = {{ attempts = 3, any_method = true, budget_per_second = 1000 }}
        deployments.main.static.addresses = ["{}", "{}"]
        "#,
        broken.address, good.address
    ))
    .await;
    penstock.until_known("chat", 2).await;
    for client in both(penstock.client("api")) {
        for _ in 0..4 {
            assert_eq!(client.post(CHAT, ASKED).await.text(), "recorded");
            let (length, body) = soon("a body", got.recv()).await.unwrap();
            assert_eq!((length, &*body), (GOT.len().to_string(), GOT));
        }
    }
    assert!(broken.seen().started >= 2);
}

#[tokio::test]
async fn a_client_is_kept_at_its_deployment_and_limits_hold() {
    let (one, two) = (FakeWorker::start().await, FakeWorker::start().await);
    one.on(CHAT, Behaviour::Answer(200, "one"));
    two.on(CHAT, Behaviour::Answer(200, "two"));
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat]
        {MODELS}
        sticky = {{ cookie = "home" }}
        max_body = "1KiB"
        deployments.one = {{ static = {{ addresses = ["{}"] }}, weight = 50 }}
        deployments.two = {{ static = {{ addresses = ["{}"] }}, weight = 50 }}
        "#,
        one.address, two.address
    ))
    .await;
    penstock.until_known("chat", 2).await;
    for client in both(penstock.client("api")) {
        let first = client.post(CHAT, ASKED).await;
        let cookie = first
            .header("set-cookie")
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        assert!(cookie.starts_with("home="), "{cookie}");
        for _ in 0..8 {
            let reply = super::post(&client, CHAT, &[("cookie", &cookie)], ASKED).await;
            assert_eq!(reply.text(), first.text());
        }
        for model in ["gpt", "plain"] {
            let long = format!(r#"{{"a":"{}",{}"#, "a".repeat(2000), &ask(model)[1..]);
            let reply = client.post(CHAT, long).await;
            assert_eq!(
                (reply.status.as_u16(), reply.reason()),
                (413, "body_too_large")
            );
            assert_eq!(super::error(&reply)["type"], "invalid_request_error");
        }
    }
}

#[tokio::test]
async fn models_come_and_go_with_the_configuration() {
    let worker = FakeWorker::start().await;
    worker.on(CHAT, Behaviour::Echo);
    let config = |models: &str, hosts: &str| {
        format!(
            r#"
            listeners = [{{ address = "127.0.0.1:0" }}]
            {hosts}
            [services.chat]
            models = [{models}]
            [services.chat.deployments.main]
            static = {{ addresses = ["{}"] }}
            "#,
            worker.address
        )
    };
    let penstock = Penstock::start(&config(r#""one""#, "")).await;
    penstock.until_known("chat", 1).await;
    let api = penstock.client("api");
    assert_eq!(api.post(CHAT, ask("one")).await.status, 200);
    penstock
        .reload(&config(
            r#"{ name = "one", upstream = "two" }"#,
            r#"front_door.hosts = ["models.example.org"]"#,
        ))
        .await;
    assert_eq!(api.post(CHAT, ask("one")).await.reason(), "no_route");
    let new = Client::new(penstock.address, "models.example.org");
    for client in both(new) {
        assert_eq!(client.post(CHAT, ask("one")).await.json()["model"], "two");
        assert_eq!(
            client.post(CHAT, ask("two")).await.reason(),
            "model_not_found"
        );
    }
}
