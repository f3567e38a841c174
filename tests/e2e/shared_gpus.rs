//! Services that share GPUs. A GPU is just a name here: workers are told which they have, and use none.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{
    client::Reply,
    eventually,
    penstock::{Penstock, simulated},
};

/// A service with one deployment, whose workers have a GPU each and are there as long as somebody asks.
fn service(name: &str, worker: &str, settings: &str) -> String {
    let command = simulated(&format!("--time-to-first-token 0s {worker}"));
    let gpus = match settings.contains("gpus = ") {
        true => "",
        false => "process.gpus = 1",
    };
    let scaling = match settings.contains("scaling") {
        true => "",
        false => "scaling = { min = 0, max = 1, idle_timeout = \"1h\" }",
    };
    format!(
        r#"
        [services.{name}.deployments.main]
        process.{command}
        process.stop_grace = "10s"
        probes.ready = {{ http = "/health" }}
        {gpus}
        {scaling}
        {settings}
        "#
    )
}

const QUICK: &str = "--load-time 300ms";

async fn status(penstock: &Penstock) -> Value {
    let text = penstock.command(&["status", "--json"]).await;
    serde_json::from_str(&text).unwrap()
}

/// Who has each GPU, by its name.
async fn holders(penstock: &Penstock) -> Vec<(String, String)> {
    let status = status(penstock).await;
    let groups = status["gpus"].as_array().unwrap().clone();
    let devices = groups
        .iter()
        .flat_map(|group| group["devices"].as_array().unwrap());
    let holder = |device: &Value| {
        let worker = device["worker"].as_str().unwrap_or("-");
        (
            device["name"].as_str().unwrap().to_owned(),
            worker.to_owned(),
        )
    };
    devices.map(holder).collect()
}

async fn until_held(penstock: &Penstock, expected: &[(&str, &str)]) {
    eventually(&format!("{expected:?}"), async || {
        let held = holders(penstock).await;
        let held: Vec<(&str, &str)> = held.iter().map(|(a, b)| (&**a, &**b)).collect();
        (held == expected).then_some(())
    })
    .await;
}

async fn ask(penstock: &Penstock, service: &str) -> Reply {
    penstock.client(service).get("/v1/models").await
}

fn chat(tokens: u32) -> String {
    format!(
        r#"{{"model": "demo", "max_tokens": {tokens}, "messages": [{{"role": "user", "content": "x"}}]}}"#
    )
}

#[tokio::test]
async fn workers_are_given_gpus_of_the_groups_that_they_ask_for_and_status_shows_who_has_what() {
    let groups = r#"
        [gpus.groups.h100]
        devices = ["0", "1"]
        kind = "NVIDIA H100"
        reserved_for = ["chat"]
        price_per_hour = 2.5
        [gpus.groups.a100]
        devices = ["GPU-a", "3"]
        "#;
    let both = r#"process.gpus = { count = 2, groups = ["h100", "a100"] }
                  scaling = { min = 1, max = 1 }"#;
    let any = r#"scaling = { min = 1, max = 1 }"#;
    let config = [
        groups.to_owned(),
        service("chat", QUICK, both),
        service("talk", QUICK, any),
    ]
    .concat();
    let penstock = Penstock::start(&config).await;
    until_held(
        &penstock,
        &[
            ("GPU-a", "talk/main#0"),
            ("3", "-"),
            ("0", "chat/main#0"),
            ("1", "chat/main#0"),
        ],
    )
    .await;
    penstock.until_ready("chat", 1).await;
    penstock.until_ready("talk", 1).await;
    let text = penstock.command(&["status"]).await;
    for line in [
        "h100 (NVIDIA H100): 0 of 2 free, reserved for chat",
        "a100: 1 of 2 free",
        "  GPU-a  ready  talk/main#0",
        "  3      free",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line:?} is not in\n{text}"
        );
    }
    let metrics = penstock.metrics().await;
    let of = |group, state| metrics.sum("penstock_gpus", &[("group", group), ("state", state)]);
    assert_eq!((of("h100", "used"), of("a100", "used")), (2.0, 1.0));
    assert_eq!((of("h100", "free"), of("a100", "free")), (0.0, 1.0));
    assert_eq!(
        metrics.sum("penstock_worker_gpus", &[("service", "chat")]),
        2.0
    );
    // Groups follow a reload, and what a worker has stays its own.
    let more = config.replace(r#"["GPU-a", "3"]"#, r#"["GPU-a", "3", "4"]"#);
    penstock.reload(&more).await;
    eventually("another GPU", async || {
        (holders(&penstock).await.len() == 5).then_some(())
    })
    .await;
    assert_eq!(holders(&penstock).await[0].1, "talk/main#0");
}

