//! Services and deployments that an operator stops and resumes while requests come.

use std::time::Duration;

use http::Method;
use nix::sys::signal::Signal;
use tokio::time::Instant;

use crate::support::{
    client::{Client, Events, Reply, empty, full},
    eventually,
    fake::{Behaviour, FakeWorker},
    launches::Launches,
    penstock::{Penstock, simulated},
};

/// The service `chat` with one simulated worker that always runs.
fn one_process(scaling: &str) -> String {
    let command = simulated("--load-time 0s --time-to-first-token 0s");
    format!(
        r#"
        [services.chat.deployments.main]
        process = {{ {command} }}
        probes.ready = {{ http = "/health" }}
        scaling = {{ {scaling} }}
        "#
    )
}

/// The service `chat` before a worker that the test plays.
async fn one_static(worker: &FakeWorker, keys: &str) -> Penstock {
    Penstock::start(&format!(
        r#"
        [services.chat.deployments.main]
        static = {{ addresses = ["{}"] }}
        {keys}
        "#,
        worker.address
    ))
    .await
}

/// Runs a command, and waits until the gateway obeys what comes of it; what the command says.
async fn obeyed(penstock: &Penstock, args: &[&str]) -> String {
    let said = penstock.command(args).await;
    let status = async || penstock.admin().get("/api/v1/status").await.json();
    let wanted = status().await["generation"].as_u64();
    eventually("the gateway obeys", async || {
        let obeys = status().await["gateway_generation"].as_u64();
        (obeys >= wanted).then_some(())
    })
    .await;
    said
}

fn assert_paused(reply: &Reply, detail: &str) {
    assert_eq!((reply.status.as_u16(), reply.reason()), (503, "paused"));
    assert_eq!(reply.json()["detail"], detail);
}

#[tokio::test]
async fn requests_in_flight_finish_and_those_that_wait_and_come_hear_why_and_until_when() {
    let worker = FakeWorker::start().await;
    worker.on("/hold", Behaviour::Hold);
    let penstock = one_static(&worker, "max_concurrency = 1").await;
    let client = penstock.client("chat");
    let ask = |client: Client| tokio::spawn(async move { client.get("/hold").await });
    let held = ask(client.clone());
    penstock.until_load("chat", 1, 0).await;
    let waiting = ask(client.clone());
    penstock.until_load("chat", 1, 1).await;

    let pause = ["pause", "chat", "--reason", "new GPUs", "--for", "1h"];
    let said = obeyed(&penstock, &pause).await;
    assert!(
        said.starts_with("chat is paused since ") && said.contains(": new GPUs"),
        "{said}"
    );
    let waiting = waiting.await.unwrap();
    for reply in [waiting, client.get("/").await, client.h2().get("/").await] {
        assert_paused(&reply, "new GPUs");
        let left = reply.retry_after().unwrap().as_secs();
        assert!((3500..=3600).contains(&left), "{left}");
    }
    let status = penstock.command(&["status"]).await;
    assert!(status.contains("(penstock resume chat)"), "{status}");
    worker.release(1);
    assert_eq!(held.await.unwrap().text(), "released");
    penstock.until_no_worker("chat").await;

    let said = penstock.command(&["resume", "chat"]).await;
    assert!(
        said.starts_with("chat is resumed; it was paused since "),
        "{said}"
    );
    penstock.until_known("chat", 1).await;
    assert_eq!(client.get("/").await.text(), "ok");
    let metrics = penstock.metrics().await;
    let refused = metrics.sum("penstock_gateway_answers_total", &[("reason", "paused")]);
    assert_eq!((refused, metrics.sum("penstock_paused", &[])), (3.0, 0.0));
}

