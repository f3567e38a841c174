//! The port of a worker: whose it is, and whether the worker has loaded.

use nix::sys::signal::Signal;
use tokio::net::TcpListener;

use crate::support::{
    eventually,
    penstock::{Penstock, simulated},
};

fn config(process: &str) -> String {
    format!(
        r#"
        [services.chat.deployments.main]
        process = {{ {process} }}
        scaling = {{ min = 1, max = 1 }}
        "#
    )
}

/// What `status` says of the only worker, once it contains the words.
async fn until_status(penstock: &Penstock, words: &str) -> String {
    eventually(&format!("status says {words:?}"), async || {
        let status = penstock.admin().get("/api/v1/services/chat").await;
        let status = status.text().to_owned();
        status.contains(words).then_some(status)
    })
    .await
}

async fn port(penstock: &Penstock) -> u16 {
    let found = eventually("the worker has a port", async || {
        let status = penstock.admin().get("/api/v1/services/chat").await.json();
        let address = &status["deployments"][0]["workers"][0]["address"];
        address.as_str().map(str::to_owned)
    })
    .await;
    found.rsplit_once(':').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn a_stranger_at_the_port_of_a_worker_gets_no_request_and_is_named() {
    let program = env!("CARGO_BIN_EXE_penstock");
    let waits = format!(
        "shell = '''while ! [ -e go ]; do sleep 0.01; done; {program} worker --load-time 0s; true'''"
    );
    let mut penstock = Penstock::start(&config(&waits)).await;
    let port = port(&penstock).await;
    let stranger = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let words = format!("port {port} is held by process {} (", std::process::id());
    until_status(&penstock, &words).await;
    assert!(penstock.log().contains(&words), "the log says it too");
    let metrics = penstock.metrics().await;
    let ready = [("service", "chat"), ("state", "ready")];
    assert_eq!(metrics.sum("penstock_workers", &ready), 0.0);
    drop(stranger);
    std::fs::write(penstock.path().join("go"), "").unwrap();
    // Its server is a child of its shell.
    penstock.until_ready("chat", 1).await;
    assert_eq!(penstock.client("chat").get("/v1/models").await.status, 200);
    penstock.stop().await;
}

#[tokio::test]
async fn a_worker_at_another_port_than_it_was_given_is_found() {
    let command = simulated("--load-time 0s --port 0");
    let mut penstock = Penstock::start(&config(&command)).await;
    let port = port(&penstock).await;
    let words = format!("the worker does not listen on 127.0.0.1:{port} but on 127.0.0.1:");
    until_status(&penstock, &words).await;
    penstock
        .reload(&format!("{}\nstart_timeout = \"1500ms\"", config(&command)))
        .await;
    let failed = "the start fails with the port in its reason";
    eventually(failed, async || {
        let journal = penstock.command(&["status", "chat"]).await;
        let told = |line: &str| {
            line.contains("not ready within start_timeout") && line.contains("but on 127.0.0.1:")
        };
        journal.lines().any(told).then_some(())
    })
    .await;
    penstock.signal(Signal::SIGKILL);
    penstock.exit().await;
}

#[tokio::test]
async fn a_worker_that_listens_while_it_loads_gets_no_request_before_it_has_loaded() {
    // Without --listen-late it answers everything with 503 until then.
    let penstock =
        Penstock::start(&config(&simulated("--load-time 700ms")).replace("min = 1", "min = 0"))
            .await;
    let answer = penstock.client("chat").get("/v1/models").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}
