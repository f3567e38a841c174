//! What workers tell on their own pages corrects the count of workers, and never harms it.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::join_all;
use http::{Method, Response};
use serde_json::{Value, json};

use crate::support::{
    client::{Client, empty, full},
    eventually,
    fake::Behaviour,
    launches::Launches,
    penstock::{Penstock, simulated},
};

/// A page of which rules can see that nothing waits.
const GOOD: Behaviour = Behaviour::Answer(200, "# TYPE queue gauge\nqueue{model=\"demo\"} 0\n");

#[tokio::test]
async fn requests_that_wait_inside_a_worker_bring_more_workers() {
    // The worker takes a hundred requests but works on two at a time; the gateway sees no queue.
    let command = simulated("--load-time 0s --batch 2 --tokens-per-second 1");
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat.deployments.main]
        max_concurrency = 100
        ramp = false
        process = {{ {command} }}
        probes.ready = {{ http = "/health" }}
        metrics = {{ interval = "3s", timeout = "3s" }}
        scaling.max = 3
        [[services.chat.deployments.main.scaling.rules]]
        type = "target_tracking"
        metric = 'worker:vllm:num_requests_waiting{{model_name="demo"}}'
        target = 1
        "#
    ))
    .await;
    penstock.until_ready("chat", 1).await;
    let client = penstock.client("chat");
    let body = json!({
        "model": "demo", "stream": true, "max_tokens": 100_000, "ignore_eos": true,
        "messages": [{ "role": "user", "content": "go on" }],
    });
    let answers = (0..10).map(|_| {
        let body = full(body.to_string());
        client.send(Method::POST, "/v1/chat/completions", body)
    });
    let open = join_all(answers).await;
    // Eight wait in one worker. In two it would still be six, should one come in between.
    penstock.until_ready("chat", 3).await;
    let deployment = deployment(&penstock, "chat").await;
    let wishes = deployment["wishes"].to_string();
    assert!(
        wishes.contains("worker:vllm:num_requests_waiting{model_name="),
        "{wishes}"
    );
    assert!(wishes.contains("1 for concurrency"), "{wishes}");
    let journal = journal(&penstock, "chat").await.to_string();
    assert!(
        journal.contains("the target_tracking rule asks for"),
        "{journal}"
    );
    assert!(!journal.contains("metrics_failing"), "{journal}");
    let metrics = penstock.metrics().await;
    let scrapes = |result| metrics.sum("penstock_worker_scrapes_total", &[("result", result)]);
    assert!(scrapes("ok") > 0.0 && scrapes("failed") == 0.0);
    drop(open);
}

#[tokio::test]
async fn a_page_that_cannot_be_read_keeps_no_worker_from_coming_and_no_other_from_going() {
    let long: &str = Box::leak("# just words\n".repeat(400_000).into_boxed_str());
    let answered = Arc::new(AtomicUsize::new(0));
    let pages = [
        ("hangs", Behaviour::custom(|_| pending())),
        ("garbage", Behaviour::Answer(200, "<html>queue</html>\n")),
        ("long", Behaviour::Answer(200, long)),
        ("breaks", Behaviour::Reset),
        ("vanishes", vanishing(answered)),
    ];
    let dir = tempfile::tempdir().unwrap();
    let launches: Vec<Launches> = pages
        .iter()
        .map(|(name, _)| Launches::listen(dir.path(), name))
        .collect();
    let services = pages.iter().map(|(name, _)| {
        let command = Launches::command(name);
        format!(
            r#"
            [services.{name}.deployments.main]
            max_concurrency = 1
            process = {{ {command} }}
            probes.ready = {{ tcp = true }}
            metrics = {{ interval = "1s", timeout = "1s" }}
            [services.{name}.deployments.main.scaling]
            max = 3
            rules = [
                {{ type = "backlog", target = 1 }},
                {{ type = "target_tracking", metric = "worker:queue", target = 5, scale_in_cooldown = "0s" }},
            ]
            down = {{ stable_for = "100ms", period = "100ms" }}
            "#
        )
    });
    let penstock = Penstock::start_in(dir, &services.collect::<String>()).await;
    let stories = pages.into_iter().zip(launches);
    join_all(stories.map(|((name, page), launches)| one(&penstock, name, page, launches))).await;
}

