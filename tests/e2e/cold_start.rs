//! Requests wake a service from zero.

use futures_util::future::join_all;
use http::Method;
use serde_json::json;

use crate::support::{
    client::empty,
    fake::{Behaviour, FakeWorker},
    launches::Launches,
    penstock::{Penstock, simulated},
    processes::memory_kib,
};

/// Memory that a thousand waiting clients may take in all, at 64 KiB each.
const QUEUE_KIB_MAX: u64 = 64 * 1000;

#[tokio::test]
async fn a_thousand_requests_at_once_from_zero_are_all_answered() {
    let command = simulated("--load-time 2s --time-to-first-token 1ms --batch 1000");
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat.deployments.main]
        max_concurrency = 20
        process = {{ {command} }}
        probes.ready = {{ http = "/health" }}
        scaling = {{ min = 0, max = 1 }}
        "#
    ))
    .await;
    let client = penstock.client("chat");
    let before = memory_kib(penstock.pid(), "VmRSS");
    let body = json!({ "input": "hello", "dimensions": 4 }).to_string();
    let answers = join_all((0..1000).map(|_| client.post("/v1/embeddings", body.clone()))).await;

    assert!(answers.iter().all(|answer| answer.status == 200));
    let worker = client.get("/stats").await.json();
    assert_eq!(worker["finished"], 1000);
    assert!(worker["peak"].as_u64().unwrap() <= 20, "{worker}");
    let growth = memory_kib(penstock.pid(), "VmHWM").saturating_sub(before);
    assert!(growth < QUEUE_KIB_MAX, "{growth} KiB");
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn a_fresh_worker_is_filled_gently_and_never_above_its_limit() {
    let (penstock, mut launches) = with_launches("max_concurrency = 6", "max = 1").await;
    let client = penstock.client("chat");
    let answers = async { join_all((0..30).map(|_| client.get("/hold"))).await };
    let worker = async {
        penstock.until_load("chat", 0, 30).await;
        let worker = launches.next().await.listen().await;
        worker.on("/hold", Behaviour::Hold);
        let (mut limit, mut started) = (1, 0);
        for answered in 0..6 {
            started = (answered + limit).max(started);
            worker
                .until("the worker is filled", |seen| seen.started == started)
                .await;
            assert_eq!(worker.seen().peak, limit, "after {answered} answers");
            worker.release(1);
            limit = (limit * 2).min(6);
        }
        worker.release_all();
        worker
    };
    let (answers, worker) = tokio::join!(answers, worker);
    assert!(answers.iter().all(|answer| answer.text() == "released"));
    assert_eq!(worker.seen().peak, 6);
}

#[tokio::test]
async fn one_short_request_wakes_exactly_one_worker() {
    let (penstock, mut launches) = with_launches("", "max = 5").await;
    let client = penstock.client("chat");
    let (answer, _worker) = tokio::join!(client.get("/"), async {
        launches.next().await.listen().await
    });
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "ok"));
    penstock.until_ready("chat", 1).await;
    assert_eq!(penstock.worker_processes().len(), 1);
}

#[tokio::test]
async fn no_arrival_overtakes_a_waiting_request() {
    let (penstock, mut launches) = with_launches("max_concurrency = 1", "max = 1").await;
    let client = penstock.client("chat");
    let mut waiting = Vec::new();
    for number in 0..10 {
        let client = client.clone();
        waiting.push(tokio::spawn(async move {
            client.get(&format!("/{number}")).await
        }));
        penstock.until_load("chat", 0, number + 1).await;
    }
    let worker = launches.next().await.listen().await;
    join_all(waiting).await;
    let order: Vec<String> = worker.heads().into_iter().map(|head| head.path).collect();
    let arrival: Vec<String> = (0..10).map(|number| format!("/{number}")).collect();
    assert_eq!(order, arrival);
}

/// A service whose worker never gets ready, with these settings of its queue.
async fn never_ready(queue: &str) -> Penstock {
    Penstock::start(&format!(
        r#"
        [services.chat]
        queue = {{ {queue} }}
        [services.chat.deployments.main]
        process = {{ command = ["sleep", "1000000"] }}
        scaling = {{ min = 0, max = 1 }}
        "#
    ))
    .await
}

#[tokio::test]
async fn a_full_queue_refuses_and_keeps_those_who_are_in_it() {
    let penstock = never_ready("max_requests = 2").await;
    let client = penstock.client("chat");
    let h2 = client.h2();
    let waiting = async { tokio::join!(client.get("/"), h2.get("/")) };
    let refused = async {
        penstock.until_load("chat", 0, 2).await;
        let refused = client.get("/").await;
        penstock.until_load("chat", 0, 2).await;
        refused
    };
    let refused = tokio::select! {
        answers = waiting => panic!("answered by nobody: {answers:?}"),
        refused = refused => refused,
    };
    assert_eq!(
        (refused.status.as_u16(), refused.reason()),
        (429, "queue_full")
    );
    assert!(refused.retry_after().is_some());
    assert_eq!(refused.header("content-type"), "application/problem+json");
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn a_long_wait_ends() {
    let penstock = never_ready(r#"max_wait = "1s""#).await;
    let client = penstock.client("chat");
    let h2 = client.h2();
    let (first, second) = tokio::join!(client.get("/"), h2.get("/"));
    for late in [first, second] {
        assert_eq!(
            (late.status.as_u16(), late.reason()),
            (504, "queue_timeout")
        );
    }
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn load_brings_more_workers_and_every_one_is_used() {
    let rules = r#"max = 3, rules = [{ type = "concurrency", target = 2 }]"#;
    let (penstock, mut launches) = with_launches("max_concurrency = 2", rules).await;
    let client = penstock.client("chat");
    let mut open = Vec::new();
    for _ in 0..6 {
        let client = client.clone();
        open.push(tokio::spawn(async move {
            client
                .send(Method::GET, "/hold", empty())
                .await
                .whole()
                .await
        }));
    }
    let mut workers: Vec<FakeWorker> = Vec::new();
    for _ in 0..3 {
        let worker = launches.next().await.listen().await;
        worker.on("/hold", Behaviour::Hold);
        workers.push(worker);
    }
    penstock.until_ready("chat", 3).await;
    // The ramp opens to two with time, or with an answer.
    for worker in &workers {
        worker.until("a request", |seen| seen.current >= 1).await;
    }
    workers.iter().for_each(FakeWorker::release_all);
    for answer in join_all(open).await {
        assert_eq!(answer.unwrap().text(), "released");
    }
    assert!(workers.iter().all(|worker| worker.seen().peak <= 2));
}

/// A service `chat` at zero whose workers the test plays.
async fn with_launches(deployment: &str, scaling: &str) -> (Penstock, Launches) {
    let deployment = format!("{deployment}\nscaling = {{ min = 0, {scaling} }}");
    Launches::behind("", &deployment).await
}
