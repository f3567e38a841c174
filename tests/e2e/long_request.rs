//! One long request on one of several workers.

use crate::support::{fake::Behaviour, launches::Launches};

#[tokio::test]
async fn idle_workers_stop_and_the_busy_one_stays_until_its_request_ends() {
    let (penstock, mut launches) = Launches::behind(
        "",
        r#"
        max_concurrency = 1
        [services.chat.deployments.main.scaling]
        min = 0
        max = 3
        idle_timeout = "1s"
        rules = [{ type = "concurrency", target = 1, window = "1s", burst_window = "1s" }]
        down = { stable_for = "500ms", period = "500ms" }
        "#,
    )
    .await;
    let client = penstock.client("chat");
    let mut requests = Vec::new();
    for _ in 0..3 {
        let client = client.clone();
        requests.push(tokio::spawn(async move { client.get("/hold").await }));
    }
    let mut workers = Vec::new();
    for _ in 0..3 {
        let launch = launches.next().await;
        let worker = launch.listen().await;
        worker.on("/hold", Behaviour::Hold);
        worker.until("its request", |seen| seen.current == 1).await;
        workers.push((launch, worker));
    }

    // The one in the middle: neither the oldest nor the youngest.
    let (busy, long) = workers.remove(1);
    for (_, worker) in &workers {
        worker.release(1);
    }
    penstock.until_ready("chat", 1).await;
    penstock
        .until("the idle workers are gone", |metrics| {
            metrics.sum("penstock_workers", &[("service", "chat")]) == 1.0
        })
        .await;
    assert_eq!(
        penstock.worker_processes().into_iter().collect::<Vec<_>>(),
        [busy.pid]
    );
    assert_eq!(long.seen().current, 1);

    long.release(1);
    for request in requests {
        assert_eq!(request.await.unwrap().text(), "released");
    }
    penstock.until_no_worker("chat").await;
}
