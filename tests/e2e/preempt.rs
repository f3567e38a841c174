//! Workers that are about to be taken away.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::Value;

use crate::support::{
    eventually,
    penstock::{Penstock, simulated},
};

/// A service whose requests take about a second each, with so many workers.
fn service(workers: u32, settings: &str) -> String {
    let command = simulated("--load-time 500ms --time-to-first-token 0s --tokens-per-second 20");
    format!(
        r#"
        [services.a.deployments.main]
        process.{command}
        probes.ready = {{ http = "/health" }}
        scaling = {{ min = {workers}, max = {workers} }}
        {settings}
        "#
    )
}

/// The numbers of workers that are not on their way out, and whether each is to be taken away.
async fn workers(penstock: &Penstock) -> Vec<(String, u64, bool)> {
    let text = penstock.command(&["status", "--json"]).await;
    let status: Value = serde_json::from_str(&text).unwrap();
    let workers = status["services"][0]["deployments"][0]["workers"].clone();
    let told = workers.as_array().unwrap().iter().map(|worker| {
        (
            worker["id"].as_str().unwrap().to_owned(),
            worker["slot"].as_u64().unwrap(),
            worker["taken_away_in"].is_number(),
        )
    });
    told.collect()
}

async fn until_replaced(penstock: &Penstock, before: &[(String, u64, bool)]) {
    eventually("the workers are replaced", async || {
        let now = workers(penstock).await;
        let is_new = |(id, ..): &(String, u64, bool)| before.iter().all(|(old, ..)| old != id);
        (now.len() == before.len() && now.iter().all(is_new)).then_some(())
    })
    .await;
}

/// Asks without a pause until told to stop; how many requests were answered, all of them well.
async fn load(penstock: &Penstock, over: &AtomicBool, answered: &AtomicU32) {
    let client = penstock.client("a");
    let crowd = (0..6).map(|_| async {
        while !over.load(Ordering::Relaxed) {
            let body = r#"{"prompt": "x", "max_tokens": 20, "ignore_eos": true}"#;
            let answer = client.post("/v1/completions", body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            answered.fetch_add(1, Ordering::Relaxed);
        }
    });
    join_all(crowd).await;
}

#[tokio::test]
async fn a_worker_that_is_taken_away_under_load_is_replaced_first_and_loses_no_request() {
    let penstock = Penstock::start(&service(2, "")).await;
    penstock.until_ready("a", 2).await;
    let (over, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    let preempt = async {
        penstock.until_load("a", 6, 0).await;
        for _ in 0..2 {
            let before = workers(&penstock).await;
            let slot = before[0].1;
            let target = format!("a/main#{slot}");
            let begun = Instant::now();
            let told = penstock
                .command(&["preempt", &target, "--within", "30s", "--reason", "spot"])
                .await;
            let expected =
                format!("worker {slot} is taken away in 30 s: it is replaced, and drains");
            assert!(told.contains(&expected), "{told}");
            until_replaced_one(&penstock, &before[0].0).await;
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "{:?}",
                begun.elapsed()
            );
            penstock.until_ready("a", 2).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(load(&penstock, &over, &answered), preempt);
    assert!(answered.load(Ordering::Relaxed) > 12);
    let log = penstock.log();
    for text in [
        "drains: it is taken away",
        ": spot",
        "worker 2 is being started",
    ] {
        assert!(log.contains(text), "{text:?} is not in\n{log}");
    }
    let metrics = penstock.metrics().await;
    let of = |reason| metrics.sum("penstock_worker_preemptions_total", &[("reason", reason)]);
    assert_eq!((of("notice"), of("drained"), of("cut")), (2.0, 2.0, 0.0));
}

async fn until_replaced_one(penstock: &Penstock, id: &str) {
    eventually("the worker is gone", async || {
        let now = workers(penstock).await;
        now.iter().all(|(known, ..)| known != id).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_file_that_appears_takes_a_worker_away_or_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let settings = r#"preemptible = { file = "gone-{slot}", within = "20s" }"#;
    let penstock = Penstock::start_in(dir, &service(2, settings)).await;
    penstock.until_ready("a", 2).await;
    let before = workers(&penstock).await;
    fs::write(penstock.path().join("gone-1"), "").unwrap();
    let second = before.iter().find(|(_, slot, _)| *slot == 1).unwrap();
    until_replaced_one(&penstock, &second.0).await;
    let first = before.iter().find(|(_, slot, _)| *slot == 0).unwrap();
    assert!(
        workers(&penstock).await.contains(first),
        "the other one stays"
    );
    penstock.until_ready("a", 2).await;
    // One notice for all. The workers that come after it stay.
    let all = service(2, r#"preemptible = { file = "gone" }"#);
    penstock.reload(&all).await;
    let before = workers(&penstock).await;
    fs::write(penstock.path().join("gone"), "15s").unwrap();
    until_replaced(&penstock, &before).await;
    penstock.until_ready("a", 2).await;
    let now = workers(&penstock).await;
    let metrics = penstock.metrics().await;
    let notices = [("reason", "notice")];
    assert_eq!(
        metrics.sum("penstock_worker_preemptions_total", &notices),
        3.0
    );
    assert!(now.iter().all(|(.., taken)| !taken), "{now:?}");
}

#[tokio::test]
async fn what_takes_longer_than_the_notice_is_cut_and_a_wrong_notice_is_refused() {
    let quick = service(1, "process.stop_grace = \"0s\"");
    let penstock = Penstock::start(&quick).await;
    penstock.until_ready("a", 1).await;
    let client = penstock.client("a");
    let long = tokio::spawn(async move {
        let body = r#"{"prompt": "x", "max_tokens": 400, "ignore_eos": true}"#;
        client.post("/v1/completions", body).await.status
    });
    penstock.until_load("a", 1, 0).await;
    let told = penstock.failing(&["preempt", "a/main#7"]).await;
    assert!(
        told.contains("there is no worker 7") || told.contains('7'),
        "{told}"
    );
    let page = "/api/v1/services/a/deployments/main/workers/0/preempt";
    let answer = penstock.admin().post(page, r#"{"within": "soon"}"#).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let answer = penstock.admin().post(page, r#"{"within": "2s"}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let status = penstock.command(&["status", "a"]).await;
    assert!(status.contains("taken away in"), "{status}");
    assert_eq!(long.await.unwrap(), 502);
    let metrics = penstock.metrics().await;
    let cut = [("reason", "cut")];
    assert_eq!(metrics.sum("penstock_worker_preemptions_total", &cut), 1.0);
    let answer = penstock.client("a").get("/v1/models").await;
    assert_eq!(answer.status, 200, "its successor is there");
}
