//! `penstock explain`, and scaling that only advises.

use futures_util::future::join_all;
use serde_json::Value;

use crate::support::{
    eventually,
    fake::Behaviour,
    launches::Launches,
    penstock::{NOBODY, Penstock},
};

/// A service `chat` whose workers the test plays, with a rule that asks for a worker for every two
/// requests.
fn config(scaling: &str) -> String {
    let command = Launches::command("launches");
    format!(
        r#"
        [services.chat.deployments.main]
        process = {{ {command} }}
        probes.ready = {{ tcp = true }}
        ramp = false
        scaling = {{ {scaling}, rules = [{{ type = "backlog", target = 2 }}] }}
        "#
    )
}

async fn started(scaling: &str) -> (Penstock, Launches) {
    let dir = tempfile::tempdir().unwrap();
    let launches = Launches::listen(dir.path(), "launches");
    (Penstock::start_in(dir, &config(scaling)).await, launches)
}

async fn json(penstock: &Penstock) -> Value {
    let text = penstock
        .command(&["explain", "chat/main", "--json", "-n", "5"])
        .await;
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    found[0].clone()
}

#[tokio::test]
async fn a_scale_up_is_explained_with_rule_winner_limit_and_plan() {
    let (penstock, mut launches) = started("min = 1, max = 2").await;
    let first = launches.next().await;
    let client = penstock.client("chat");
    let answers = async { join_all((0..7).map(|_| client.get("/"))).await };
    let look = async {
        penstock.until_load("chat", 0, 7).await;
        penstock.until_desired("chat", 2).await;
        let second = launches.next().await;
        let text = penstock.command(&["explain", "chat"]).await;
        for words in [
            "chat/main: 2 desired (1–2), 0 ready, 2 starting, starting",
            "the load asks for 4, max is reached",
            "0 in flight, 7 queued",
            "* backlog: 4 for 7 requests in flight or queued at 2 per worker",
            "limits    max is 2",
            "worker 0 has been starting for",
            "the first of the deployment",
            "no more: max is 2",
            "1 → 2 workers: the backlog rule asks for",
            "worker 1 is started",
        ] {
            assert!(text.contains(words), "{words} is missing:\n{text}");
        }
        let found = json(&penstock).await;
        let present = &found["present"];
        assert_eq!(present["desired"], 2);
        assert_eq!(present["wishes"][0]["won"], true);
        assert_eq!(present["clamps"][0]["clamp"], "max");
        let journal = found["journal"].as_array().unwrap();
        let change = journal.iter().find(|entry| entry["before"] == 1);
        let record = &change.expect("the change")["record"];
        assert_eq!(record["plan"][0]["action"], "start");
        assert_eq!(record["inputs"]["ready"], 0);
        (first.listen().await, second.listen().await)
    };
    let (answers, _workers) = tokio::join!(answers, look);
    assert!(answers.iter().all(|answer| answer.status == 200));
}

#[tokio::test]
async fn advice_is_told_and_not_followed_until_the_mode_says_so() {
    let (penstock, mut launches) = started("mode = \"advise\", min = 0, max = 3").await;
    // One runs although `min` is 0, and nobody has asked for anything.
    let worker = launches.next().await.listen().await;
    worker.on("/hold", Behaviour::Hold);
    penstock.until_ready("chat", 1).await;
    let client = penstock.client("chat");
    let answers = async { join_all((0..9).map(|_| client.get("/hold"))).await };
    let look = async {
        penstock.until_load("chat", 9, 0).await;
        let advised = |workers: f64| {
            move |metrics: &crate::support::metrics::Metrics| {
                metrics.sum("penstock_advised_workers", &[("service", "chat")]) == workers
            }
        };
        penstock.until("three are advised", advised(3.0)).await;
        let metrics = penstock.metrics().await;
        assert_eq!(metrics.sum("penstock_desired_workers", &[]), 1.0);
        let text = penstock.command(&["explain", "chat/main"]).await;
        for words in [
            "chat/main: 1 desired (0–3), 1 ready, warm",
            "mode is advise: the count is kept at 1",
            "advice    3 workers: ",
            "* backlog: 5 for 9 requests",
            "limits    max is 3",
            "advice: 1 → 3 workers: ",
        ] {
            assert!(text.contains(words), "{words} is missing:\n{text}");
        }
        let status = penstock.command(&["status"]).await;
        assert!(status.contains("advice: 3 workers"), "{status}");
        assert_eq!(penstock.worker_processes().len(), 1, "nothing was done");
        let journal = json(&penstock).await["journal"].clone();
        let kinds: Vec<&Value> = journal
            .as_array()
            .unwrap()
            .iter()
            .map(|e| &e["kind"])
            .collect();
        assert!(kinds.contains(&&Value::from("advice")), "{kinds:?}");
        penstock.reload(&config("min = 1, max = 3")).await;
        let more = [launches.next().await, launches.next().await];
        penstock.until_desired("chat", 3).await;
        worker.release_all();
        more
    };
    let (answers, _) = tokio::join!(answers, look);
    assert!(answers.iter().all(|answer| answer.text() == "released"));
}

#[tokio::test]
async fn what_does_not_exist_is_named_with_what_does() {
    let penstock = Penstock::start(NOBODY).await;
    for (target, reason) in [
        ("chat", "there is no service chat; there are: nobody"),
        (
            "nobody/canary",
            "nobody has no deployment canary; there are: main",
        ),
        ("nobody/", "invalid value"),
    ] {
        let error = penstock.failing(&["explain", target]).await;
        assert!(error.contains(reason), "{target}: {error}");
    }
    let missing = penstock
        .admin()
        .get("/api/v1/services/nobody/deployments/canary/decision")
        .await;
    assert_eq!(missing.status, 404);
    // Given addresses have nothing to decide, and explain that too.
    let text = eventually("the addresses are known", async || {
        let text = penstock
            .command(&["explain", "nobody", "--since", "1h"])
            .await;
        text.contains("addresses are given").then_some(text)
    })
    .await;
    assert!(text.starts_with("nobody/main: 1 desired (1–1)"), "{text}");
}
