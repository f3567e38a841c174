//! Why a service is slow: what `penstock status SERVICE` and the API say of its requests.

use http::{Method, StatusCode};
use serde_json::Value;

use crate::support::{
    client::empty,
    eventually,
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
};

/// The requests of `chat` that are open, once there are so many.
async fn until_open(penstock: &Penstock, count: usize) -> Vec<Value> {
    eventually(&format!("{count} open requests"), async || {
        let page = penstock.admin().get("/api/v1/services/chat/requests").await;
        let requests = page.json();
        let oldest = requests["oldest"].as_array().unwrap().clone();
        (requests["open"] == count).then_some(oldest)
    })
    .await
}

async fn until_stage(penstock: &Penstock, stage: &str) {
    eventually(&format!("the oldest request is in {stage}"), async || {
        let page = penstock.admin().get("/api/v1/services/chat/requests").await;
        (page.json()["oldest"][0]["stage"] == stage).then_some(())
    })
    .await;
}

#[tokio::test]
async fn open_requests_are_listed_with_what_they_wait_for_until_they_end() {
    let worker = FakeWorker::start().await;
    worker
        .on("/held", Behaviour::Hold)
        .on("/events", Behaviour::Events);
    let limit = "max_concurrency = 1\nramp = false";
    let penstock = Penstock::before_all(&[&worker], "", limit).await;
    for client in [penstock.client("chat"), penstock.client("chat").h2()] {
        let ask = |path: &'static str| {
            let client = client.clone();
            tokio::spawn(async move { client.get(path).await })
        };
        let first = ask("/held?key=secret");
        until_stage(&penstock, "first_byte").await;
        let second = ask("/");
        let open = until_open(&penstock, 2).await;
        let is = |place: usize, key: &str| open[place][key].clone();
        assert_eq!(
            (is(0, "path"), is(0, "method")),
            ("/held".into(), "GET".into())
        );
        assert_eq!(
            (is(0, "worker"), is(0, "client")),
            (0.into(), "127.0.0.1".into())
        );
        assert_eq!(
            (is(1, "stage"), is(1, "worker")),
            ("queue".into(), Value::Null)
        );
        assert_eq!(is(1, "deployment"), "main");
        assert!(is(0, "age").as_f64() >= is(1, "age").as_f64(), "{open:?}");

        let text = penstock.command(&["status", "chat"]).await;
        assert!(
            text.contains("OPEN REQUESTS: 2") && text.contains("GET /held"),
            "{text}"
        );
        let json = penstock.command(&["status", "chat", "--json"]).await;
        let detail: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(detail["requests"]["oldest"][0]["id"], is(0, "id"));
        assert!(!(text + &json).contains("secret"));

        worker.release(1);
        let reply = first.await.unwrap();
        assert_eq!(reply.header("x-request-id"), is(0, "id"));
        assert_eq!(second.await.unwrap().status, StatusCode::OK);
        until_open(&penstock, 0).await;
    }
    // A client that leaves takes its request along.
    let client = penstock.client("chat");
    let events = client.send(Method::GET, "/events", empty()).await;
    worker.send_event("first");
    until_stage(&penstock, "stream").await;
    drop(events);
    drop(client);
    until_open(&penstock, 0).await;
}

#[tokio::test]
async fn the_last_minute_of_every_deployment_and_worker_is_told() {
    let (one, two) = (FakeWorker::start().await, FakeWorker::start().await);
    for worker in [&one, &two] {
        worker.on("/broken", Behaviour::Answer(500, "broken"));
    }
    let service =
        "balance = \"round-robin\"\nretries = { attempts = 0 }\nejection = { failures = 0 }";
    let penstock = Penstock::before_all(&[&one, &two], service, "").await;
    let client = penstock.client("chat");
    for path in ["/", "/", "/", "/", "/broken", "/broken"] {
        client.get(path).await;
    }
    // The last one counts when its answer has been written, which its client may be ahead of.
    let page = eventually("all six count", async || {
        let page = penstock.admin().get("/api/v1/services/chat").await.json();
        (page["deployments"][0]["recent"]["requests"] == 6).then_some(page)
    })
    .await;
    let deployment = &page["deployments"][0];
    let recent = &deployment["recent"];
    assert_eq!(
        (&recent["requests"], &recent["errors"]),
        (&6.into(), &2.into()),
        "{recent}"
    );
    assert!(recent["requests_per_second"].as_f64() > Some(0.0));
    for clock in ["first_byte", "whole"] {
        let (p50, p95) = (&recent[clock]["p50"], &recent[clock]["p95"]);
        assert!(
            p50.as_f64() > Some(0.0) && p50.as_f64() <= p95.as_f64(),
            "{recent}"
        );
    }
    for worker in deployment["workers"].as_array().unwrap() {
        let recent = &worker["recent"];
        assert_eq!(
            (&recent["requests"], &recent["errors"]),
            (&3.into(), &1.into()),
            "{recent}"
        );
    }
    let text = penstock.command(&["status", "chat"]).await;
    assert!(text.contains("REQ/S  ERRORS  LEFT"), "{text}");
}

/// Whether a series is one of those that are only ever added to.
fn is_count(series: &str) -> bool {
    let name = series.split('{').next().unwrap_or_default();
    ["_total", "_bucket", "_sum", "_count"]
        .iter()
        .any(|end| name.ends_with(end))
}

#[tokio::test]
async fn what_is_removed_leaves_only_its_counts_behind_and_comes_back_without_them() {
    let worker = FakeWorker::start().await;
    let config = |services: &[&str]| {
        let service = |name: &&str| {
            format!(
                "[services.{name}.deployments.main]\nstatic = {{ addresses = [\"{}\"] }}\n",
                worker.address
            )
        };
        services.iter().map(service).collect::<String>()
    };
    let penstock = Penstock::start(&config(&["chat", "other"])).await;
    penstock.until_known("chat", 1).await;
    penstock.until_ready("chat", 1).await;
    penstock.client("chat").get("/").await;
    assert!(penstock.metrics().await.about("service", "chat").len() > 10);
    penstock.reload(&config(&["other"])).await;
    // Its counts stay for two minutes, so that what was counted last is read.
    penstock
        .until("nothing but counts is left of chat", |metrics| {
            let left = metrics.about("service", "chat");
            !left.is_empty() && left.keys().all(|name| is_count(name))
        })
        .await;
    assert!(
        !penstock
            .metrics()
            .await
            .about("service", "other")
            .is_empty()
    );
    // What comes back begins at zero.
    penstock.reload(&config(&["chat", "other"])).await;
    penstock.until_ready("chat", 1).await;
    let labels = [("service", "chat"), ("code", "200")];
    assert_eq!(
        penstock
            .metrics()
            .await
            .count("penstock_requests_total", &labels),
        0
    );
}
