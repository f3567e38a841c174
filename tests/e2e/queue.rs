//! Whose turn it is of the requests that wait.

use futures_util::future::join_all;
use http::Method;
use tokio::task::JoinHandle;

use crate::support::{
    client::{Client, Reply, empty},
    fake::{Behaviour, FakeWorker},
    launches::Launches,
    penstock::Penstock,
};

const CLASSES: &str = r#"
    queue = { classes = { interactive = "0s", batch = "10m" }, class_header = "x-class" }
    "#;
const FAIR: &str = r#"queue = { fair_by = { header = "x-user" } }"#;

/// Sends a request in the background.
fn send(client: &Client, path: &str, header: (&'static str, &str)) -> JoinHandle<Reply> {
    let (client, path, value) = (client.clone(), path.to_owned(), header.1.to_owned());
    tokio::spawn(async move {
        let headers = [(header.0, value.as_str())];
        let exchange = client.send_with(Method::GET, &path, &headers, empty());
        exchange.await.whole().await
    })
}

/// A worker for one request at a time that holds `/held`.
async fn one_worker(settings: &str) -> (FakeWorker, Penstock) {
    let worker = FakeWorker::start().await;
    worker.on("/held", Behaviour::Hold);
    let penstock = Penstock::before_all(&[&worker], settings, "max_concurrency = 1").await;
    (worker, penstock)
}

/// One that is busy with `/held`.
async fn busy(settings: &str) -> (FakeWorker, Penstock, JoinHandle<Reply>) {
    let (worker, penstock) = one_worker(settings).await;
    let held = send(&penstock.client("chat"), "/held", ("x-user", "nobody"));
    worker.until("the first", |seen| seen.current == 1).await;
    (worker, penstock, held)
}

/// Sends these one after the other, each a path with the value of this header.
async fn line_up(
    penstock: &Penstock,
    name: &'static str,
    requests: &[(&str, &str)],
) -> Vec<JoinHandle<Reply>> {
    let client = penstock.client("chat");
    let mut waiting = Vec::new();
    for (path, value) in requests {
        waiting.push(send(&client, path, (name, value)));
        penstock.until_load("chat", 1, waiting.len()).await;
    }
    waiting
}

/// Lets the held request go, and all others after it; in which order these came to the worker.
async fn order(
    worker: &FakeWorker,
    held: JoinHandle<Reply>,
    waiting: Vec<JoinHandle<Reply>>,
) -> Vec<String> {
    worker.release_all();
    for reply in join_all(waiting.into_iter().chain([held])).await {
        assert_eq!(reply.unwrap().status, 200);
    }
    let heads = worker.heads().into_iter().skip(1);
    heads.map(|head| head.path).collect()
}

#[tokio::test]
async fn an_interactive_request_overtakes_batch_work() {
    let (worker, penstock, held) = busy(CLASSES).await;
    let requests = [
        ("/batch/1", "batch"),
        ("/batch/2", "batch"),
        ("/interactive", "interactive"),
        // Who names no class that there is has none, and so no delay.
        ("/unknown", "bulk"),
    ];
    let waiting = line_up(&penstock, "x-class", &requests).await;
    let metrics = penstock.metrics().await;
    let queued = |class| metrics.sum("penstock_class_queued", &[("class", class)]);
    assert_eq!((queued("batch"), queued("interactive")), (2.0, 1.0));
    assert_eq!(
        order(&worker, held, waiting).await,
        ["/interactive", "/unknown", "/batch/1", "/batch/2"]
    );
    penstock.until_load("chat", 0, 0).await;
    let metrics = penstock.metrics().await;
    let sum = |name, class| metrics.sum(name, &[("class", class)]);
    assert_eq!(sum("penstock_class_queued", "batch"), 0.0);
    assert_eq!(sum("penstock_class_queue_wait_seconds_count", "batch"), 2.0);
}

#[tokio::test]
async fn the_class_of_an_api_key_wins_over_the_header() {
    // The SHA-256 of `key-of-batch` and of `key-of-anyone`.
    let settings = format!(
        r#"
        {CLASSES}
        [services.chat.api_keys.nightly]
        sha256 = "58083815d4a7309041a07e7a06a4ff2ea841636c60c9e9605d9eb37582bb9269"
        class = "batch"
        [services.chat.api_keys.anyone]
        sha256 = "a295ff5afac4b2988c028c13a2c2fd1b1f188ea46f056fbe4c9e8cbb99565e7e"
        "#
    );
    let (worker, penstock) = one_worker(&settings).await;
    let client = penstock.client("chat");
    let with = |path: &'static str, key: &'static str, class: &'static str| {
        let client = client.clone();
        tokio::spawn(async move {
            let headers = [("x-api-key", key), ("x-class", class)];
            let exchange = client.send_with(Method::GET, path, &headers, empty());
            exchange.await.whole().await
        })
    };
    let held = with("/held", "key-of-anyone", "");
    worker.until("the first", |seen| seen.current == 1).await;
    let mut waiting = Vec::new();
    for (path, key, class) in [
        ("/nightly", "key-of-batch", "interactive"),
        ("/batch", "key-of-anyone", "batch"),
        ("/interactive", "key-of-anyone", "interactive"),
    ] {
        waiting.push(with(path, key, class));
        penstock.until_load("chat", 1, waiting.len()).await;
    }
    assert_eq!(
        order(&worker, held, waiting).await,
        ["/interactive", "/nightly", "/batch"]
    );
}

