//! Requests that belong to a worker, and workers that should get fewer requests.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use http::Method;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{
    client::{Client, empty},
    fake::{Behaviour, FakeWorker},
    launches::{Launch, Launches},
    penstock::Penstock,
};

const USERS: usize = 40;

/// The answer that each user gets.
async fn answers(client: &Client) -> Vec<String> {
    let mut answers = Vec::new();
    for user in 0..USERS {
        let user = format!("user {user}");
        let headers = [("x-user", user.as_str())];
        let exchange = client.send_with(Method::GET, "/", &headers, empty()).await;
        answers.push(exchange.whole().await.text().to_owned());
    }
    answers
}

async fn listen(launch: Launch, name: &'static str) -> FakeWorker {
    let worker = launch.listen().await;
    worker.on("/", Behaviour::Answer(200, name));
    worker
}

#[tokio::test]
async fn a_worker_that_is_started_again_inherits_the_keys_of_the_one_before() {
    let (penstock, mut launches) = Launches::behind(
        r#"
        balance = "hash"
        hash = { header = "x-user" }
        "#,
        "ramp = false\nscaling = { min = 3, max = 3 }",
    )
    .await;
    let lost = launches.next().await;
    let a = listen(lost, "a").await;
    let _b = listen(launches.next().await, "b").await;
    let _c = listen(launches.next().await, "c").await;
    penstock.until_known("chat", 3).await;
    let client = penstock.client("chat");
    let before = answers(&client).await;
    assert_eq!(answers(&client.h2()).await, before);
    let mut shares = BTreeMap::<&str, usize>::new();
    before
        .iter()
        .for_each(|name| *shares.entry(name).or_default() += 1);
    assert!(
        shares.len() == 3 && shares.values().all(|had| *had > 3),
        "{shares:?}"
    );

    drop(a);
    kill(Pid::from_raw(lost.pid), Signal::SIGKILL).unwrap();
    let _again = listen(launches.next().await, "again").await;
    penstock.until_ready("chat", 3).await;
    penstock.until_known("chat", 3).await;
    let after = answers(&client).await;
    for (was, is) in before.iter().zip(&after) {
        let expected = if was == "a" { "again" } else { was };
        assert_eq!(is, expected);
    }
}

#[tokio::test]
async fn a_hot_key_overflows_as_told() {
    for (overflow, fewest) in [("above-mean", 3), ("when-full", 2), ("never", 0)] {
        let workers = [FakeWorker::start().await, FakeWorker::start().await];
        for worker in &workers {
            worker.on("/", Behaviour::Hold);
        }
        let service = &format!(
            r#"
            balance = "hash"
            hash = {{ query = "user", overflow = "{overflow}" }}
            "#
        );
        let penstock = Penstock::before_all(
            &workers.each_ref(),
            service,
            "max_concurrency = 6\nramp = false",
        )
        .await;
        let client = penstock.client("chat");
        let held = join_all((0..8).map(|_| client.get("/?user=alice")));
        let look = async {
            let queued = if overflow == "never" { 2 } else { 0 };
            penstock.until_load("chat", 8 - queued, queued).await;
            let metrics = penstock.metrics().await;
            let mut had = ["0", "1"].map(|slot| {
                let labels = [("service", "chat"), ("worker", slot)];
                metrics.sum("penstock_in_flight", &labels) as usize
            });
            had.sort_unstable();
            assert_eq!(had[0] + had[1], 8 - queued);
            // Two threads that look at the same moment may both find the other worker better, or both find that
            // their own may have one more.
            let is_bound = overflow == "above-mean" && had[0].abs_diff(fewest) == 1;
            assert!(had[0] == fewest || is_bound, "{overflow}: {had:?}");
            workers.iter().for_each(FakeWorker::release_all);
        };
        let (answers, ()) = tokio::join!(held, look);
        assert!(answers.iter().all(|answer| answer.text() == "released"));
    }
}

#[tokio::test]
async fn a_worker_that_fails_at_once_gets_few_requests() {
    for balance in ["least-connections", "peak-ewma"] {
        let (good, bad) = (FakeWorker::start().await, FakeWorker::start().await);
        bad.on("/", Behaviour::Answer(500, "failed"));
        let service = &format!(
            r#"
            balance = "{balance}"
            ejection = {{ failures = 0 }}
            "#
        );
        let penstock = Penstock::before_all(&[&good, &bad], service, "ramp = false").await;
        let client = penstock.client("chat");
        for _ in 0..100 {
            client.get("/").await;
        }
        let (good, bad) = (good.seen().started, bad.seen().started);
        assert_eq!(good + bad, 100);
        assert!(bad <= 10, "{balance}: {bad} of 100");
    }
}

#[tokio::test]
async fn peak_ewma_prefers_the_worker_that_answers_sooner() {
    let (quick, slow) = (FakeWorker::start().await, FakeWorker::start().await);
    // Slow because the test holds its first answer until the quick one was measured.
    slow.on("/", Behaviour::Hold);
    let service = r#"balance = "peak-ewma""#;
    let penstock = Penstock::before_all(&[&quick, &slow], service, "ramp = false").await;
    let client = penstock.client("chat");
    // A worker that nothing is known of is tried soon; with a request and no answer yet it costs most.
    let held = loop {
        let client = client.clone();
        let mut request = tokio::spawn(async move { client.get("/").await });
        tokio::select! {
            _ = &mut request => {}
            _ = slow.until("its request", |seen| seen.current == 1) => break request,
        }
    };
    assert_eq!(client.get("/").await.text(), "ok");
    let before = quick.seen().started;
    for _ in 0..50 {
        assert_eq!(client.get("/").await.text(), "ok");
    }
    assert_eq!(
        (quick.seen().started, slow.seen().started),
        (before + 50, 1)
    );
    slow.release_all();
    assert_eq!(held.await.unwrap().text(), "released");
}
