//! Workers that fail requests get none for a while.

use http::{Method, Response};

use crate::support::{
    client::{Client, empty, full},
    eventually,
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
    soon,
};

/// The service `chat` before two workers that get requests in turn.
fn config(workers: &[&FakeWorker; 2], settings: &str) -> String {
    let [one, two] = workers.map(|worker| worker.address);
    format!(
        r#"
        [services.chat]
        balance = "round-robin"
        {settings}
        [services.chat.deployments.main]
        static = {{ addresses = ["{one}", "{two}"] }}
        "#
    )
}

async fn two_workers() -> (FakeWorker, FakeWorker) {
    (FakeWorker::start().await, FakeWorker::start().await)
}

/// Sends requests until a worker was ejected.
async fn until_ejected(penstock: &Penstock, client: &Client) {
    soon("a worker is ejected", async {
        while penstock
            .metrics()
            .await
            .sum("penstock_ejections_total", &[])
            == 0.0
        {
            client.get("/").await;
        }
    })
    .await;
}

async fn until_readmitted(penstock: &Penstock) {
    penstock
        .until("the worker is readmitted", |metrics| {
            metrics.sum("penstock_workers_ejected", &[]) == 0.0
        })
        .await;
}

fn asks_for_rest() -> Behaviour {
    Behaviour::custom(|_| async {
        let answer = Response::builder().status(503).header("retry-after", "1");
        answer.body(full("busy")).unwrap()
    })
}

const FOR_LONG: &str =
    "ejection = { failures = 3, first = \"10m\", longest = \"10m\" }\nretries = { attempts = 0 }";
const FOR_A_MOMENT: &str =
    "ejection = { failures = 3, first = \"200ms\" }\nretries = { attempts = 0 }";

#[tokio::test]
async fn a_worker_that_fails_in_a_row_gets_nothing_more() {
    let (bad, good) = two_workers().await;
    bad.on("/", Behaviour::Answer(500, "broken"));
    let penstock = Penstock::start(&config(&[&bad, &good], FOR_LONG)).await;
    let client = penstock.client("chat");
    let mut failed = 0;
    for _ in 0..30 {
        failed += usize::from(client.get("/").await.status == 500);
    }
    assert_eq!(
        (failed, bad.seen().started, good.seen().started),
        (3, 3, 27)
    );
    let metrics = penstock.metrics().await;
    assert_eq!(metrics.sum("penstock_workers_ejected", &[]), 1.0);
    assert_eq!(metrics.sum("penstock_ejections_total", &[]), 1.0);
    let status = eventually("status shows it", async || {
        let text = penstock.command(&["status"]).await;
        text.contains("ready, ejected").then_some(text)
    })
    .await;
    assert!(
        status.contains("2 ready"),
        "for control it is ready:\n{status}"
    );
}

#[tokio::test]
async fn a_readmitted_worker_gets_one_request_first() {
    let (bad, good) = two_workers().await;
    bad.on("/", Behaviour::Answer(500, "broken"));
    let penstock = Penstock::start(&config(&[&bad, &good], FOR_A_MOMENT)).await;
    let client = penstock.client("chat");
    until_ejected(&penstock, &client).await;
    bad.on("/", Behaviour::Hold);
    until_readmitted(&penstock).await;
    let before = bad.seen().started;
    let first = tokio::spawn({
        let client = client.clone();
        // Half of them are the other worker's turn.
        async move { while client.get("/").await.text() != "released" {} }
    });
    bad.until("the first request comes", |seen| seen.current == 1)
        .await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.text(), "ok");
    }
    assert_eq!(bad.seen().started, before + 1);
    bad.release_all();
    soon("the first request is answered", first).await.unwrap();
    let answers = [client.get("/").await, client.get("/").await];
    assert!(answers.iter().any(|answer| answer.text() == "released"));
}

#[tokio::test]
async fn a_readmitted_worker_that_fails_once_more_is_out_at_once() {
    let (bad, good) = two_workers().await;
    bad.on("/", Behaviour::Answer(500, "broken"));
    let penstock = Penstock::start(&config(&[&bad, &good], FOR_A_MOMENT)).await;
    let client = penstock.client("chat");
    until_ejected(&penstock, &client).await;
    let before = bad.seen().started;
    soon("it is ejected again", async {
        while penstock
            .metrics()
            .await
            .sum("penstock_ejections_total", &[])
            < 2.0
        {
            client.get("/").await;
        }
    })
    .await;
    assert_eq!(bad.seen().started, before + 1);
}