/// A worker with a bad page comes beside one with a good one.
async fn one(penstock: &Penstock, name: &str, page: Behaviour, mut launches: Launches) {
    let client = penstock.client(name);
    let first = launches.next().await.listen().await;
    first.on("/hold", Behaviour::Hold).on("/metrics", GOOD);
    penstock.until_ready(name, 1).await;
    let mut open = vec![hold(&client), hold(&client)];
    let second = launches.next().await.listen().await;
    second.on("/hold", Behaviour::Hold).on("/metrics", page);
    second
        .until("the second request", |seen| seen.current >= 1)
        .await;
    // What was told before a page vanished counts for a while.
    until_said(penstock, name, "workers", "metrics_failure\":\"").await;
    until_said(penstock, name, "wishes", "told by 1 of 2 workers").await;

    // The other rule goes on, with more requests than the two have places for.
    open.push(hold(&client));
    let third = launches.next().await.listen().await;
    third.on("/hold", Behaviour::Hold).on("/metrics", GOOD);
    third
        .until("the third request", |seen| seen.current >= 1)
        .await;
    until_said(penstock, name, "wishes", "told by 2 of 3 workers").await;

    // One request less: the gateway counts that two workers would do.
    first.until("its request", |seen| seen.current >= 1).await;
    first.release(1);
    penstock.until_desired(name, 2).await;
    until_said(penstock, name, "workers", "metrics_failure\":\"").await;

    second.on("/metrics", GOOD);
    until_said(penstock, name, "wishes", "told by 2 of 2 workers").await;
    for worker in [&second, &third] {
        worker.release_all();
    }
    for answer in join_all(open).await {
        assert_eq!(answer.unwrap(), "released", "{name}");
    }
    penstock.until_desired(name, 1).await;
    check_journal(penstock, name).await;
}

/// It is written down once that the page cannot be read, and once that it can.
async fn check_journal(penstock: &Penstock, name: &str) {
    let journal = journal(penstock, name).await;
    let kinds: Vec<&str> = journal
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["text"].as_str().unwrap().contains("worker 1"))
        .filter_map(|entry| entry["kind"].as_str())
        .filter(|kind| kind.starts_with("metrics_"))
        .collect();
    assert_eq!(
        kinds,
        ["metrics_read", "metrics_failing"],
        "{name}: newest first"
    );
}

/// Good for two answers.
fn vanishing(answered: Arc<AtomicUsize>) -> Behaviour {
    Behaviour::custom(move |_| {
        let known = answered.fetch_add(1, Ordering::SeqCst) < 2;
        async move {
            let (status, page) = if known { (200, "queue 0\n") } else { (404, "") };
            Response::builder().status(status).body(full(page)).unwrap()
        }
    })
}

fn hold(client: &Client) -> tokio::task::JoinHandle<String> {
    let client = client.clone();
    tokio::spawn(async move {
        let answer = client.send(Method::GET, "/hold", empty()).await;
        answer.whole().await.text().to_owned()
    })
}

async fn deployment(penstock: &Penstock, service: &str) -> Value {
    let path = format!("/api/v1/services/{service}");
    penstock.admin().get(&path).await.json()["deployments"][0].take()
}

async fn journal(penstock: &Penstock, service: &str) -> Value {
    let path = format!("/api/v1/journal?service={service}&limit=1000");
    penstock.admin().get(&path).await.json()
}

/// Waits until a part of the deployment's status has these words.
async fn until_said(penstock: &Penstock, service: &str, part: &str, words: &str) {
    eventually(&format!("{service}: {part} says {words:?}"), async || {
        let deployment = deployment(penstock, service).await;
        deployment[part].to_string().contains(words).then_some(())
    })
    .await;
}