#[tokio::test]
async fn an_idle_worker_makes_room_for_a_request_of_another_service_which_is_told_what_it_waited_for()
 {
    let two = r#"scaling = { min = 0, max = 2, idle_timeout = "1h", rules = [{ type = "backlog", target = 1 }] }"#;
    let config = [
        "[gpus]\ndevices = [\"0\", \"1\"]\n".to_owned(),
        service("a", QUICK, two),
        service("b", QUICK, ""),
    ]
    .concat();
    let penstock = Penstock::start(&config).await;
    let client = penstock.client("a");
    let answers = join_all((0..4).map(|_| client.get("/v1/models"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    until_held(&penstock, &[("0", "a/main#0"), ("1", "a/main#1")]).await;
    penstock.until_ready("a", 2).await;
    // Both GPUs are held, and nobody asks for anything.
    let answer = ask(&penstock, "b").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-penstock-queue-position"), "1");
    assert!(["gpu", "start"].contains(&answer.header("x-penstock-queue-for")));
    let held = holders(&penstock).await;
    let of_b = held
        .iter()
        .filter(|(_, worker)| worker == "b/main#0")
        .count();
    assert_eq!(of_b, 1, "{held:?}");
    let metrics = penstock.metrics().await;
    let labels = [("service", "a"), ("reason", "idle")];
    assert_eq!(metrics.sum("penstock_gpu_handovers_total", &labels), 1.0);
    let explained = penstock.command(&["explain", "a", "-n", "9"]).await;
    assert!(
        explained.contains("makes room for b/main: it has had nothing to do for"),
        "{explained}"
    );
    let explained = penstock.command(&["explain", "b", "-n", "9"]).await;
    assert!(
        explained.contains("makes room for a worker: 1 request waits"),
        "{explained}"
    );
}

#[tokio::test]
async fn a_busy_model_goes_on_until_somebody_has_waited_for_too_long_and_loses_no_request() {
    let config = [
        "[gpus]\ndevices = [\"0\"]\ngive_way_after = \"2s\"\n".to_owned(),
        service(
            "a",
            &format!("{QUICK} --tokens-per-second 50"),
            "max_concurrency = 4",
        ),
        service("b", QUICK, ""),
    ]
    .concat();
    let penstock = Penstock::start(&config).await;
    assert_eq!(ask(&penstock, "a").await.status, 200);
    let begun = Instant::now();
    let client = penstock.client("a");
    // Three clients that ask again as soon as they are answered: there is always a request.
    let over = std::sync::atomic::AtomicBool::new(false);
    let crowd = join_all((0..3).map(|_| async {
        let mut answers = 0;
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            let answer = client.post("/v1/chat/completions", chat(25)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            answers += 1;
        }
        answers
    }));
    let waiting = async {
        penstock.until_load("a", 3, 0).await;
        let asked = Instant::now();
        let answer = ask(&penstock, "b").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(
            asked.elapsed() >= Duration::from_secs(2),
            "{:?}",
            asked.elapsed()
        );
        // And the model that gave way has its turn again.
        until_held(&penstock, &[("0", "a/main#0")]).await;
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (answers, ()) = tokio::join!(crowd, waiting);
    assert!(answers.iter().all(|count| *count > 1), "{answers:?}");
    let explained = penstock.command(&["explain", "a", "-n", "9"]).await;
    assert!(
        explained.contains("makes room for b/main: a request has waited there for"),
        "{explained}"
    );
    let metrics = penstock.metrics().await;
    let labels = [("service", "a"), ("reason", "turn")];
    let turns = metrics.sum("penstock_gpu_handovers_total", &labels);
    // Each turn is worth at least the bound.
    assert!(
        (1.0..=begun.elapsed().as_secs_f64() / 2.0).contains(&turns),
        "{turns}"
    );
}

#[tokio::test]
async fn a_worker_that_min_keeps_makes_room_for_nobody_and_who_waits_in_vain_is_told_so() {
    let kept = "scaling = { min = 1, max = 1 }";
    let config = [
        "[gpus]\ndevices = [\"0\"]\n[services.b]\nqueue = { max_wait = \"3s\" }\n".to_owned(),
        service("a", QUICK, kept),
        service("b", QUICK, ""),
    ]
    .concat();
    let penstock = Penstock::start(&config).await;
    penstock.until_ready("a", 1).await;
    let answer = ask(&penstock, "b").await;
    assert_eq!(
        (answer.status.as_u16(), answer.reason()),
        (503, "no_workers")
    );
    assert_eq!(answer.header("x-penstock-queue-position"), "1");
    let status = penstock.command(&["status"]).await;
    let why = "1 worker waits for room: needs 1 GPU, 0 of 1 are free: 0 used by a/main#0";
    assert!(status.contains(why), "{status}");
    assert!(status.contains("`min`"), "{status}");
    until_held(&penstock, &[("0", "a/main#0")]).await;
}

#[tokio::test]
async fn an_update_on_the_only_gpu_replaces_the_worker_in_its_place_although_others_wait_for_it() {
    let config = |model: &str| {
        let worker = format!("{QUICK} --model {model}");
        let kept = "scaling = { min = 1, max = 1 }";
        [
            "[gpus]\ndevices = [\"0\"]\n".to_owned(),
            service("a", &worker, kept),
            service("b", QUICK, ""),
        ]
        .concat()
    };
    let penstock = Penstock::start(&config("old")).await;
    penstock.until_ready("a", 1).await;
    let client = penstock.client("b");
    let waiting = tokio::spawn(async move { client.get("/v1/models").await });
    penstock.until_load("b", 0, 1).await;
    penstock.reload(&config("new")).await;
    eventually("the new model", async || {
        let answer = ask(&penstock, "a").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().contains("\"new\"").then_some(())
    })
    .await;
    until_held(&penstock, &[("0", "a/main#0")]).await;
    waiting.abort();
}

#[tokio::test]
async fn killed_in_the_middle_of_a_swap_it_leaves_nobody_without_a_gpu_and_none_with_two_holders() {
    let stubborn = format!("{QUICK} --ignore-sigterm");
    let config = [
        "[gpus]\ndevices = [\"0\"]\n".to_owned(),
        // It takes its time to end, so that there is a middle.
        service("a", &stubborn, "").replace("\"10s\"", "\"3s\""),
        service("b", QUICK, ""),
    ]
    .concat();
    for state in ["draining", "stopping", "starting"] {
        let mut penstock = Penstock::start(&config).await;
        assert_eq!(ask(&penstock, "a").await.status, 200);
        let client = penstock.client("b");
        let waiting = tokio::spawn(async move {
            // It is cut off with the program that it waits at.
            let request = client.request(
                http::Method::GET,
                "/v1/models",
                crate::support::client::empty(),
            );
            drop(client.try_send(request).await);
        });
        let seen = |metrics: &crate::support::metrics::Metrics, service, state| {
            metrics.sum(
                "penstock_workers",
                &[("service", service), ("state", state)],
            ) == 1.0
        };
        penstock
            .until("the swap", |metrics| match state {
                "starting" => seen(metrics, "b", "starting"),
                // Draining takes no time to speak of, and may be over when it is looked for.
                _ => seen(metrics, "a", state) || seen(metrics, "a", "stopping"),
            })
            .await;
        penstock.signal(Signal::SIGKILL);
        penstock.exit().await;
        penstock.start_again().await;
        waiting.await.unwrap();
        // Both can be asked, one after the other, and one worker is there at a time.
        for service in ["b", "a", "b"] {
            let answer = ask(&penstock, service).await;
            assert_eq!(answer.status, 200, "{state}: {}", answer.text());
            until_held(&penstock, &[("0", &format!("{service}/main#0"))]).await;
        }
        eventually("one process", async || {
            (penstock.worker_processes().len() == 1).then_some(())
        })
        .await;
        penstock.stop().await;
    }
}

#[tokio::test]
async fn the_next_worker_starts_when_the_device_says_that_its_memory_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    // Free as soon as a file says so.
    let script = format!(
        "#!/bin/sh\ncd {}\necho \"$@\" >> asked\n[ -e free ] && echo '10, 80000' || echo \"$((60000 - $(wc -l < asked))), 80000\"\n",
        dir.path().display()
    );
    fs::write(bin.join("nvidia-smi"), script).unwrap();
    fs::set_permissions(bin.join("nvidia-smi"), fs::Permissions::from_mode(0o755)).unwrap();
    let config = [
        "[gpus]\ndevices = [\"0\"]\n".to_owned(),
        service("a", QUICK, ""),
        service("b", QUICK, ""),
    ]
    .concat();
    let penstock = Penstock::start_in(dir, &config).await;
    assert_eq!(ask(&penstock, "a").await.status, 200);
    let free = async {
        let asked = penstock.path().join("asked");
        eventually("the device is asked, and again", async || {
            let asked = fs::read_to_string(&asked).unwrap_or_default();
            (asked.lines().count() >= 3).then_some(())
        })
        .await;
        // While it is not free nobody else is given it.
        let held = holders(&penstock).await;
        assert_eq!(held, [("0".to_owned(), "a/main#0".to_owned())]);
        fs::write(penstock.path().join("free"), "").unwrap();
    };
    let (answer, ()) = tokio::join!(ask(&penstock, "b"), free);
    assert_eq!(answer.status, 200);
    let asked = fs::read_to_string(penstock.path().join("asked")).unwrap();
    assert!(asked.lines().all(|line| line.ends_with("-i 0")), "{asked}");
}

#[tokio::test]
async fn more_gpus_than_there_are_is_a_start_that_fails_and_not_a_want_of_room() {
    // None is found on a machine without any; on one with some, these are not enough.
    let config = [
        "[gpus]\ngive_way_after = \"10m\"\n".to_owned(),
        service(
            "a",
            QUICK,
            "process.gpus = 8\nscaling = { min = 1, max = 1 }",
        ),
    ]
    .concat();
    let penstock = Penstock::start(&config).await;
    let answer = ask(&penstock, "a").await;
    let text = answer.text().to_owned();
    assert_eq!(
        (answer.status.as_u16(), answer.reason()),
        (503, "start_failed"),
        "{text}"
    );
    let status = penstock.command(&["status"]).await;
    assert!(status.contains("needs 8 GPUs, but there"), "{status}");
}