#[tokio::test]
async fn a_stream_is_cut_when_drain_timeout_is_over() {
    let worker = FakeWorker::start().await;
    worker.on("/events", Behaviour::Events);
    let penstock = one_static(&worker, "drain_timeout = \"5s\"").await;
    let client = penstock.client("chat");
    let stream = client.send(Method::GET, "/events", empty()).await;
    let mut events = Events::new(stream);
    obeyed(&penstock, &["pause", "chat/main"]).await;
    assert_eq!(worker.send_event("still here"), 1);
    assert_eq!(events.next().await.as_deref(), Some("still here"));
    assert_paused(&client.get("/").await, "paused by the operator");
    penstock.until_no_worker("chat").await;
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn worker_processes_end_and_stay_ended_over_a_kill_until_they_are_resumed() {
    let mut penstock = Penstock::start(&one_process("min = 1, max = 2")).await;
    penstock.until_ready("chat", 1).await;
    // Killed as soon as it has been answered, with the worker still running.
    penstock
        .command(&["pause", "chat", "--reason", "night"])
        .await;
    penstock.signal(Signal::SIGKILL);
    penstock.exit().await;
    penstock.start_again().await;
    penstock.until_no_worker("chat").await;
    penstock.until_alone().await;
    let client = penstock.client("chat");
    for _ in 0..3 {
        assert_paused(&client.get("/v1/models").await, "night");
    }
    let metrics = penstock.metrics().await;
    assert_eq!(metrics.sum("penstock_paused", &[("service", "chat")]), 1.0);
    assert_eq!(metrics.sum("penstock_desired_workers", &[]), 0.0);
    assert_eq!(penstock.processes().count(), 0, "nobody was woken");
    penstock.stop().await;
    penstock.start_again().await;
    let client = penstock.client("chat");
    assert_paused(&client.get("/v1/models").await, "night");

    penstock.command(&["resume", "chat"]).await;
    penstock.until_known("chat", 1).await;
    assert_eq!(client.get("/v1/models").await.status, 200);
    penstock.stop().await;
}

#[tokio::test]
async fn who_waits_for_a_start_is_answered_and_the_start_called_off() {
    let (penstock, mut launches) = Launches::behind("", "scaling = { min = 0, max = 1 }").await;
    let client = penstock.client("chat");
    let paused = async {
        launches.next().await;
        penstock
            .command(&["pause", "chat", "--reason", "enough"])
            .await;
    };
    let (reply, ()) = tokio::join!(client.get("/"), paused);
    assert_paused(&reply, "enough");
    penstock.until_no_worker("chat").await;
    penstock.until_alone().await;

    obeyed(&penstock, &["resume", "chat"]).await;
    let woken = async { launches.next().await.listen().await };
    let (reply, _worker) = tokio::join!(client.get("/"), woken);
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_pause_that_ends_while_penstock_is_away_has_ended_when_it_is_back() {
    /// Long enough for a worker to be stopped meanwhile, also where the machine stands still.
    const PAUSE: Duration = Duration::from_secs(4);
    let mut penstock = Penstock::start(&one_process("min = 1, max = 1")).await;
    penstock.until_ready("chat", 1).await;
    let said = penstock
        .command(&["pause", "chat", "--for", &format!("{PAUSE:?}")])
        .await;
    assert!(said.starts_with("chat is paused since "), "{said}");
    let over = Instant::now() + PAUSE;
    penstock.signal(Signal::SIGKILL);
    penstock.exit().await;
    // The one thing to wait for is time.
    tokio::time::sleep_until(over).await;
    penstock.start_again().await;
    penstock.until_known("chat", 1).await;
    assert_eq!(penstock.client("chat").get("/v1/models").await.status, 200);
    let status = penstock.command(&["status", "chat"]).await;
    assert!(
        status.contains("no longer paused: it was until "),
        "{status}"
    );

    // And while it is there: the worker ends, and another one begins.
    let before = penstock.worker_processes();
    obeyed(
        &penstock,
        &["pause", "chat", "--for", &format!("{PAUSE:?}")],
    )
    .await;
    eventually("another worker", async || {
        let now = penstock.worker_processes();
        (!now.is_empty() && now.is_disjoint(&before)).then_some(())
    })
    .await;
    // The gateway hears of it a moment later.
    eventually("requests are served again", async || {
        let answer = penstock.client("chat").get("/v1/models").await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_paused_deployment_leaves_its_requests_to_its_siblings_also_those_that_wait() {
    let (blue, green) = (FakeWorker::start().await, FakeWorker::start().await);
    for (worker, name) in [(&blue, "blue"), (&green, "green")] {
        worker.on("/", Behaviour::Answer(200, name));
        worker.on("/hold", Behaviour::Hold);
    }
    let deployment = |name: &str, worker: &FakeWorker| {
        format!(
            "[services.chat.deployments.{name}]\nweight = 50\nmax_concurrency = 1\nstatic = {{ addresses = [\"{}\"] }}\n",
            worker.address
        )
    };
    let config = deployment("blue", &blue) + &deployment("green", &green);
    let penstock = Penstock::start(&config).await;
    penstock.until_known("chat", 2).await;
    let client = penstock.client("chat");
    let ask =
        |client: Client, path: &'static str| tokio::spawn(async move { client.get(path).await });
    let blues = Client::new(penstock.address, "blue--chat.local.localhost");
    let held = ask(blues.clone(), "/hold");
    blue.until("it is held", |seen| seen.current == 1).await;
    // One goes to green; the other waits for blue.
    let split = [ask(client.clone(), "/"), ask(client.clone(), "/")];
    green.until("its turn", |seen| seen.finished == 1).await;
    penstock.until_load("chat", 1, 1).await;

    obeyed(&penstock, &["pause", "chat/blue", "--reason", "v1 is bad"]).await;
    penstock.until_weights(&[("blue", 0), ("green", 50)]).await;
    for reply in split {
        assert_eq!(reply.await.unwrap().text(), "green");
    }
    for _ in 0..20 {
        assert_eq!(client.get("/").await.text(), "green");
    }
    assert_paused(&blues.get("/").await, "v1 is bad");
    blue.release(1);
    assert_eq!(held.await.unwrap().text(), "released");
    let said = penstock.command(&["resume", "chat"]).await;
    assert!(
        said.contains("chat is not paused as a whole")
            && said.contains("chat/blue has a pause of its own")
    );

    obeyed(&penstock, &["resume", "chat/blue"]).await;
    penstock.until_weights(&[("blue", 50), ("green", 50)]).await;
    penstock.until_known("chat", 2).await;
    let mut had: Vec<String> = Vec::new();
    for _ in 0..10 {
        had.push(client.get("/").await.text().to_owned());
    }
    assert_eq!(
        had.iter().filter(|name| **name == "blue").count(),
        5,
        "{had:?}"
    );
}

#[tokio::test]
async fn copies_for_a_paused_deployment_are_dropped_and_counted() {
    let (stable, candidate) = (FakeWorker::start().await, FakeWorker::start().await);
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat]
        mirror = {{ to = "candidate" }}
        [services.chat.deployments.stable]
        static = {{ addresses = ["{}"] }}
        [services.chat.deployments.candidate]
        takes_traffic = false
        static = {{ addresses = ["{}"] }}
        "#,
        stable.address, candidate.address
    ))
    .await;
    penstock.until_known("chat", 2).await;
    obeyed(&penstock, &["pause", "chat/candidate"]).await;
    let client = penstock.client("chat");
    for _ in 0..5 {
        assert_eq!(client.get("/").await.text(), "ok");
    }
    penstock
        .until("five copies dropped", |metrics| {
            let reason = [("reason", "no_worker")];
            metrics.sum("penstock_mirror_dropped_total", &reason) == 5.0
        })
        .await;
    assert_eq!(candidate.seen().started, 0);
}

/// Commands that make no sense, and what they are told.
const REFUSED: &[(&[&str], &str)] = &[
    (
        &["pause", "nobody"],
        "there is no service nobody; there are: chat",
    ),
    (
        &["resume", "nobody"],
        "there is no service nobody; there are: chat",
    ),
    (
        &["pause", "chat/canary"],
        "chat has no deployment canary; there are: main",
    ),
    (&["pause", "chat/"], "invalid value 'chat/'"),
    (
        &["pause", "chat", "--for", "2 hours"],
        "must be a duration such as",
    ),
    (&["pause", "chat", "--for", "0s"], "must be in the future"),
    (
        &["pause", "chat", "--until", "tomorrow"],
        "must be a time with its zone",
    ),
    (
        &["pause", "chat", "--until", "2020-01-01T00:00:00Z"],
        "must be in the future",
    ),
    (
        &[
            "pause",
            "chat",
            "--for",
            "1h",
            "--until",
            "2030-01-01T00:00:00Z",
        ],
        "cannot be used with",
    ),
];

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_reason_and_pauses_nothing() {
    let worker = FakeWorker::start().await;
    let penstock = one_static(&worker, "").await;
    for (args, reason) in REFUSED {
        let error = penstock.failing(args).await;
        assert!(error.contains(reason), "penstock {args:?}: {error}");
    }
    let admin = penstock.admin();
    let page = "/api/v1/services/chat/pause";
    for (body, status) in [
        (r#"{"expires":"soon"}"#, 422),
        (r#"{"expire":1}"#, 400),
        ("[", 400),
    ] {
        let exchange = admin.send(Method::POST, page, full(body)).await;
        let reply = exchange.whole().await;
        assert_eq!(reply.status, status, "{body}");
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
    let said = penstock.command(&["resume", "chat"]).await;
    assert_eq!(said, "chat is not paused; nothing has changed\n");
    assert_eq!(penstock.client("chat").get("/").await.text(), "ok");
    let json = penstock
        .command(&["pause", "chat/main", "--json", "--by", "ann"])
        .await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["deployments"][0]["pause"]["by"], "ann");
}
