//! `penstock explain --follow`.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{
    background::{Background, is_interrupted},
    launches::Launches,
    penstock::Penstock,
    relay::Relay,
};

/// A service whose count is moved by hand: so many workers, which never become ready.
fn config(min: u32) -> String {
    let command = Launches::command("launches");
    format!(
        r#"
        [services.chat.deployments.main]
        process = {{ {command} }}
        start_timeout = "1h"
        scaling = {{ min = {min}, max = 9 }}
        "#
    )
}

async fn started() -> (Penstock, Launches) {
    let dir = tempfile::tempdir().unwrap();
    let mut launches = Launches::listen(dir.path(), "launches");
    let penstock = Penstock::start_in(dir, &config(1)).await;
    launches.next().await;
    (penstock, launches)
}

/// Moves the count, and waits for the decision.
async fn scale(penstock: &Penstock, workers: u32) {
    penstock.reload(&config(workers)).await;
    penstock.until_desired("chat", workers as usize).await;
}

fn follower(args: &[&str], penstock: &Penstock) -> Background {
    Background::spawn(
        &[&["explain", "chat", "--follow"], args].concat(),
        penstock.admin_address(),
    )
}

/// The lines that tell of a change.
fn changes(lines: &[String]) -> Vec<&str> {
    let changes = lines.iter().filter_map(|line| line.split_once("main: "));
    let changes = changes.filter_map(|(_, text)| text.split_once(" workers:"));
    changes.map(|(counts, _)| counts).collect()
}

#[tokio::test]
async fn changes_appear_once_and_in_their_order_until_ctrl_c() {
    let (penstock, _launches) = started().await;
    let mut follower = follower(&[], &penstock);
    let first = follower.until("CHANGES").await;
    assert!(first[0].starts_with("chat/main: 1 desired"), "{first:?}");
    let mut lines = Vec::new();
    // Each is seen before the next one is made, so that there are looks in between.
    for workers in 2..5 {
        scale(&penstock, workers).await;
        lines.extend(follower.until(&format!("→ {workers} workers")).await);
    }
    let (status, rest, errors) = follower.end(Signal::SIGINT).await;
    assert!(is_interrupted(status), "{status}");
    assert_eq!(errors, [""; 0]);
    lines.extend(rest);
    assert_eq!(changes(&lines), ["1 → 2", "2 → 3", "3 → 4"], "{lines:#?}");
}

#[tokio::test]
async fn as_json_every_line_is_an_object() {
    let (penstock, _launches) = started().await;
    penstock.until_desired("chat", 1).await;
    let mut follower = follower(&["--json"], &penstock);
    let object = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        assert!(value.is_object(), "{value}");
        value
    };
    let first = object(&follower.line().await);
    assert_eq!(first["deployment"], "main");
    assert_eq!(first["present"]["desired"], 1);
    scale(&penstock, 3).await;
    let lines = follower.until("→ 3 workers").await;
    let entries: Vec<Value> = lines.iter().map(|line| object(line)).collect();
    let change = entries.last().expect("the change");
    assert_eq!(change["desired"], 3);
    assert_eq!(change["before"], 1);
    assert_eq!(change["deployment"], "main");
    let decisions = entries.iter().filter(|entry| entry["desired"].is_number());
    assert_eq!(decisions.count(), 1, "{entries:#?}");
    let (status, rest, _) = follower.end(Signal::SIGINT).await;
    assert!(is_interrupted(status), "{status}");
    rest.iter().for_each(|line| drop(object(line)));
}

#[tokio::test]
async fn without_past_changes_only_those_to_come_are_told() {
    let (penstock, _launches) = started().await;
    scale(&penstock, 2).await;
    let mut follower = follower(&["-n", "0"], &penstock);
    let first = follower.until("CHANGES").await;
    assert_eq!(follower.line().await, "  none");
    assert_eq!(changes(&first), [""; 0]);
    for workers in 3..5 {
        scale(&penstock, workers).await;
        let lines = follower.until(&format!("→ {workers} workers")).await;
        let before = workers - 1;
        assert_eq!(
            changes(&lines),
            [format!("{before} → {workers}")],
            "{lines:#?}"
        );
    }
}

#[tokio::test]
async fn a_penstock_that_is_restarted_is_waited_for_and_that_is_said_once() {
    let (mut penstock, _launches) = started().await;
    scale(&penstock, 2).await;
    let relay = Relay::to(penstock.admin_address()).await;
    let mut follower = Background::spawn(&["explain", "chat/main", "-f", "-n", "1"], relay.address);
    follower.until("1 → 2 workers").await;
    relay.lead(None);
    penstock.stop().await;
    let complaint = follower.error().await;
    assert!(
        complaint.starts_with(&format!("penstock: http://{} ", relay.address)),
        "{complaint}"
    );
    assert!(
        complaint.ends_with("; waiting until that changes"),
        "{complaint}"
    );
    penstock.write_config(&config(3));
    penstock.start_again().await;
    relay.lead(Some(penstock.admin_address()));
    // Nothing was said twice meanwhile, however often it looked; connections may end in several ways.
    let mut said = vec![complaint];
    loop {
        let next = follower.error().await;
        if next == "penstock: penstock answers again" {
            break;
        }
        assert!(!said.contains(&next), "{next:?} after {said:?}");
        said.push(next);
    }
    // Also what was decided while it was away.
    scale(&penstock, 4).await;
    let told = follower.until("→ 4 workers").await;
    assert_eq!(changes(&told), ["2 → 0", "3 → 4"], "{told:#?}");
    let (status, _, errors) = follower.end(Signal::SIGINT).await;
    assert!(is_interrupted(status), "{status}");
    assert_eq!(errors, [""; 0]);
}

#[tokio::test]
async fn what_does_not_exist_or_does_not_answer_from_the_beginning_is_an_error() {
    let (penstock, _launches) = started().await;
    let error = penstock.failing(&["explain", "other", "--follow"]).await;
    assert!(error.contains("there is no service other"), "{error}");
    let relay = Relay::to(penstock.admin_address()).await;
    relay.lead(None);
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_penstock"))
        .args(["explain", "chat", "--follow", "--admin"])
        .arg(relay.address.to_string())
        .output();
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
}