#[tokio::test]
async fn a_worker_that_asks_for_rest_gets_it_and_its_request_goes_elsewhere() {
    let (busy, free) = two_workers().await;
    busy.on("/", asks_for_rest());
    let settings = "ejection = { longest = \"10m\" }";
    let penstock = Penstock::start(&config(&[&busy, &free], settings)).await;
    let client = penstock.client("chat");
    until_ejected(&penstock, &client).await;
    assert_eq!(busy.seen().started, 1);
    let retried = [("reason", "retry_after")];
    let metrics = penstock.metrics().await;
    assert_eq!(metrics.sum("penstock_retries_total", &retried), 1.0);
    let errors = [("code", "503")];
    assert_eq!(metrics.sum("penstock_requests_total", &errors), 0.0);

    busy.on("/", Behaviour::Ok);
    until_readmitted(&penstock).await;
    soon("it gets requests again", async {
        while busy.seen().started == 1 {
            client.get("/").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_post_gets_the_answer_of_the_worker_that_asks_for_rest() {
    let (busy, free) = two_workers().await;
    busy.on("/", asks_for_rest());
    let penstock = Penstock::start(&config(&[&busy, &free], "")).await;
    let client = penstock.client("chat");
    let mut refused = 0;
    for _ in 0..4 {
        let answer = client.post("/", "x").await;
        if answer.status == 503 {
            refused += 1;
            assert_eq!((answer.text(), answer.reason()), ("busy", ""));
            assert_eq!(answer.header("retry-after"), "1");
        }
    }
    assert!(refused >= 1);
    assert_eq!(busy.seen().started, refused);
}

#[tokio::test]
async fn the_last_worker_stays_however_much_it_fails() {
    let worker = FakeWorker::start().await;
    worker
        .on("/", Behaviour::Answer(500, "broken"))
        .on("/rest", asks_for_rest());
    let penstock = Penstock::before(worker.address, FOR_LONG).await;
    let client = penstock.client("chat");
    for _ in 0..20 {
        assert_eq!(client.get("/").await.text(), "broken");
        assert_eq!(client.get("/rest").await.text(), "busy");
    }
    assert_eq!(client.get("/good").await.text(), "ok");
    let metrics = penstock.metrics().await;
    assert_eq!(metrics.sum("penstock_ejections_total", &[]), 0.0);
}

#[tokio::test]
async fn a_client_that_leaves_is_no_failure_of_the_worker() {
    let (one, two) = two_workers().await;
    one.on("/", Behaviour::Hold);
    two.on("/", Behaviour::Hold);
    let penstock = Penstock::start(&config(&[&one, &two], FOR_LONG)).await;
    let client = penstock.client("chat");
    for _ in 0..10 {
        let request = client.request(Method::GET, "/", empty());
        let leaves = tokio::spawn({
            let client = client.clone();
            async move { drop(client.try_send(request).await) }
        });
        penstock.until_load("chat", 1, 0).await;
        leaves.abort();
        penstock.until_load("chat", 0, 0).await;
    }
    let metrics = penstock.metrics().await;
    assert_eq!(metrics.sum("penstock_ejections_total", &[]), 0.0);
}

#[tokio::test]
async fn an_ejection_outlives_a_reload() {
    let (bad, good) = two_workers().await;
    bad.on("/", Behaviour::Answer(500, "broken"));
    let penstock = Penstock::start(&config(&[&bad, &good], FOR_LONG)).await;
    let client = penstock.client("chat");
    until_ejected(&penstock, &client).await;
    let other = format!("{FOR_LONG}\nqueue = {{ max_requests = 7 }}");
    penstock.reload(&config(&[&bad, &good], &other)).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.text(), "ok");
    }
    assert_eq!(bad.seen().started, 3);
    let metrics = penstock.metrics().await;
    assert_eq!(metrics.sum("penstock_workers_ejected", &[]), 1.0);
}
