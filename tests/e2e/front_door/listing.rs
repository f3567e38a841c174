//! `GET /v1/models`: what there is and how soon it answers, without waking anybody.

use http::Method;
use serde_json::json;

use super::{CHAT, Door, ask};
use crate::support::{
    client::empty,
    penstock::{Penstock, simulated},
};

const ANTHROPIC: [(&str, &str); 1] = [("anthropic-version", "2023-06-01")];

#[tokio::test]
async fn the_models_are_listed_in_the_form_of_either_api() {
    let door = Door::open().await;
    for client in door.clients() {
        let reply = client.get("/v1/models").await;
        let list = reply.json();
        assert_eq!(list["object"], "list");
        let all = list["data"].as_array().unwrap();
        let names: Vec<_> = all
            .iter()
            .map(|model| model["id"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["org/large", "small", "gpt-4o-mini"]);
        for model in all {
            assert_eq!(model["object"], "model");
            assert_eq!(model["owned_by"], "penstock");
            assert!(model["created"].as_u64().unwrap() > 1_700_000_000);
            assert_eq!(
                model["penstock"],
                json!({ "state": "ready", "eta_seconds": 0.0 })
            );
        }
        assert_eq!(client.get("/v1/models/org/large").await.json(), all[0]);
        assert_eq!(client.get("/v1/models/org%2Flarge").await.json(), all[0]);
        let none = client.get("/v1/models/larg").await;
        assert_eq!(
            (none.status.as_u16(), none.reason()),
            (404, "model_not_found")
        );

        let page = async |query: &str| {
            let path = format!("/v1/models{query}");
            let sent = client.send_with(Method::GET, &path, &ANTHROPIC, empty());
            sent.await.whole().await
        };
        let all = page("").await;
        assert!(!all.header("request-id").is_empty());
        let all = all.json();
        assert_eq!(all["has_more"], false);
        assert_eq!(
            (&all["first_id"], &all["last_id"]),
            (&json!("org/large"), &json!("gpt-4o-mini"))
        );
        let model = &all["data"][1];
        assert_eq!(
            (&model["type"], &model["id"]),
            (&json!("model"), &json!("small"))
        );
        assert!(model["created_at"].as_str().unwrap().ends_with('Z'));
        let first = page("?limit=2").await.json();
        assert_eq!(
            (&first["has_more"], &first["last_id"]),
            (&json!(true), &json!("small"))
        );
        let next = page("?limit=2&after_id=small").await.json();
        assert_eq!(
            (&next["has_more"], &next["first_id"]),
            (&json!(false), &json!("gpt-4o-mini"))
        );
        let back = page("?limit=1&before_id=gpt-4o-mini").await.json();
        assert_eq!(
            (&back["has_more"], &back["first_id"]),
            (&json!(true), &json!("small"))
        );
        let wrong = page("?limit=0").await;
        assert_eq!(wrong.json()["error"]["type"], "invalid_request_error");

        let head = client
            .send(Method::HEAD, "/v1/models", empty())
            .await
            .whole()
            .await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), reply.body.len().to_string());
    }
    assert_eq!(door.small.seen().started + door.large.seen().started, 0);
}

#[tokio::test]
async fn a_list_wakes_nobody_and_tells_who_sleeps() {
    let command = simulated("--load-time 200ms --model llama");
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat]
        models = [{{ name = "gpt", upstream = "llama" }}]
        [services.chat.deployments.main]
        process = {{ {command} }}
        probes.ready = {{ http = "/health" }}
        scaling = {{ min = 0, max = 1 }}
        [services.broken]
        models = ["broken"]
        [services.broken.deployments.main]
        process = {{ command = ["no-such-program"] }}
        scaling = {{ min = 0, max = 1 }}
        [services.off]
        models = ["off"]
        [services.off.deployments.main]
        process = {{ command = ["no-such-program"] }}
        scaling = {{ min = 0, max = 1 }}
        "#
    ))
    .await;
    penstock
        .command(&["pause", "off", "--reason", "for a test"])
        .await;
    let client = penstock.client("api");
    let state = async |model: &str| {
        let reply = client.get(&format!("/v1/models/{model}")).await;
        reply.json()["penstock"]["state"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (&*state("gpt").await, &*state("broken").await),
        ("cold", "cold")
    );
    let refused = client.post(CHAT, ask("broken")).await;
    assert_eq!(refused.reason(), "start_failed");
    assert_eq!(state("broken").await, "failed");
    assert_eq!(client.post(CHAT, ask("off")).await.reason(), "paused");
    assert_eq!(state("off").await, "paused");
    assert_eq!(
        state("gpt").await,
        "cold",
        "nobody was woken by the questions"
    );
    let reply = client.post(CHAT, ask("gpt")).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["model"]),
        (200, &json!("llama"))
    );
    assert_eq!(state("gpt").await, "ready");
}
