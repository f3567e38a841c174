//! Updates whose workers do not become ready.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::chat;
use crate::support::{eventually, penstock::Penstock};

/// Waits until the update has stopped.
async fn until_stopped(penstock: &Penstock) {
    eventually("the update has stopped", async || {
        let found = penstock.deployment("chat", "main").await;
        (found["update"]["state"] == "stopped").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_update_that_fails_stops_and_the_old_revision_serves_on() {
    let mut penstock = Penstock::start(&chat(1, "--load-time 0s")).await;
    penstock.until_all_run("chat", 1, 2).await;
    let client = penstock.client("chat");
    penstock.reload(&chat(2, "--crash-on-start")).await;
    until_stopped(&penstock).await;
    let found = penstock.deployment("chat", "main").await;
    assert_eq!(found["phase"], "degraded", "{found}");
    for command in ["status", "explain"] {
        let text = penstock.command(&[command, "chat"]).await;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let told = text.contains("the update to revision 2 has stopped")
            && text.contains("out of memory")
            && text.contains("revision 1 serves on");
        assert!(told, "{text}");
    }
    assert_eq!(client.get("/v1/models").await.status, 200);
    // Who ends meanwhile is replaced by the old revision, also after a crash of Penstock.
    penstock.signal(Signal::SIGKILL);
    penstock.exit().await;
    penstock.start_again().await;
    penstock.until_all_run("chat", 1, 2).await;
    let before = penstock.worker_processes();
    let victim = *before.first().unwrap();
    kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
    eventually("another worker", async || {
        let now = penstock.worker_processes();
        (now.len() == 2 && !now.contains(&victim)).then_some(())
    })
    .await;
    penstock.until_all_run("chat", 1, 2).await;
    let found = penstock.deployment("chat", "main").await;
    assert_eq!(found["update"]["state"], "stopped", "{found}");
    // The same again, and then something better.
    let said = penstock.command(&["switch", "chat/main", "2"]).await;
    assert_eq!(said, "chat/main: the update to revision 2 is tried again\n");
    until_stopped(&penstock).await;
    penstock.command(&["switch", "chat/main", "1"]).await;
    let found = penstock.deployment("chat", "main").await;
    assert!(found["update"].is_null(), "{found}");
    assert_eq!(
        found["troubles"].as_array().map_or(0, Vec::len),
        0,
        "{found}"
    );
    penstock.reload(&chat(3, "--load-time 0s")).await;
    penstock.until_all_run("chat", 3, 2).await;
    penstock.stop().await;
}

#[tokio::test]
async fn where_the_last_old_worker_gave_way_to_one_that_fails_the_old_revision_is_started_again() {
    let recreate = |round, args: &str| {
        chat(round, args).replace("scaling =", "update = \"recreate\"\n        scaling =")
    };
    let mut penstock = Penstock::start(&recreate(1, "--load-time 0s")).await;
    penstock.until_all_run("chat", 1, 2).await;
    let before = penstock.worker_processes();
    penstock.reload(&recreate(2, "--crash-on-start")).await;
    until_stopped(&penstock).await;
    penstock.until_all_run("chat", 1, 2).await;
    assert!(penstock.worker_processes().is_disjoint(&before));
    assert_eq!(penstock.client("chat").get("/v1/models").await.status, 200);
    penstock.stop().await;
}
