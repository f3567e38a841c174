//! Penstock is killed and started again.

use nix::sys::signal::Signal;

use crate::support::{
    eventually,
    penstock::{NOBODY, Penstock, simulated},
};

fn config(process: &str) -> String {
    format!(
        r#"
        [services.chat.deployments.main]
        process = {{ {process}, stop_grace = "1s" }}
        probes.ready = {{ http = "/health" }}
        scaling = {{ min = 2, max = 2 }}
        "#
    )
}

/// A worker with a child that left its process group and cannot be asked to end.
fn stubborn() -> String {
    let program = env!("CARGO_BIN_EXE_penstock");
    let child = r#"setsid sh -c "trap : TERM HUP INT; while :; do sleep 1000; done""#;
    format!("shell = '''{child} & exec {program} worker --load-time 0s'''")
}

async fn kill_and_start_again(penstock: &mut Penstock) {
    penstock.signal(Signal::SIGKILL);
    penstock.exit().await;
    penstock.start_again().await;
}

#[tokio::test]
async fn after_a_crash_no_worker_is_left_unmanaged() {
    let mut penstock = Penstock::start(&config(&simulated("--load-time 0s"))).await;
    penstock.until_ready("chat", 2).await;
    kill_and_start_again(&mut penstock).await;
    penstock.until_ready("chat", 2).await;
    eventually("two processes", async || {
        (penstock.worker_processes().len() == 2).then_some(())
    })
    .await;
    assert_eq!(penstock.client("chat").get("/v1/models").await.status, 200);
    penstock.stop().await;
}

#[tokio::test]
async fn after_a_crash_workers_of_a_removed_service_are_ended_with_their_children() {
    let mut penstock = Penstock::start(&config(&stubborn())).await;
    penstock.until_ready("chat", 2).await;
    assert!(penstock.worker_processes().len() >= 4, "each has a child");
    penstock.signal(Signal::SIGKILL);
    penstock.exit().await;
    penstock.write_config(NOBODY);
    penstock.start_again().await;
    penstock.until_alone().await;
}

#[tokio::test]
async fn children_that_left_the_group_end_with_their_worker() {
    let mut penstock = Penstock::start(&config(&stubborn())).await;
    penstock.until_ready("chat", 2).await;
    penstock.stop().await;
}

#[tokio::test]
async fn a_crash_over_and_over_leaves_nothing_behind() {
    let mut penstock = Penstock::start(&config(&stubborn())).await;
    for _ in 0..3 {
        kill_and_start_again(&mut penstock).await;
    }
    penstock.until_ready("chat", 2).await;
    penstock.stop().await;
}
