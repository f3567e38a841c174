//! Tiers of a service: its own workers first, others for what these cannot serve soon, and back.

mod failures;

use std::time::{Duration, Instant};

use futures_util::{StreamExt, future::join_all};
use http::Method;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::support::{
    client::{Client, Events, Reply, empty},
    eventually,
    fake::{Behaviour, FakeWorker},
    grpc::{GrpcClient, GrpcWorker},
    penstock::{Penstock, simulated},
};

/// The service `chat` with a worker of its own, which takes one request at a time, and one elsewhere.
async fn two(after: &str, service: &str, elsewhere: &str) -> (FakeWorker, FakeWorker, Penstock) {
    let (own, cloud) = (FakeWorker::start().await, FakeWorker::start().await);
    for worker in [&own, &cloud] {
        worker
            .on("/held", Behaviour::Hold)
            .on("/events", Behaviour::Events)
            .on("/echo", Behaviour::Echo);
    }
    let penstock = Penstock::start(&config(after, service, elsewhere, &own, &cloud)).await;
    penstock.until_known("chat", 2).await;
    (own, cloud, penstock)
}

fn config(
    after: &str,
    service: &str,
    elsewhere: &str,
    own: &FakeWorker,
    cloud: &FakeWorker,
) -> String {
    format!(
        r#"
        [services.chat]
        overflow_after = "{after}"
        {service}
        [services.chat.deployments.own]
        static = {{ addresses = ["{}"] }}
        max_concurrency = 1
        [services.chat.deployments.cloud]
        static = {{ addresses = ["{}"] }}
        tier = 1
        {elsewhere}
        "#,
        own.address, cloud.address
    )
}

fn send(client: &Client, path: &str) -> JoinHandle<Reply> {
    let (client, path) = (client.clone(), path.to_owned());
    tokio::spawn(async move { client.get(&path).await })
}

async fn held(own: &FakeWorker, client: &Client) -> JoinHandle<Reply> {
    let held = send(client, "/held");
    own.until("the held request", |seen| seen.current == 1)
        .await;
    held
}

/// What the metrics say that deployments took from lower tiers.
async fn taken(penstock: &Penstock) -> f64 {
    let metrics = penstock.metrics().await;
    metrics.sum("penstock_overflow_total", &[("service", "chat")])
}

async fn status(penstock: &Penstock) -> Value {
    penstock.admin().get("/api/v1/status").await.json()
}

#[tokio::test]
async fn a_request_goes_elsewhere_when_it_would_wait_for_longer_and_back_when_it_would_not() {
    let (own, cloud, penstock) = two("300ms", "", "").await;
    let client = penstock.client("chat");
    for client in [client.clone(), client.h2()] {
        let (before, took) = (cloud.seen().started, taken(&penstock).await);
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!(cloud.seen().started, before, "its own is free");
        let first = held(&own, &client).await;
        let begun = Instant::now();
        let answer = client.get("/").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "ok"));
        assert_eq!(cloud.seen().started, before + 1);
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(taken(&penstock).await, took + 1.0);
        own.release(1);
        assert_eq!(first.await.unwrap().text(), "released");
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!(cloud.seen().started, before + 1, "its own is free again");
    }
    // One that was told that it would wait for longer does not try.
    eventually("the status", async || {
        let text = penstock.command(&["status"]).await;
        let told = "took 2 requests that lower tiers could not serve in time";
        text.contains(told).then_some(())
    })
    .await;
    let text = penstock.command(&["explain", "chat/cloud"]).await;
    assert!(text.contains("took 2 requests that lower tiers"), "{text}");
}

