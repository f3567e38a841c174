//! How much may be used: requests in time, and requests at once.

use std::time::Duration;

use futures_util::{SinkExt, future::join_all};
use http::Method;

use crate::support::{
    client::{Client, Exchange, Reply, empty, over_h1},
    eventually,
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
};

async fn start(settings: &str) -> (FakeWorker, Penstock) {
    let worker = FakeWorker::start().await;
    worker
        .on("/hold", Behaviour::Hold)
        .on("/events", Behaviour::Events)
        .on("/ws", Behaviour::WebSocket);
    let penstock = Penstock::before(worker.address, settings).await;
    (worker, penstock)
}

async fn of_user(client: &Client, user: &str) -> Reply {
    let headers = [("x-user", user)];
    let exchange = client.send_with(Method::GET, "/", &headers, empty());
    exchange.await.whole().await
}

async fn open(client: &Client, path: &str) -> Exchange {
    client.send(Method::GET, path, empty()).await
}

/// How many of so many requests, one after the other, are let in. All others meet the limit.
async fn admitted(client: &Client, user: &str, tries: usize) -> usize {
    let mut admitted = 0;
    for _ in 0..tries {
        let reply = of_user(client, user).await;
        match reply.status.as_u16() {
            200 => admitted += 1,
            status => assert_eq!((status, reply.reason()), (429, "rate_limited")),
        }
    }
    admitted
}

#[tokio::test]
async fn eight_clients_together_get_exactly_the_limit() {
    let settings = r#"limits = [{ requests = 50, period = "1h" }]"#;
    let (worker, penstock) = start(settings).await;
    let client = penstock.client("chat");
    let clients = (0..8).map(|number| {
        let client = match number % 2 {
            0 => client.clone(),
            _ => client.h2(),
        };
        async move { admitted(&client, "", 20).await }
    });
    let all: usize = join_all(clients).await.into_iter().sum();
    assert_eq!(all, 50);
    assert_eq!(worker.seen().started, 50);
    let wait = of_user(&client, "").await.retry_after().unwrap();
    let interval = Duration::from_secs(3600 / 50);
    assert!(wait <= interval && wait > interval / 2, "{wait:?}");
    let refused = [("service", "chat"), ("reason", "rate_limited")];
    // An answer is counted when it is over, which may be a moment after its client has it.
    eventually("all refusals are counted", async || {
        let page = penstock.metrics().await;
        let count = page.sum("penstock_gateway_answers_total", &refused);
        assert!(count <= 111.0, "{count}");
        (count == 111.0).then_some(())
    })
    .await;

    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let http2 = client.h2();
    let told = http2.send_with(Method::POST, "/a.B/C", &grpc, empty());
    let told = told.await.whole().await;
    assert_eq!(
        (told.header("grpc-status"), told.reason()),
        ("8", "rate_limited")
    );
}

#[tokio::test]
async fn each_user_has_a_limit_and_a_reload_gives_nobody_a_second_one() {
    let limit = r#"{ requests = 3, period = "1h", per = { header = "x-user" } }"#;
    let (worker, penstock) = start(&format!("limits = [{limit}]")).await;
    let client = penstock.client("chat");
    assert_eq!(admitted(&client, "ann", 10).await, 3);
    assert_eq!(admitted(&client, "bob", 2).await, 2);
    let config = format!(
        r#"
        [services.chat]
        max_body = "1KiB"
        limits = [{{ concurrent = 9 }}, {limit}]
        [services.chat.deployments.main]
        static = {{ addresses = ["{}"] }}
        "#,
        worker.address
    );
    penstock.reload(&config).await;
    assert_eq!(admitted(&client, "ann", 10).await, 0);
    assert_eq!(admitted(&client, "bob", 10).await, 1);
    assert_eq!(admitted(&client, "cid", 10).await, 3);
}

#[tokio::test]
async fn a_request_that_one_limit_refuses_uses_up_no_other() {
    let settings = r#"limits = [
        { requests = 5, period = "1h" },
        { requests = 2, period = "1h", per = { header = "x-user" } },
    ]"#;
    let (_worker, penstock) = start(settings).await;
    let client = penstock.client("chat");
    assert_eq!(admitted(&client, "ann", 20).await, 2);
    assert_eq!(admitted(&client, "bob", 20).await, 2);
    assert_eq!(admitted(&client, "cid", 20).await, 1);
}

#[tokio::test]
async fn a_place_is_free_again_when_the_client_leaves() {
    let (worker, penstock) = start("limits = [{ concurrent = 2 }]").await;
    let client = penstock.client("chat");
    for _ in 0..5 {
        let streams = [
            open(&client, "/events").await,
            open(&client.h2(), "/events").await,
        ];
        let refused = open(&client, "/").await.whole().await;
        assert_eq!(
            (refused.status.as_u16(), refused.reason()),
            (429, "rate_limited")
        );
        assert!(refused.retry_after().is_some());
        drop(streams);
        penstock.until_load("chat", 0, 0).await;
    }
    let before = worker.seen().started;
    assert_eq!(admitted(&client, "", 10).await, 10);
    assert_eq!(worker.seen().started, before + 10);
}

#[tokio::test]
async fn a_request_that_waits_for_a_worker_has_its_place_too() {
    let worker = FakeWorker::start().await;
    worker.on("/hold", Behaviour::Hold);
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat]
        limits = [{{ concurrent = 2 }}]
        [services.chat.deployments.main]
        max_concurrency = 1
        static = {{ addresses = ["{}"] }}
        "#,
        worker.address
    ))
    .await;
    let client = penstock.client("chat");
    let running = [0; 2].map(|_| {
        let client = client.clone();
        tokio::spawn(async move { open(&client, "/hold").await.whole().await })
    });
    penstock.until_load("chat", 1, 1).await;
    assert_eq!(
        open(&client, "/").await.whole().await.reason(),
        "rate_limited"
    );
    worker.release_all();
    for reply in join_all(running).await {
        assert_eq!(reply.unwrap().status, 200);
    }
    assert_eq!(admitted(&client, "", 5).await, 5);
}

#[tokio::test]
async fn a_tunnel_has_its_place_until_it_ends() {
    let (_worker, penstock) = start("limits = [{ concurrent = 1 }]").await;
    let client = penstock.client("chat");
    let mut socket = over_h1(&client, "/ws").await;
    assert_eq!(of_user(&client, "").await.reason(), "rate_limited");
    socket.close(None).await.unwrap();
    let _ = socket.flush().await;
    drop(socket);
    eventually("the tunnel's place is free", async || {
        (of_user(&client, "").await.status == 200).then_some(())
    })
    .await;
}
