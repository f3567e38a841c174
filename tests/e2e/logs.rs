//! What is written where, and that nobody waits for who reads it.

use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;

use crate::support::{eventually, fake::FakeWorker, penstock::Penstock};

fn config(worker: &FakeWorker, settings: &str) -> String {
    format!(
        r#"
        {settings}
        [services.chat.deployments.main]
        static = {{ addresses = ["{}"] }}
        "#,
        worker.address
    )
}

#[tokio::test]
async fn standard_error_that_nobody_reads_holds_up_nothing() {
    let worker = FakeWorker::start().await;
    let mut penstock = Penstock::start_unheard(&config(&worker, "gateway.threads = 1")).await;
    let client = penstock.client("chat");
    // Far more lines than a pipe holds.
    for _ in 0..300 {
        assert_eq!(client.get("/").await.text(), "ok");
        assert_eq!(client.h2().get("/").await.text(), "ok");
    }
    assert_eq!(penstock.admin().get("/healthz").await.status, 200);
    penstock.signal(Signal::SIGTERM);
    assert!(penstock.exit().await.success());
}

#[tokio::test]
async fn a_request_is_logged_by_default_and_its_query_is_not() {
    let worker = FakeWorker::start().await;
    let penstock = Penstock::start(&config(&worker, "")).await;
    penstock.client("chat").get("/path?token=canary").await;
    let log = eventually("the line", async || {
        Some(penstock.log()).filter(|log| log.contains(" GET "))
    })
    .await;
    assert!(log.contains(" /path? HTTP/1.1 200 chat/main/"), "{log}");
    assert!(!log.contains("canary"), "{log}");
}

#[tokio::test]
async fn an_access_log_is_its_owners_alone() {
    let worker = FakeWorker::start().await;
    let settings = r#"gateway.access_log = { path = "access.log", query = true }"#;
    let mut penstock = Penstock::start(&config(&worker, settings)).await;
    penstock.client("chat").get("/path?shown=1").await;
    penstock.stop().await;
    let file = penstock.path().join("access.log");
    let mode = file.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let log = std::fs::read_to_string(file).unwrap();
    assert!(log.contains(r#""path":"/path?shown=1""#), "{log}");
}
