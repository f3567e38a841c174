//! API keys at the front door: those of the services, and what each is for.

use http::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{CHAT, ask, error, post};
use crate::support::{
    client::{Client, empty},
    fake::FakeWorker,
    penstock::Penstock,
};

pub(super) fn hash(key: &str) -> String {
    let hash = Sha256::digest(key);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn names(client: &Client, key: Option<&str>) -> Result<Vec<String>, u16> {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<_> = bearer.iter().map(|key| ("authorization", &**key)).collect();
    let listed = client.send_with(Method::GET, "/v1/models", &headers, empty());
    let listed = listed.await.whole().await;
    if listed.status != 200 {
        return Err(listed.status.as_u16());
    }
    let Value::Array(models) = listed.json()["data"].take() else {
        panic!("{}", listed.text())
    };
    let names = models
        .iter()
        .map(|model| model["id"].as_str().unwrap().to_owned());
    Ok(names.collect())
}

#[tokio::test]
async fn a_key_sees_and_uses_its_models_and_no_others() {
    let worker = FakeWorker::start().await;
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat]
        models = ["llama-8b", "llama-70b"]
        api_keys.all.sha256 = "{}"
        api_keys.some = {{ sha256 = "{}", models = ["llama-8b"] }}
        deployments.main.static = {{ addresses = ["{}"] }}
        [services.code]
        models = ["qwen"]
        api_keys.coder.sha256 = "{}"
        deployments.main.static = {{ addresses = ["{}"] }}
        "#,
        hash("all"),
        hash("some"),
        worker.address,
        hash("coder"),
        worker.address,
    ))
    .await;
    penstock.until_known("chat", 1).await;
    penstock.until_known("code", 1).await;
    let api = penstock.client("api");
    for client in [api.clone(), api.h2()] {
        assert_eq!(names(&client, None).await, Err(401));
        assert_eq!(names(&client, Some("wrong")).await, Err(401));
        let all = ["llama-8b", "llama-70b"].map(str::to_owned).to_vec();
        assert_eq!(names(&client, Some("all")).await, Ok(all));
        assert_eq!(
            names(&client, Some("some")).await,
            Ok(vec!["llama-8b".to_owned()])
        );
        assert_eq!(
            names(&client, Some("coder")).await,
            Ok(vec!["qwen".to_owned()])
        );

        let told = async |key: &str, model: &str| {
            let headers = [("x-api-key", key)];
            let reply = post(&client, CHAT, &headers, &ask(model)).await;
            (reply.status.as_u16(), reply.reason().to_owned())
        };
        assert_eq!(told("all", "llama-70b").await, (200, String::new()));
        assert_eq!(told("some", "llama-8b").await, (200, String::new()));
        for (key, model) in [
            ("some", "llama-70b"),
            ("coder", "llama-8b"),
            ("all", "qwen"),
            ("all", "x"),
        ] {
            assert_eq!(
                told(key, model).await,
                (404, "model_not_found".to_owned()),
                "{key} {model}"
            );
        }
        assert_eq!(told("wrong", "qwen").await.0, 401);
        assert_eq!(
            told("wrong", "x").await.0,
            401,
            "nobody is told which names there are"
        );
        // Names that a key may not use are not offered to it.
        let headers = [("x-api-key", "some")];
        let reply = post(&client, CHAT, &headers, &ask("llama-70")).await;
        let message = error(&reply)["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains("llama-8b") && !message.contains("70b"),
            "{message}"
        );
        let reply = post(
            &client,
            "/v1/messages",
            &[("x-api-key", "no")],
            &ask("qwen"),
        )
        .await;
        assert_eq!(reply.json()["error"]["type"], "authentication_error");
    }
    assert!(
        worker
            .heads()
            .iter()
            .all(|head| !head.headers.contains_key("x-api-key"))
    );
    let own = penstock.client("chat");
    let reply = post(&own, CHAT, &[("x-api-key", "some")], &ask("llama-8b")).await;
    assert_eq!((reply.status.as_u16(), reply.reason()), (403, "forbidden"));
    let reply = post(&own, CHAT, &[("x-api-key", "all")], &ask("llama-8b")).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_client_that_forgot_its_key_is_told_so_where_other_models_need_none() {
    let worker = FakeWorker::start().await;
    let penstock = Penstock::start(&format!(
        r#"
        [services.open]
        models = ["open"]
        deployments.main.static = {{ addresses = ["{0}"] }}
        [services.closed]
        models = ["closed"]
        api_keys.app.sha256 = "{1}"
        deployments.main.static = {{ addresses = ["{0}"] }}
        "#,
        worker.address,
        hash("app"),
    ))
    .await;
    penstock.until_known("open", 1).await;
    penstock.until_known("closed", 1).await;
    let client = penstock.client("api");
    assert_eq!(names(&client, None).await, Ok(vec!["open".to_owned()]));
    let both = ["closed", "open"].map(str::to_owned).to_vec();
    assert_eq!(names(&client, Some("app")).await, Ok(both));
    for (key, status) in [("", 401), ("wrong", 401), ("app", 200)] {
        let headers = [("x-api-key", key)];
        let reply = post(&client, CHAT, &headers, &ask("closed")).await;
        assert_eq!(reply.status, status, "{key}");
    }
    assert_eq!(client.post(CHAT, ask("open")).await.status, 200);
}

#[tokio::test]
async fn a_key_does_not_reach_the_workers_of_other_services() {
    let worker = FakeWorker::start().await;
    let penstock = Penstock::start(&format!(
        r#"
        [services.open]
        models = ["open"]
        deployments.main.static = {{ addresses = ["{0}"] }}
        [services.keyed]
        models = ["keyed"]
        api_keys.app.sha256 = "{1}"
        deployments.main.static = {{ addresses = ["{0}"] }}
        [services.passing]
        models = ["passing"]
        api_keys.own.sha256 = "{2}"
        pass_api_key = true
        deployments.main.static = {{ addresses = ["{0}"] }}
        "#,
        worker.address,
        hash("app"),
        hash("own"),
    ))
    .await;
    for service in ["open", "keyed", "passing"] {
        penstock.until_known(service, 1).await;
    }
    let client = penstock.client("api");
    for client in [client.clone(), client.h2()] {
        let seen = async |model: &str, bearer: &str, key: &str| {
            let bearer = format!("Bearer {bearer}");
            let headers = [("authorization", &*bearer), ("x-api-key", key)];
            let reply = post(&client, CHAT, &headers, &ask(model)).await;
            assert_eq!(reply.status, 200, "{model}");
            let head = worker.heads().pop().unwrap();
            ["authorization", "x-api-key"].map(|name| head.headers.contains_key(name))
        };
        assert_eq!(seen("open", "app", "app").await, [false, false]);
        assert_eq!(seen("open", "app", "workers").await, [false, true]);
        assert_eq!(seen("open", "workers", "own").await, [true, false]);
        assert_eq!(seen("keyed", "own", "app").await, [false, false]);
        assert_eq!(seen("passing", "own", "app").await, [true, false]);
    }
}
