//! How requests spread over deployments and workers.

use futures_util::future::join_all;

use crate::support::{
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
};

async fn workers<const N: usize>() -> [FakeWorker; N] {
    let mut workers = Vec::new();
    for _ in 0..N {
        workers.push(FakeWorker::start().await);
    }
    workers
        .try_into()
        .unwrap_or_else(|_| unreachable!("N were pushed"))
}

#[tokio::test]
async fn weights_split_the_traffic_exactly() {
    let [stable, canary] = workers().await;
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat.deployments.stable]
        weight = 90
        static = {{ addresses = ["{}"] }}
        [services.chat.deployments.canary]
        weight = 10
        static = {{ addresses = ["{}"] }}
        "#,
        stable.address, canary.address
    ))
    .await;
    penstock.until_known("chat", 2).await;
    let client = penstock.client("chat");
    for _ in 0..200 {
        assert_eq!(client.get("/").await.status, 200);
    }
    assert_eq!((stable.seen().started, canary.seen().started), (180, 20));
}

#[tokio::test]
async fn round_robin_keeps_to_the_weights_of_addresses() {
    let [light, heavy] = workers().await;
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat]
        balance = "round-robin"
        [services.chat.deployments.main]
        ramp = false
        static = {{ addresses = ["{}", {{ address = "{}", weight = 3 }}] }}
        "#,
        light.address, heavy.address
    ))
    .await;
    penstock.until_known("chat", 2).await;
    let client = penstock.client("chat");
    for _ in 0..40 {
        assert_eq!(client.get("/").await.status, 200);
    }
    assert_eq!((light.seen().started, heavy.seen().started), (10, 30));
}

#[tokio::test]
async fn no_worker_ever_has_more_than_its_limit() {
    let workers: [FakeWorker; 2] = workers().await;
    let penstock = Penstock::before_all(&workers.each_ref(), "", "max_concurrency = 3").await;
    let client = penstock.client("chat");
    let answers = (0..600).map(|number| {
        let client = if number % 2 == 0 {
            client.clone()
        } else {
            client.h2()
        };
        async move { client.get("/").await }
    });
    assert!(
        join_all(answers)
            .await
            .iter()
            .all(|answer| answer.status == 200)
    );
    for worker in &workers {
        assert!(worker.seen().peak <= 3, "{:?}", worker.seen());
        assert!(worker.seen().started > 100, "{:?}", worker.seen());
    }
}

#[tokio::test]
async fn least_connections_avoids_the_busy_worker() {
    let [busy, idle] = workers().await;
    for worker in [&busy, &idle] {
        worker.on("/hold", Behaviour::Hold);
    }
    let service = r#"balance = "least-connections""#;
    let penstock = Penstock::before_all(&[&busy, &idle], service, "ramp = false").await;
    let client = penstock.client("chat");
    let held = join_all((0..10).map(|_| client.get("/hold")));
    let others = async {
        busy.until("half of the requests", |seen| seen.current == 5)
            .await;
        idle.until("the other half", |seen| seen.current == 5).await;
        idle.release_all();
        penstock.until_load("chat", 5, 0).await;
        for _ in 0..5 {
            assert_eq!(client.get("/").await.status, 200);
        }
        assert_eq!((busy.seen().started, idle.seen().started), (5, 10));
        busy.release_all();
    };
    tokio::join!(held, others);
}
