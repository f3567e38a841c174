//! `penstock load` as somebody would call it.

use std::{fs, net::SocketAddr, path::Path, process::Stdio};

use http::StatusCode;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::process::Command;

use crate::support::{
    fake::{Behaviour, FakeWorker},
    grpc::GrpcWorker,
    simulated::SimulatedWorker,
    soon,
};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    command.arg("load").args(arguments).stdin(Stdio::null());
    command.kill_on_drop(true);
    command
}

/// Whether it ended well, what it printed, and its standard error.
async fn load(arguments: &[&str]) -> (bool, String, String) {
    let ended = soon("the load ends", command(arguments).output())
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        ended.status.success(),
        text(ended.stdout),
        text(ended.stderr),
    )
}

/// Repeats it where this machine was too busy to send in time, which the report says.
async fn load_in_time(arguments: &[&str]) -> (bool, String, String) {
    for _ in 0..20 {
        let (good, report, said) = load(arguments).await;
        if good || !said.contains("the load generator is the limit") {
            return (good, report, said);
        }
    }
    panic!("too busy to send a few requests a second, twenty times");
}

/// The only run of a report.
fn only_run(report: &str) -> Value {
    let report: Value = serde_json::from_str(report).unwrap();
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1, "{report}");
    runs[0].clone()
}

fn url(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

#[tokio::test]
async fn every_request_that_was_due_is_sent_and_counted() {
    let worker = FakeWorker::start().await;
    worker.on("/echo", Behaviour::Echo);
    for http in ["1", "2"] {
        let url = url(worker.address, "/echo");
        let rate = ["--rate", "100", "--steady", "2s", "--json", "--http", http];
        let arguments = [&[&*url, "-d", "hello", "-H", "x-who: me"], &rate[..]].concat();
        let before = worker.seen().finished;
        let (_, report, _) = load(&arguments).await;
        let run = only_run(&report);
        let due = run["due"].as_u64().unwrap();
        // About 200: what comes by chance is far closer, and the seed is the same every time.
        assert!((20..280).contains(&due), "{due}");
        assert_eq!(run["succeeded"], due);
        assert_eq!(run["whole"]["count"], due);
        assert_eq!((worker.seen().finished - before) as u64, due);
        assert_eq!(worker.heads().last().unwrap().header("x-who"), "me");
    }
}

#[tokio::test]
async fn failures_are_told_by_kind_and_end_with_a_failure() {
    let worker = FakeWorker::start().await;
    worker
        .on("/full", Behaviour::Answer(503, "full"))
        .on("/reset", Behaviour::Reset);
    for (path, kind) in [("/full", "status 503"), ("/reset", "broken off")] {
        let url = url(worker.address, path);
        let (good, report, _) = load(&[&url, "--rate", "50", "--steady", "2s", "--json"]).await;
        let run = only_run(&report);
        assert!(!good, "{run}");
        assert_eq!(
            (&run["good"], &run["succeeded"]),
            (&false.into(), &0.into())
        );
        assert_eq!(run["failures"][0], serde_json::json!([kind, run["due"]]));
    }
}

#[tokio::test]
async fn without_a_good_rate_the_search_ends_and_says_why() {
    let worker = FakeWorker::start().await;
    worker.on(
        "/",
        Behaviour::Answer(StatusCode::INTERNAL_SERVER_ERROR.as_u16(), "no"),
    );
    let url = url(worker.address, "/");
    let arguments = [&*url, "--from", "1.5", "--step", "2s"];
    let (good, report, said) = load_in_time(&arguments).await;
    assert!(!good);
    assert!(
        report.contains("100.00 % of the requests failed"),
        "{report}"
    );
    assert!(said.contains("trying 1.5 requests/s for 7s"), "{said}");
}

#[tokio::test]
async fn tokens_of_a_model_are_counted_exactly() {
    let (_worker, client) = SimulatedWorker::ready(&[]).await;
    let url = url(client.address, "");
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("load.html");
    let page_text = page.to_str().unwrap();
    let model = [&*url, "--model", "demo", "--max-tokens", "7"];
    let run = ["--rate", "20", "--steady", "2s", "--html", page_text];
    let (good, report, said) = load_in_time(&[&model[..], &run, &["--json"]].concat()).await;
    assert!(good, "{report}{said}");
    let run = only_run(&report);
    let due = run["due"].as_u64().unwrap();
    assert_eq!(run["first_token"]["count"], due);
    assert!(run["between_tokens"]["count"].as_u64().unwrap() <= 6 * due);
    let seconds = run["each_second"].as_array().unwrap().iter();
    let tokens: u64 = seconds
        .map(|second| second["tokens"].as_u64().unwrap())
        .sum();
    assert_eq!(tokens, 7 * due);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("Time to the first token") && page.ends_with("</html>\n"));
}