#[tokio::test]
async fn own_workers_count_what_is_served_elsewhere_until_it_ends() {
    let (own, cloud, penstock) = two("0s", "", "").await;
    let client = penstock.client("chat");
    let first = held(&own, &client).await;
    let second = send(&client, "/held");
    cloud.until("the second", |seen| seen.current == 1).await;
    let load = async |deployment: usize| {
        let status = status(&penstock).await;
        let deployment = &status["services"][0]["deployments"][deployment];
        (
            deployment["overflow"]["away"].as_u64().unwrap(),
            deployment["overflow"]["taken"].as_u64().unwrap(),
            deployment["in_flight"].as_u64().unwrap(),
        )
    };
    // In the order of names: cloud, own.
    eventually("away", async || {
        (load(1).await == (1, 0, 1) && load(0).await == (0, 0, 1)).then_some(())
    })
    .await;
    let path = "/api/v1/services/chat/deployments/own/decision";
    let explained = penstock.admin().get(path).await.json();
    let inputs = &explained["present"]["inputs"];
    assert_eq!(inputs["in_flight"], 1, "{explained:#}");
    assert_eq!(inputs["overflow"]["away"], 1, "{explained:#}");
    own.release(1);
    cloud.release(1);
    first.await.unwrap();
    second.await.unwrap();
    eventually("back", async || {
        (load(1).await == (0, 0, 0) && load(0).await == (0, 1, 0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whichever_worker_is_free_first_serves_and_the_request_has_one_lease() {
    let (own, cloud, penstock) = two("50ms", "", "max_concurrency = 1").await;
    let client = penstock.client("chat");
    for (frees, at_own) in [(&own, true), (&cloud, false)] {
        let first = held(&own, &client).await;
        let second = send(&client, "/held");
        cloud.until("the second", |seen| seen.current == 1).await;
        let third = send(&client, "/third");
        // It waits for both now.
        penstock
            .until("both queues", |metrics| {
                metrics.sum("penstock_queued", &[("service", "chat")]) == 2.0
            })
            .await;
        let before = (own.seen().started, cloud.seen().started);
        frees.release(1);
        assert_eq!(third.await.unwrap().status, 200);
        let after = (own.seen().started, cloud.seen().started);
        let expected = (
            before.0 + usize::from(at_own),
            before.1 + usize::from(!at_own),
        );
        assert_eq!(after, expected);
        if at_own { &cloud } else { &own }.release(1);
        first.await.unwrap();
        second.await.unwrap();
        penstock.until_load("chat", 0, 0).await;
    }
}

#[tokio::test]
async fn those_who_wait_keep_their_order_in_every_tier() {
    let (own, cloud, penstock) = two("50ms", "", "max_concurrency = 1").await;
    let client = penstock.client("chat");
    let first = held(&own, &client).await;
    let second = send(&client, "/held");
    cloud.until("the second", |seen| seen.current == 1).await;
    let mut waiting = Vec::new();
    for number in 0..6 {
        waiting.push(send(&client, &format!("/{number}")));
        let queued = 2.0 * f64::from(number + 1);
        penstock
            .until("both queues", |metrics| {
                metrics.sum("penstock_queued", &[("service", "chat")]) == queued
            })
            .await;
    }
    cloud.release(1);
    for reply in join_all(waiting).await {
        assert_eq!(reply.unwrap().status, 200);
    }
    let paths = cloud.heads().into_iter().skip(1).map(|head| head.path);
    assert_eq!(
        paths.collect::<Vec<_>>(),
        ["/0", "/1", "/2", "/3", "/4", "/5"]
    );
    own.release(1);
    first.await.unwrap();
    second.await.unwrap();
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn a_tier_that_cannot_serve_is_passed_over_at_once() {
    let (own, cloud, penstock) = two("1h", "", "").await;
    let client = penstock.client("chat");
    penstock.command(&["pause", "chat/own"]).await;
    // When the gateway obeys.
    eventually("the next tier", async || {
        assert_eq!(client.get("/").await.status, 200);
        (cloud.seen().started > 0).then_some(())
    })
    .await;
    let before = own.seen().started;
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(own.seen().started, before);
    penstock.command(&["resume", "chat/own"]).await;
    eventually("its own again", async || {
        assert_eq!(client.get("/").await.status, 200);
        (own.seen().started > before).then_some(())
    })
    .await;
    // Those who wait go too when the workers that they wait for do.
    let first = held(&own, &client).await;
    let waiting = send(&client, "/waits");
    penstock.until_load("chat", 1, 1).await;
    let before = cloud.seen().started;
    penstock.command(&["pause", "chat/own"]).await;
    assert_eq!(waiting.await.unwrap().status, 200);
    assert_eq!(cloud.seen().started, before + 1);
    own.release(1);
    first.await.unwrap();
    // All of it paused is refused.
    penstock.command(&["pause", "chat/cloud"]).await;
    eventually("a refusal", async || {
        let answer = client.get("/").await;
        let told = (answer.status.as_u16(), answer.reason());
        assert!([(200, ""), (503, "paused")].contains(&told), "{told:?}");
        (answer.status == 503).then_some(())
    })
    .await;
}

#[tokio::test]
async fn workers_that_cannot_be_started_or_have_no_gpu_are_no_reason_to_wait() {
    let cloud = FakeWorker::start().await;
    let config = format!(
        r#"
        [gpus]
        devices = ["0"]
        [services.other.deployments.main]
        process = {{ {quick}, gpus = 1 }}
        scaling = {{ min = 1, max = 1 }}
        [services.chat]
        overflow_after = "1h"
        [services.chat.deployments.own]
        process = {{ {quick}, gpus = 1 }}
        scaling = {{ min = 0, max = 1 }}
        [services.chat.deployments.cloud]
        static = {{ addresses = ["{address}"] }}
        tier = 1
        [services.draw]
        overflow_after = "1h"
        [services.draw.deployments.own]
        process.command = ["/bin/false"]
        scaling = {{ min = 0, max = 1 }}
        [services.draw.deployments.cloud]
        static = {{ addresses = ["{address}"] }}
        tier = 1
        "#,
        quick = simulated("--load-time 0s"),
        address = cloud.address,
    );
    let penstock = Penstock::start(&config).await;
    penstock.until_ready("other", 1).await;
    for service in ["chat", "draw"] {
        let answer = penstock.client(service).get("/").await;
        assert_eq!(answer.status, 200, "{service}: {}", answer.text());
        let again = penstock.client(service).get("/").await;
        assert_eq!(again.status, 200, "{service}: {}", again.text());
    }
    assert_eq!(cloud.seen().started, 4);
}

#[tokio::test]
async fn own_workers_grow_by_what_overflows_and_the_dear_ones_sleep_again() {
    let config = format!(
        r#"
        [services.chat]
        overflow_after = "200ms"
        [services.chat.deployments.own]
        process = {{ {slow} }}
        max_concurrency = 1
        scaling = {{ min = 1, max = 3, rules = [{{ type = "backlog", target = 1 }}], idle_timeout = "1h" }}
        [services.chat.deployments.cloud]
        process = {{ {quick} }}
        tier = 1
        price_per_hour = 3600
        scaling = {{ min = 0, max = 1, idle_timeout = "1s" }}
        "#,
        slow = simulated("--load-time 3s --tokens-per-second 100"),
        quick = simulated("--load-time 0s --tokens-per-second 100"),
    );
    let penstock = Penstock::start(&config).await;
    penstock.until_ready("chat", 1).await;
    assert_eq!(
        penstock
            .metrics()
            .await
            .sum("penstock_desired_workers", &[("deployment", "cloud")]),
        0.0
    );
    let client = penstock.client("chat");
    let over = std::sync::atomic::AtomicBool::new(false);
    let body =
        r#"{"model": "demo", "max_tokens": 40, "messages": [{"role": "user", "content": "x"}]}"#;
    let crowd = join_all((0..3).map(|_| async {
        let mut answers = 0;
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            let answer = client.post("/v1/chat/completions", body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            answers += 1;
        }
        answers
    }));
    let watching = async {
        penstock
            .until("an overflow", |metrics| {
                metrics.sum("penstock_overflow_total", &[("deployment", "cloud")]) > 0.0
            })
            .await;
        // Its own workers come to be enough, and from then on nothing is served elsewhere.
        penstock
            .until("its own workers", |metrics| {
                let own = [("deployment", "own"), ("state", "ready")];
                let cloud = [("deployment", "cloud")];
                metrics.sum("penstock_workers", &own) == 3.0
                    && metrics.sum("penstock_workers", &cloud) == 0.0
            })
            .await;
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (answers, ()) = tokio::join!(crowd, watching);
    assert!(answers.iter().all(|count| *count > 1), "{answers:?}");
    // What it cost stays visible, and nothing more comes to it.
    let metrics = penstock.metrics().await;
    let labels = [("service", "chat"), ("deployment", "cloud")];
    let (cost, idle) = (
        metrics.sum("penstock_cost_total", &labels),
        metrics.sum("penstock_idle_cost_total", &labels),
    );
    assert!(cost > 0.5 && idle > 0.0 && idle <= cost, "{cost} {idle}");
    penstock
        .until("no cost", |metrics| {
            metrics.sum("penstock_cost_per_hour", &labels) == 0.0
        })
        .await;
    let detail = penstock.command(&["status", "chat"]).await;
    assert!(detail.contains("costs 0.00 an hour; "), "{detail}");
}

#[tokio::test]
async fn streams_and_bodies_overflow_whole() {
    let (own, cloud, penstock) = two("50ms", "", "").await;
    let client = penstock.client("chat");
    let first = held(&own, &client).await;
    for client in [client.clone(), client.h2()] {
        let mut events = Events::new(client.send(Method::GET, "/events", empty()).await);
        for number in 0..20 {
            assert_eq!(cloud.send_event(&number.to_string()), 1);
            assert_eq!(events.next().await.unwrap(), number.to_string());
        }
        drop(events);
        cloud
            .until("the stream's end", |seen| seen.current == 0)
            .await;
        let body = "x".repeat(300_000);
        let answer = client.post("/echo", body.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.len()),
            (200, body.len())
        );
    }
    own.release(1);
    first.await.unwrap();
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn grpc_calls_overflow_whole() {
    let (own, cloud) = (GrpcWorker::start().await, GrpcWorker::start().await);
    let config = format!(
        r#"
        [services.echo]
        protocol = "h2"
        overflow_after = "50ms"
        [services.echo.deployments.own]
        static = {{ addresses = ["{}"] }}
        max_concurrency = 1
        [services.echo.deployments.cloud]
        static = {{ addresses = ["{}"] }}
        tier = 1
        "#,
        own.address, cloud.address
    );
    let penstock = Penstock::start(&config).await;
    penstock.until_known("echo", 2).await;
    let client = GrpcClient::connect(&penstock.client("echo")).await;
    let (messages, outgoing) = tokio::sync::mpsc::channel(1);
    let mut held = client
        .bidi(tokio_stream::wrappers::ReceiverStream::new(outgoing))
        .await
        .unwrap();
    own.until_open(1).await;
    for _ in 0..3 {
        let answer = client.unary("hello".to_owned()).await.unwrap();
        assert_eq!(answer.into_inner(), "hello");
        let numbers: Vec<_> = client.server_stream(100).await.unwrap().collect().await;
        assert!(numbers.len() == 100 && numbers.iter().all(Result::is_ok));
    }
    messages.send("still here".to_owned()).await.unwrap();
    assert_eq!(held.next().await.unwrap().unwrap(), "still here");
    drop((messages, held));
    own.until_open(0).await;
    let metrics = penstock.metrics().await;
    assert_eq!(
        metrics.sum("penstock_overflow_total", &[("service", "echo")]),
        6.0
    );
}

#[tokio::test]
async fn a_rule_keeps_requests_at_home_and_a_worker_that_fails_sends_them_away() {
    let rule = r#"match = [{ to = "own", headers = { x-private = "*" } }]"#;
    let (own, cloud, penstock) = two("50ms", rule, "").await;
    let client = penstock.client("chat");
    let first = held(&own, &client).await;
    let private = {
        let client = client.clone();
        tokio::spawn(async move {
            let headers = [("x-private", "1")];
            let exchange = client.send_with(Method::GET, "/", &headers, empty());
            exchange.await.whole().await
        })
    };
    let direct = {
        let client = penstock.client("own--chat");
        tokio::spawn(async move { client.get("/").await })
    };
    penstock.until_load("chat", 1, 2).await;
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(cloud.seen().started, 1, "the others do not wait at home");
    own.release(1);
    for reply in [private, direct, first] {
        assert_eq!(reply.await.unwrap().status, 200);
    }
    assert_eq!((own.seen().started, cloud.seen().started), (3, 1));
    drop(own);
    // Also those that come before anybody knows.
    for _ in 0..20 {
        let answer = client.get("/").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_or_has_waited_for_too_long_is_in_no_queue_any_more() {
    let settings = r#"queue = { max_wait = "2s" }"#;
    let (own, cloud, penstock) = two("50ms", settings, "max_concurrency = 1").await;
    let client = penstock.client("chat");
    let first = held(&own, &client).await;
    let second = send(&client, "/held");
    cloud.until("the second", |seen| seen.current == 1).await;
    let leaves = send(&client, "/");
    penstock
        .until("both queues", |metrics| {
            metrics.sum("penstock_queued", &[("service", "chat")]) == 2.0
        })
        .await;
    leaves.abort();
    penstock.until_load("chat", 2, 0).await;
    let answer = client.get("/").await;
    assert_eq!(
        (answer.status.as_u16(), answer.reason()),
        (504, "queue_timeout")
    );
    penstock.until_load("chat", 2, 0).await;
    own.release(1);
    cloud.release(1);
    first.await.unwrap();
    second.await.unwrap();
    penstock.until_load("chat", 0, 0).await;
    assert_eq!((own.seen().started, cloud.seen().started), (1, 1));
}

#[tokio::test]
async fn a_tier_is_woken_only_when_that_takes_less_time_than_the_wait() {
    let own = FakeWorker::start().await;
    own.on("/held", Behaviour::Hold);
    let config = format!(
        r#"
        [services.chat]
        overflow_after = "100ms"
        [services.chat.deployments.own]
        static = {{ addresses = ["{}"] }}
        max_concurrency = 1
        [services.chat.deployments.cloud]
        process = {{ {} }}
        tier = 1
        scaling = {{ min = 0, max = 1, idle_timeout = "1s" }}
        "#,
        own.address,
        simulated("--load-time 3s"),
    );
    let penstock = Penstock::start(&config).await;
    penstock.until_known("chat", 1).await;
    let client = penstock.client("chat");
    // How long its start takes is not known: the first one that waits wakes it.
    let first = held(&own, &client).await;
    assert_eq!(client.get("/v1/models").await.status, 200);
    assert_eq!(taken(&penstock).await, 1.0);
    own.release(1);
    first.await.unwrap();
    let cloud = [("service", "chat"), ("deployment", "cloud")];
    penstock
        .until("sleep", |metrics| {
            metrics.sum("penstock_workers", &cloud) == 0.0
        })
        .await;
    let starts = async || {
        let metrics = penstock.metrics().await;
        metrics.sum("penstock_start_seconds_count", &cloud)
    };
    assert_eq!(starts().await, 1.0);
    // Now it is, and its own worker is known to be quick: short waits do not wake it.
    for _ in 0..200 {
        assert_eq!(client.get("/").await.status, 200);
    }
    for _ in 0..3 {
        let first = held(&own, &client).await;
        let second = send(&client, "/");
        penstock.until_load("chat", 1, 1).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        own.release(1);
        first.await.unwrap();
        assert_eq!(second.await.unwrap().status, 200);
    }
    let metrics = penstock.metrics().await;
    assert_eq!(metrics.sum("penstock_desired_workers", &cloud), 0.0);
    assert_eq!((starts().await, taken(&penstock).await), (1.0, 1.0));
    // One that has waited for as long as a start takes does.
    let first = held(&own, &client).await;
    assert_eq!(client.get("/v1/models").await.status, 200);
    assert_eq!((starts().await, taken(&penstock).await), (2.0, 2.0));
    own.release(1);
    first.await.unwrap();
}
