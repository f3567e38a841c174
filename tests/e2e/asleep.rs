//! Workers that give the memory of their GPUs up and are woken again. They do so as vLLM does.

use std::{collections::BTreeSet, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{
    client::{Client, Reply, empty},
    eventually,
    penstock::{Penstock, simulated},
};

const ONE_GPU: &str = "[gpus]\ndevices = [\"0\"]\n";

/// The answer after waking must be what it was before.
const CHECK: &str = r#"check = { path = "/v1/completions", body = '{"prompt": "The capital of France is", "max_tokens": 4, "temperature": 0}', same = "/choices/0/text" }"#;

/// A service of one worker that needs a GPU, sleeps, and takes far longer to start than to wake.
fn service(name: &str, worker: &str, sleep: &str) -> String {
    let command = simulated(&format!(
        "--model {name} --load-time 1s --time-to-first-token 0s {worker}"
    ));
    format!(
        r#"
        [services.{name}]
        models = ["{name}"]
        [services.{name}.deployments.main]
        process.{command}
        process.gpus = 1
        probes.ready = {{ http = "/health" }}
        scaling = {{ min = 0, max = 1, idle_timeout = "1h" }}
        [services.{name}.deployments.main.sleep]
        engine = "vllm"
        {sleep}
        "#
    )
}

async fn ask(penstock: &Penstock, service: &str) -> Reply {
    let client = penstock.client(service);
    let body = format!(r#"{{"model": "{service}", "prompt": "one two three", "max_tokens": 3}}"#);
    client.post("/v1/completions", body).await
}

/// What is answered, which must be well.
async fn told(penstock: &Penstock, service: &str) -> String {
    let answer = ask(penstock, service).await;
    assert_eq!(answer.status, 200, "{service}: {}", answer.text());
    let text = answer.json()["choices"][0]["text"].clone();
    text.as_str().unwrap().to_owned()
}

async fn status(penstock: &Penstock) -> Value {
    let text = penstock.command(&["status", "--json"]).await;
    serde_json::from_str(&text).unwrap()
}

/// The states of a service's workers, and whether each says itself that it sleeps.
async fn workers(penstock: &Penstock, service: &str) -> Vec<(String, bool)> {
    let status = status(penstock).await;
    let mut services = status["services"].as_array().unwrap().iter();
    let found = services.find(|known| known["name"] == service).unwrap();
    let mut all = Vec::new();
    for worker in found["deployments"][0]["workers"].as_array().unwrap() {
        let state = worker["state"].as_str().unwrap().to_owned();
        let Some(address) = worker["address"].as_str() else {
            all.push((state, false));
            continue;
        };
        let own = Client::new(address.parse().unwrap(), address);
        let request = own.request(http::Method::GET, "/is_sleeping", empty());
        // One that loads or ends answers nobody.
        let sleeps = match own.try_send(request).await {
            Ok(answer) => answer
                .try_whole()
                .await
                .is_ok_and(|answer| answer.text().contains("true")),
            Err(_) => false,
        };
        all.push((state, sleeps));
    }
    all
}

async fn until_worker(penstock: &Penstock, service: &str, state: &str) {
    eventually(&format!("{service} is {state}"), async || {
        let workers = workers(penstock, service).await;
        let is_there = workers.iter().any(|(known, _)| known == state);
        is_there.then_some(())
    })
    .await;
}

/// Workers by process, when there are so many.
async fn processes(penstock: &Penstock, count: usize) -> BTreeSet<i32> {
    eventually(&format!("{count} processes"), async || {
        let found = penstock.worker_processes();
        (found.len() == count).then_some(found)
    })
    .await
}

#[tokio::test]
async fn two_models_on_one_gpu_take_turns_by_sleeping_and_each_is_started_only_once() {
    let config = [ONE_GPU, &service("a", "", CHECK), &service("b", "", CHECK)].concat();
    let penstock = Penstock::start(&config).await;
    let first = told(&penstock, "a").await;
    told(&penstock, "b").await;
    let both = processes(&penstock, 2).await;
    assert_eq!(workers(&penstock, "a").await, [("asleep".to_owned(), true)]);
    for service in ["a", "b", "a"] {
        told(&penstock, service).await;
    }
    assert_eq!(told(&penstock, "a").await, first);
    assert_eq!(processes(&penstock, 2).await, both, "none was started anew");
    // How that is shown.
    until_worker(&penstock, "b", "asleep").await;
    let list = penstock.client("api").get("/v1/models").await.json();
    let of = |name: &str| {
        let mut models = list["data"].as_array().unwrap().iter();
        models.find(|model| model["id"] == name).unwrap()["penstock"].clone()
    };
    assert_eq!(
        (&of("a")["state"], &of("b")["state"]),
        (&"ready".into(), &"asleep".into())
    );
    let eta = of("b")["eta_seconds"].as_f64().unwrap();
    assert!((0.2..30.0).contains(&eta), "{eta}");
    let status = penstock.command(&["status"]).await;
    assert!(status.contains("asleep"), "{status}");
    let explained = penstock.command(&["explain", "b", "-n", "20"]).await;
    for text in [
        "worker 0 is put to sleep",
        "worker 0 is awake after",
        "worker 0 has slept for",
    ] {
        assert!(explained.contains(text), "{text:?} is not in\n{explained}");
    }
    let metrics = penstock.metrics().await;
    let of = |name, service, result| metrics.sum(name, &[("service", service), ("result", result)]);
    assert_eq!(of("penstock_worker_wakes_total", "a", "ok"), 2.0);
    assert_eq!(of("penstock_worker_sleeps_total", "b", "ok"), 2.0);
    let asleep = [("service", "b"), ("state", "asleep")];
    assert_eq!(metrics.sum("penstock_workers", &asleep), 1.0);
    assert_eq!(
        metrics.sum("penstock_wake_seconds_count", &[("service", "a")]),
        2.0
    );
    assert_eq!(
        metrics.sum("penstock_worker_gpus", &[("service", "b")]),
        0.0
    );
}

#[tokio::test]
async fn a_worker_that_cannot_sleep_is_stopped_and_one_that_wakes_corrupt_is_replaced() {
    let config = [
        ONE_GPU,
        &service("a", "--sleep-fails", CHECK),
        &service("b", "--wake-corrupt", CHECK),
    ]
    .concat();
    let penstock = Penstock::start(&config).await;
    told(&penstock, "a").await;
    let first = told(&penstock, "b").await;
    processes(&penstock, 1).await;
    let explained = penstock.command(&["explain", "a", "-n", "9"]).await;
    let why =
        "could not be put to sleep, so it ends: POST /sleep?level=1 is answered with status 500";
    assert!(explained.contains(why), "{explained}");
    let before = processes(&penstock, 1).await;
    // `b` sleeps while `a` is started anew, and wakes up corrupt.
    told(&penstock, "a").await;
    assert_eq!(told(&penstock, "b").await, first, "nobody is told nonsense");
    let after = processes(&penstock, 1).await;
    assert!(before.is_disjoint(&after));
    let explained = penstock.command(&["explain", "b", "-n", "20"]).await;
    let why = "could not be woken, and another one is started in its place: its check after waking: \
               POST /v1/completions does not answer what it did before the worker slept";
    assert!(explained.contains(why), "{explained}");
    let metrics = penstock.metrics().await;
    let failed = [("result", "failed")];
    assert_eq!(metrics.sum("penstock_worker_wakes_total", &failed), 1.0);
    assert_eq!(metrics.sum("penstock_worker_sleeps_total", &failed), 2.0);
}

#[tokio::test]
async fn killed_while_a_worker_sleeps_or_wakes_the_next_run_knows_it_and_wakes_it() {
    let config = [
        ONE_GPU,
        &service("a", "--wake-time 1500ms", CHECK),
        &service("b", "", CHECK),
    ]
    .concat();
    for state in ["asleep", "waking"] {
        let mut penstock = Penstock::start(&config).await;
        let first = told(&penstock, "a").await;
        told(&penstock, "b").await;
        until_worker(&penstock, "a", "asleep").await;
        let both = processes(&penstock, 2).await;
        let asking = (state == "waking").then(|| {
            let client = penstock.client("a");
            tokio::spawn(async move {
                // It is cut off with the program that it waits at.
                let body = crate::support::client::full(r#"{"prompt": "x"}"#);
                let request = client.request(http::Method::POST, "/v1/completions", body);
                drop(client.try_send(request).await);
            })
        });
        until_worker(&penstock, "a", state).await;
        penstock.signal(Signal::SIGKILL);
        penstock.exit().await;
        penstock.start_again().await;
        if let Some(asking) = asking {
            asking.await.unwrap();
        } else {
            until_worker(&penstock, "a", "asleep").await;
            until_worker(&penstock, "b", "ready").await;
        }
        assert_eq!(told(&penstock, "a").await, first, "{state}");
        told(&penstock, "b").await;
        assert_eq!(told(&penstock, "a").await, first, "{state}");
        assert_eq!(processes(&penstock, 2).await, both, "{state}");
        until_worker(&penstock, "b", "asleep").await;
        penstock.stop().await;
    }
}

#[tokio::test]
async fn what_scales_to_zero_sleeps_first_and_ends_after_a_while() {
    let config = service("a", "", "for = \"3s\"")
        .replace("process.gpus = 1", "")
        .replace("\"1h\"", "\"1s\", down = { stable_for = \"1s\" }");
    let penstock = Penstock::start(&config).await;
    told(&penstock, "a").await;
    let one = processes(&penstock, 1).await;
    until_worker(&penstock, "a", "asleep").await;
    let status = penstock.command(&["status", "a"]).await;
    assert!(status.contains("asleep"), "{status}");
    told(&penstock, "a").await;
    assert_eq!(processes(&penstock, 1).await, one, "it was woken");
    until_worker(&penstock, "a", "asleep").await;
    processes(&penstock, 0).await;
    let explained = penstock.command(&["explain", "a", "-n", "9"]).await;
    assert!(
        explained.contains("it has slept for as long as sleep.for says"),
        "{explained}"
    );
    told(&penstock, "a").await;
}

#[tokio::test]
async fn a_worker_that_sleeps_or_wakes_by_itself_is_brought_back_to_what_it_should_be() {
    let config = [ONE_GPU, &service("a", "", ""), &service("b", "", "")].concat();
    let penstock = Penstock::start(&config).await;
    told(&penstock, "a").await;
    told(&penstock, "b").await;
    until_worker(&penstock, "a", "asleep").await;
    let status = status(&penstock).await;
    let address = |place: usize| {
        let worker = &status["services"][place]["deployments"][0]["workers"][0];
        let address = worker["address"].as_str().unwrap();
        Client::new(address.parse().unwrap(), address)
    };
    assert_eq!(address(0).post("/wake_up", "").await.status, 200);
    assert_eq!(address(1).post("/sleep?level=1", "").await.status, 200);
    eventually("both are as they should be", async || {
        let (a, b) = (workers(&penstock, "a").await, workers(&penstock, "b").await);
        let is_well = a == [("asleep".to_owned(), true)] && b == [("ready".to_owned(), false)];
        is_well.then_some(())
    })
    .await;
    told(&penstock, "b").await;
    let explained = penstock.command(&["explain", "a", "-n", "9"]).await;
    assert!(
        explained.contains("worker 0 is awake although nobody woke it"),
        "{explained}"
    );
    let explained = penstock.command(&["explain", "b", "-n", "9"]).await;
    assert!(
        explained.contains("worker 0 sleeps although nobody put it to sleep"),
        "{explained}"
    );
}

#[tokio::test]
async fn nobody_outside_can_put_a_worker_to_sleep_unless_the_service_says_so() {
    let open = "\n[services.c]\noperator_paths = [\"/is_sleeping\"]";
    let config = [
        service("a", "", "")
            .replace("min = 0", "min = 1")
            .replace("process.gpus = 1", ""),
        service("c", "", "")
            .replace("process.gpus = 1", "")
            .replace("\n        [services.c]", open),
    ]
    .concat();
    let penstock = Penstock::start(&config).await;
    penstock.until_ready("a", 1).await;
    for host in ["a", "main--a", "api"] {
        let client = penstock.client(host);
        for path in [
            "/sleep?level=1",
            "/wake_up",
            "//%73leep",
            "/v1/load_lora_adapter",
            "/sleep/",
        ] {
            let answer = client.post(path, "").await;
            let found = (answer.status.as_u16(), answer.reason());
            assert_eq!(
                found,
                (403, "forbidden"),
                "{host} {path}: {}",
                answer.text()
            );
        }
    }
    let answer = penstock.client("a").get("/is_sleeping").await;
    assert_eq!(answer.status, 403);
    assert!(
        answer.text().contains("operator_paths"),
        "{}",
        answer.text()
    );
    let allowed = penstock.client("c").get("/is_sleeping").await;
    assert_eq!(
        (allowed.status.as_u16(), allowed.text()),
        (200, "{\"is_sleeping\":false}")
    );
    assert_eq!(penstock.client("c").post("/sleep", "").await.status, 403);
    assert_eq!(workers(&penstock, "a").await, [("ready".to_owned(), false)]);
    let metrics = penstock.metrics().await;
    let denied = [("service", "a"), ("reason", "forbidden")];
    assert_eq!(metrics.sum("penstock_gateway_answers_total", &denied), 11.0);
    tokio::time::timeout(Duration::from_secs(60), told(&penstock, "c"))
        .await
        .unwrap();
}