#[tokio::test]
async fn one_who_floods_the_queue_does_not_starve_another() {
    let (worker, penstock, held) = busy(FAIR).await;
    let flood: Vec<String> = (0..20).map(|number| format!("/flood/{number}")).collect();
    let mut requests: Vec<_> = flood.iter().map(|path| (path.as_str(), "flood")).collect();
    requests.extend([("/other/0", "other"), ("/other/1", "other")]);
    let waiting = line_up(&penstock, "x-user", &requests).await;
    let order = order(&worker, held, waiting).await;
    assert_eq!(
        order[..5],
        ["/flood/0", "/other/0", "/flood/1", "/other/1", "/flood/2"]
    );
}

#[tokio::test]
async fn batch_work_gives_its_place_in_a_full_queue_to_an_interactive_request() {
    let full = CLASSES.replace("queue = {", "queue = { max_requests = 2,");
    let (worker, penstock, held) = busy(&full).await;
    let requests = [("/batch/1", "batch"), ("/batch/2", "batch")];
    let mut waiting = line_up(&penstock, "x-class", &requests).await;
    let client = penstock.client("chat");
    let more = send(&client, "/batch/3", ("x-class", "batch")).await;
    assert_eq!(more.unwrap().reason(), "queue_full");
    let interactive = send(&client, "/interactive", ("x-class", "interactive"));
    let displaced = waiting.remove(1).await.unwrap();
    assert_eq!(
        (displaced.status.as_u16(), displaced.reason()),
        (429, "queue_full")
    );
    penstock.until_load("chat", 1, 2).await;
    waiting.push(interactive);
    assert_eq!(
        order(&worker, held, waiting).await,
        ["/interactive", "/batch/1"]
    );
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn a_reload_that_changes_the_order_loses_nobody_who_waits() {
    let (worker, penstock, held) = busy(CLASSES).await;
    let requests = [("/batch", "batch"), ("/interactive", "interactive")];
    let mut waiting = line_up(&penstock, "x-class", &requests).await;
    let config = |queue: &str| {
        format!(
            r#"
            [services.chat]
            balance = "hash"
            hash = {{ header = "x-user", overflow = "never" }}
            {queue}
            [services.chat.deployments.main]
            max_concurrency = 1
            static = {{ addresses = ["{}"] }}
            "#,
            worker.address
        )
    };
    penstock.reload(&config(FAIR)).await;
    let client = penstock.client("chat");
    waiting.push(send(&client, "/fair", ("x-user", "somebody")));
    penstock.until_load("chat", 1, 3).await;
    penstock.reload(&config("")).await;
    let order = order(&worker, held, waiting).await;
    assert_eq!(order, ["/interactive", "/fair", "/batch"]);
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn a_request_whose_own_time_is_over_leaves_the_queue() {
    let (worker, penstock, held) = busy(FAIR).await;
    let waiting = line_up(&penstock, "x-user", &[("/stays", "somebody")]).await;
    let client = penstock.client("chat");
    let late = send(&client, "/late", ("grpc-timeout", "50m"))
        .await
        .unwrap();
    assert_eq!((late.status.as_u16(), late.reason()), (504, "deadline"));
    penstock.until_load("chat", 1, 1).await;
    assert_eq!(order(&worker, held, waiting).await, ["/stays"]);
}

#[tokio::test]
async fn who_leaves_the_queue_leaves_the_order_of_the_others() {
    let (worker, penstock, held) = busy(FAIR).await;
    let requests = [("/a/0", "a"), ("/a/1", "a"), ("/a/2", "a"), ("/b/0", "b")];
    let mut waiting = line_up(&penstock, "x-user", &requests).await;
    waiting.remove(0).abort();
    penstock.until_load("chat", 1, 3).await;
    assert_eq!(
        order(&worker, held, waiting).await,
        ["/a/1", "/b/0", "/a/2"]
    );
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn a_thousand_requests_that_wait_for_a_worker_wake_by_class() {
    const EACH: usize = 500;
    let deployment = "max_concurrency = 1\nscaling = { min = 0, max = 1 }";
    let (penstock, mut launches) = Launches::behind(CLASSES, deployment).await;
    let client = penstock.client("chat");
    let waiting: Vec<_> = (0..2 * EACH)
        .map(|number| match number % 2 {
            0 => send(&client, "/batch", ("x-class", "batch")),
            _ => send(&client, "/interactive", ("x-class", "interactive")),
        })
        .collect();
    penstock.until_load("chat", 0, 2 * EACH).await;
    let worker = launches.next().await.listen().await;
    for reply in join_all(waiting).await {
        assert_eq!(reply.unwrap().status, 200);
    }
    let heads = worker.heads();
    let (first, second) = heads.split_at(EACH);
    assert!(first.iter().all(|head| head.path == "/interactive"));
    assert!(second.iter().all(|head| head.path == "/batch"));
    assert_eq!(second.len(), EACH);
}

#[tokio::test]
async fn a_request_waits_for_its_own_worker_and_lets_others_pass() {
    let workers = [FakeWorker::start().await, FakeWorker::start().await];
    for worker in &workers {
        worker.on("/held", Behaviour::Hold);
    }
    let service = r#"
        balance = "hash"
        hash = { header = "x-user", overflow = "never" }
        queue = { max_requests = 1 }
    "#;
    let penstock = Penstock::before_all(&workers.each_ref(), service, "max_concurrency = 1").await;
    let client = penstock.client("chat");
    let users = [
        user_of(&client, &workers[0]).await,
        user_of(&client, &workers[1]).await,
    ];

    let held = send(&client, "/held", ("x-user", &users[0]));
    workers[0]
        .until("the first", |seen| seen.current == 1)
        .await;
    let waits = send(&client, "/waits", ("x-user", &users[0]));
    penstock.until_load("chat", 1, 1).await;
    // The queue is full; who need not wait is no matter of the queue's.
    let passes = send(&client, "/passes", ("x-user", &users[1]));
    assert_eq!(passes.await.unwrap().status, 200);
    let refused = send(&client, "/", ("x-user", &users[0])).await.unwrap();
    assert_eq!(refused.reason(), "queue_full");
    penstock.until_load("chat", 1, 1).await;
    workers[0].release_all();
    for answer in [held, waits] {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    let came = |worker: &FakeWorker, path: &str| worker.heads().iter().any(|h| h.path == path);
    assert!(came(&workers[0], "/waits") && came(&workers[1], "/passes"));
    penstock.until_load("chat", 0, 0).await;
}

/// A user whose requests belong to this worker.
async fn user_of(client: &Client, worker: &FakeWorker) -> String {
    for number in 0..100 {
        let (user, before) = (format!("user {number}"), worker.seen().started);
        let answer = send(client, "/", ("x-user", &user)).await.unwrap();
        assert_eq!(answer.status, 200);
        if worker.seen().started > before {
            return user;
        }
    }
    panic!("nobody of a hundred belongs to it");
}

#[tokio::test]
async fn a_request_that_a_worker_refused_waits_for_the_other_one() {
    let gone = FakeWorker::start().await.address;
    let busy = FakeWorker::start().await;
    busy.on("/held", Behaviour::Hold);
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat]
        balance = "round-robin"
        [services.chat.deployments.main]
        max_concurrency = 1
        static = {{ addresses = ["{gone}", "{}"] }}
        probes.ready = {{ tcp = false }}
        "#,
        busy.address
    ))
    .await;
    penstock.until_known("chat", 2).await;
    let client = penstock.client("chat");
    // Wherever they begin, one of the two has the only worker that there is.
    let requests: Vec<_> = (0..2)
        .map(|_| send(&client, "/held", ("x-user", "somebody")))
        .collect();
    penstock.until_load("chat", 1, 1).await;
    busy.release_all();
    for reply in join_all(requests).await {
        assert_eq!(reply.unwrap().status, 200);
    }
    assert_eq!(busy.seen().peak, 1);
}
