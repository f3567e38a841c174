//! What is wrong is said first, and stays until it is right.

use std::{net::TcpListener, sync::atomic::Ordering};

use penstock_config::fleet::Phase;
use penstock_control::status::DeploymentStatus;

use crate::harness::{Harness, chat, draining, failure, ready};

async fn status(harness: &Harness) -> DeploymentStatus {
    let status = harness.control.status().await.expect("control lives");
    status.services[0].deployments[0].clone()
}

async fn until_phase(harness: &mut Harness, phase: &str) -> DeploymentStatus {
    let look = async |harness: &mut Harness| {
        let found = status(harness).await;
        (found.phase == phase).then_some(found)
    };
    harness.eventually(look).await
}

fn fixed(addresses: &str, more: &str) -> String {
    format!(
        "[services.chat.deployments.stable]\nstatic = {{ addresses = [{addresses}] }}\n{more}\n"
    )
}

/// An address where nobody listens any more.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").to_string()
}

#[tokio::test]
async fn a_start_that_failed_is_told_after_nobody_wants_a_worker_any_more() {
    let mut harness = Harness::start(&chat("missing", "scaling = { min = 0 }")).await;
    harness.report(0, 1, &[]).await;
    harness.until(|found| failure(found).is_some()).await;
    harness.report_nothing().await;
    // The gateway may send the next request, which tries again; people still see what went wrong.
    harness.until(|found| found.phase == Phase::Cold).await;
    let found = status(&harness).await;
    assert_eq!((&*found.phase, found.desired), ("failed", 0));
    let reason = found.phase_reason.expect("it is told");
    assert!(reason.starts_with("the last start failed "), "{reason}");
    assert!(reason.ends_with("missing: no such program"), "{reason}");
    harness.apply(&chat("quick", "scaling = { min = 0 }")).await;
    let found = status(&harness).await;
    assert_eq!((&*found.phase, found.phase_reason), ("cold", None));
}

#[tokio::test]
async fn a_deployment_that_waits_for_room_says_so_to_people_and_gateways() {
    let mut harness = Harness::start(&chat("quick", "scaling = { min = 0 }")).await;
    harness.driver.room.store(0, Ordering::Relaxed);
    harness.report(0, 1, &[]).await;
    harness.until(|found| found.coming.no_room).await;
    let found = until_phase(&mut harness, "waiting").await;
    let reason = found.phase_reason.expect("it is told");
    assert_eq!(reason, "1 worker waits for room: no GPU free");
    harness.driver.room.store(1, Ordering::Relaxed);
    harness.until_ready(1).await;
    let found = harness.until(|found| !found.coming.no_room).await;
    assert_eq!(found.phase, Phase::Warm);
}

#[tokio::test]
async fn an_address_that_refuses_connections_gets_no_requests_while_another_accepts() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let works = listener.local_addr().expect("it is bound");
    let gone = nobody();
    let mut harness = Harness::start(&fixed(&format!("\"{gone}\", \"{works}\""), "")).await;
    let found = harness.until(|found| ready(found).len() == 1).await;
    assert_eq!(found.workers.len(), 1);
    assert_eq!(found.workers[0].address, works);
    let found = until_phase(&mut harness, "degraded").await;
    let reason = found.phase_reason.expect("it is told");
    assert!(
        reason.starts_with("1 of 2 addresses fail their probe: "),
        "{reason}"
    );
    let bad = found
        .workers
        .iter()
        .find(|worker| worker.state == "not_ready");
    assert_eq!(bad.and_then(|bad| bad.address.clone()), Some(gone));
}

#[tokio::test]
async fn addresses_that_all_refuse_connections_get_requests_all_the_same() {
    let (first, second) = (nobody(), nobody());
    let addresses = format!("\"{first}\", \"{second}\"");
    let mut harness = Harness::start(&fixed(&addresses, "")).await;
    let found = harness.until(|found| ready(found).len() == 2).await;
    assert_eq!(found.phase, Phase::Warm);
    let told = until_phase(&mut harness, "failed").await;
    let reason = told.phase_reason.expect("it is told");
    assert!(
        reason.starts_with("no address passes its probe, "),
        "{reason}"
    );
    // As soon as one answers, it alone gets them.
    let listener = TcpListener::bind(&first).expect("it was free");
    let found = harness.until(|found| ready(found).len() == 1).await;
    assert_eq!(
        found.workers[0].address,
        listener.local_addr().expect("it is bound")
    );
    until_phase(&mut harness, "degraded").await;
}

#[tokio::test]
async fn a_probe_that_asks_more_is_believed_and_one_that_is_off_asks_nothing() {
    let addresses = format!("\"{}\"", nobody());
    let asks = "probes.ready = { http = \"/health\" }";
    let mut harness = Harness::start(&fixed(&addresses, asks)).await;
    harness.until(|found| found.phase == Phase::Cold).await;
    until_phase(&mut harness, "failed").await;
    let off = "probes.ready = { tcp = false }";
    harness.apply(&fixed(&addresses, off)).await;
    harness.until_ready(1).await;
    assert_eq!(status(&harness).await.phase, "warm");
}

#[tokio::test]
async fn a_voluntary_drain_waits_longer_than_a_forced_one() {
    let settings = |desired: u32| {
        let drains = "drain_timeout = \"0s\"\nvoluntary_drain_timeout = \"1h\"";
        chat(
            "quick",
            &format!("{drains}\nscaling = {{ min = {desired}, max = {desired} }}"),
        )
    };
    let mut harness = Harness::start(&settings(2)).await;
    let workers = harness.until_ready(2).await;
    let busy = [(&workers[0], 1), (&workers[1], 1)];
    let generation = harness.generation();
    harness.report(generation, 0, &busy).await;
    harness.apply(&settings(1)).await;
    let found = harness.until(|found| draining(found).len() == 1).await;
    let generation = harness.generation();
    harness.report(generation, 0, &busy).await;
    // Several turns later it still has its request.
    harness.report(generation, 0, &busy).await;
    harness.decided().await;
    assert_eq!(harness.driver.running().len(), 2);
    assert_eq!(harness.journal("drain_cut").await, [""; 0]);
    // The end of control forces both.
    harness.control.shutdown().await;
    assert_eq!(harness.driver.running(), []);
    drop(found);
}