#[tokio::test]
async fn settings_are_proposed_that_penstock_takes() {
    let worker = FakeWorker::start().await;
    let url = url(worker.address, "/");
    let arguments = [&*url, "--rate", "20", "--steady", "2s", "--apply"];
    let (good, report, _) = load_in_time(&arguments).await;
    assert!(good, "{report}");
    let (_, proposed) = report.split_once("# Proposed").unwrap();
    let proposed: String = proposed
        .lines()
        .skip(1)
        .map(|line| format!("{line}\n"))
        .collect();
    let config = format!(
        "listeners = [{{ address = \"127.0.0.1:8080\" }}]\n\
         [services.chat.deployments.main]\nprocess = {{ command = [\"/bin/true\"] }}\n{proposed}"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("penstock.toml");
    fs::write(&file, &config).unwrap();
    check(&file).await;
}

async fn check(file: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    let checked = command.arg("check").arg(file).output().await.unwrap();
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(
        checked.status.success(),
        "{said}\n{}",
        fs::read_to_string(file).unwrap()
    );
}

#[tokio::test]
async fn calls_of_grpc_are_judged_by_their_status() {
    let worker = GrpcWorker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let message = folder.path().join("message");
    // A message with "hi" in its first field.
    fs::write(&message, b"\x0a\x02hi").unwrap();
    let run = |path: &str| {
        let url = url(worker.address, path);
        let body = message.to_str().unwrap().to_owned();
        async move {
            let arguments = [&*url, "--grpc", "--body", &body, "--rate", "20"];
            let (good, report, _) =
                load_in_time(&[&arguments[..], &["--steady", "2s", "--json"]].concat()).await;
            (good, only_run(&report))
        }
    };
    let (good, known) = run(crate::support::grpc::UNARY).await;
    assert!(good, "{known}");
    assert_eq!(known["succeeded"], known["due"]);
    let (good, unknown) = run("/no.Such/Method").await;
    assert!(!good);
    // UNIMPLEMENTED
    assert_eq!(unknown["failures"][0][0], "grpc-status 12");
}

#[tokio::test]
async fn ctrl_c_ends_it_with_a_report() {
    let worker = FakeWorker::start().await;
    worker.on("/hold", Behaviour::Hold);
    let url = url(worker.address, "/hold");
    let mut command = command(&[&url, "--rate", "50", "--steady", "10m", "--json"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    worker.until("a request", |seen| seen.current > 0).await;
    let pid = Pid::from_raw(child.id().unwrap().cast_signed());
    kill(pid, Signal::SIGINT).unwrap();
    let ended = soon("it ends", child.wait_with_output()).await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let run = only_run(std::str::from_utf8(&ended.stdout).unwrap());
    assert_eq!(run["verdict"], "ended early");
    assert_eq!(
        run["failures"][0],
        serde_json::json!(["unfinished at the end", run["due"]])
    );
}

#[tokio::test]
async fn what_cannot_be_loaded_is_said_before_anything_is_sent() {
    for (arguments, error) in [
        (
            &["http://127.0.0.1:1/"][..],
            "cannot connect to http://127.0.0.1:1/",
        ),
        (&["/path"], "the URL has no host"),
        (&["ftp://127.0.0.1/"], "must begin with http:// or https://"),
        (
            &["http://127.0.0.1:1/", "--rate", "0"],
            "must be between 0.001 and 10000000",
        ),
        (
            &["http://127.0.0.1:1/", "--step", "1s"],
            "--step must be at least 2s",
        ),
        (
            &["http://127.0.0.1:1/", "--body", "/no/such/file"],
            "cannot read /no/such/file",
        ),
        (
            &["http://127.0.0.1:1/", "--trace", "x"],
            "--trace needs --model",
        ),
    ] {
        let (good, _, said) = load(arguments).await;
        assert!(!good && said.contains(error), "{arguments:?}: {said}");
    }
}
