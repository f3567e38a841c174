//! Workers that do not start.

use futures_util::future::join_all;

use crate::support::{
    eventually,
    grpc::GrpcClient,
    penstock::{Penstock, simulated},
};

fn config(command: &str, more: &str) -> String {
    format!(
        r#"
        gateway.error_details = true
        [services.chat.deployments.main]
        process = {{ {command} }}
        probes.ready = {{ http = "/health" }}
        scaling = {{ min = 0, max = 2 }}
        {more}
        "#
    )
}

#[tokio::test]
async fn a_worker_that_crashes_at_its_start_fails_every_waiter_with_the_same_reason() {
    let broken = r#"command = ["/bin/sh", "-c", "echo no CUDA device found >&2; exit 3"]"#;
    let penstock = Penstock::start(&config(broken, "")).await;
    let client = penstock.client("chat");
    let answers = join_all((0..50).map(|_| client.get("/v1/models"))).await;
    for answer in &answers {
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (503, "start_failed")
        );
        assert_eq!(answer.json()["detail"], answers[0].json()["detail"]);
        assert!(
            answer.text().contains("no CUDA device found"),
            "{}",
            answer.text()
        );
    }

    let working = simulated("--load-time 0s");
    penstock.reload(&config(&working, "")).await;
    assert_eq!(client.get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_named_in_the_answer() {
    let missing = r#"command = ["/nowhere/to/be/found"]"#;
    let penstock = Penstock::start(&config(missing, "")).await;
    let answer = penstock.client("chat").get("/").await;
    assert_eq!(
        (answer.status.as_u16(), answer.reason()),
        (503, "start_failed")
    );
    assert!(
        answer.text().contains("/nowhere/to/be/found"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_grpc_client_gets_the_reason_as_a_status() {
    let broken = r#"shell = "echo no CUDA device found >&2; exit 3""#;
    let penstock = Penstock::start(&config(broken, "")).await;
    let client = GrpcClient::connect(&penstock.client("chat")).await;
    let status = client.unary("hello".to_owned()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
    assert_eq!(
        status.metadata().get("x-penstock-reason").unwrap(),
        "start_failed"
    );
    assert!(
        status.message().contains("no CUDA device found"),
        "{status:?}"
    );
}

#[tokio::test]
async fn a_worker_that_never_becomes_ready_fails_its_waiters_and_is_ended() {
    let hanging = simulated("--hang-on-start");
    let penstock = Penstock::start(&config(&hanging, "start_timeout = \"1s\"")).await;
    let client = penstock.client("chat");
    for answer in join_all((0..5).map(|_| client.get("/v1/models"))).await {
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (503, "start_failed")
        );
    }
    penstock.until_alone().await;

    penstock
        .reload(&config(&simulated("--load-time 0s"), ""))
        .await;
    assert_eq!(client.get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn a_worker_that_crashes_later_is_replaced() {
    let command = simulated("--load-time 0s");
    let penstock = Penstock::start(&config(&command, "")).await;
    let client = penstock.client("chat");
    assert_eq!(client.get("/v1/models").await.status, 200);
    let before = penstock.worker_processes();
    for pid in &before {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(*pid),
            nix::sys::signal::Signal::SIGKILL,
        )
        .unwrap();
    }
    eventually("another worker answers", async || {
        let answer = client.get("/v1/models").await;
        let fresh = penstock.worker_processes().difference(&before).count() == 1;
        (answer.status == 200 && fresh).then_some(())
    })
    .await;
}
