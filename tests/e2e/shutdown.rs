//! How Penstock ends.

use http::Method;
use nix::sys::signal::Signal;
use tokio::net::TcpStream;

use crate::support::{
    client::{Events, RawConnection, empty},
    eventually,
    fake::{Behaviour, FakeWorker},
    penstock::{Penstock, simulated},
};

async fn with_stream(drain_timeout: &str) -> (FakeWorker, Penstock, Events) {
    let worker = FakeWorker::start().await;
    worker.on("/events", Behaviour::Events);
    let config = format!(
        r#"
        gateway.drain_timeout = "{drain_timeout}"
        [services.chat.deployments.main]
        static = {{ addresses = ["{}"] }}
        "#,
        worker.address
    );
    let penstock = Penstock::start(&config).await;
    let exchange = penstock
        .client("chat")
        .send(Method::GET, "/events", empty())
        .await;
    (worker, penstock, Events::new(exchange))
}

#[tokio::test]
async fn an_idle_penstock_ends_at_once_and_leaves_no_worker() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let command = simulated("--load-time 0s");
        let mut penstock = Penstock::start(&format!(
            r#"
            gateway.drain_timeout = "10h"
            [services.chat.deployments.main]
            drain_timeout = "10h"
            process = {{ {command} }}
            probes.ready = {{ http = "/health" }}
            scaling = {{ min = 2, max = 2 }}
            "#
        ))
        .await;
        penstock.until_ready("chat", 2).await;
        penstock.signal(signal);
        // It would wait for hours.
        assert!(penstock.exit().await.success());
        assert_eq!(penstock.processes().count(), 0);
    }
}

#[tokio::test]
async fn what_is_in_flight_is_finished_first() {
    let (worker, mut penstock, mut events) = with_stream("60s").await;
    penstock.signal(Signal::SIGTERM);
    for number in 0..20 {
        worker.send_event(&number.to_string());
        assert_eq!(events.next().await.unwrap(), number.to_string());
    }
    drop(events);
    assert!(penstock.exit().await.success());
}

#[tokio::test]
async fn the_drain_ends_in_time() {
    let (_worker, mut penstock, mut events) = with_stream("300ms").await;
    penstock.signal(Signal::SIGTERM);
    assert!(
        events.try_next().await.is_err(),
        "the stream must be seen to break off"
    );
    penstock.exit().await;
}

#[tokio::test]
async fn a_second_signal_ends_it_now() {
    let (worker, mut penstock, mut events) = with_stream("1h").await;
    penstock.signal(Signal::SIGTERM);
    // Until it has seen the first signal, a second one would be the same to it.
    eventually("it accepts nobody", async || {
        TcpStream::connect(penstock.address)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    worker.send_event("still here");
    assert_eq!(events.next().await.unwrap(), "still here");
    penstock.signal(Signal::SIGTERM);
    // The drain alone would take an hour.
    penstock.exit().await;
}

#[tokio::test]
async fn a_client_that_has_said_nothing_yet_keeps_nobody_from_ending() {
    for proxy_protocol in ["[]", "[\"127.0.0.1\"]"] {
        let worker = FakeWorker::start().await;
        let mut penstock = Penstock::start(&format!(
            r#"
            listeners = [{{ address = "127.0.0.1:0", proxy_protocol = {proxy_protocol} }}]
            gateway.drain_timeout = "10m"
            gateway.limits = {{ header_timeout = "10m", idle_timeout = "10m" }}
            [services.chat.deployments.main]
            static = {{ addresses = ["{}"] }}
            "#,
            worker.address
        ))
        .await;
        let mut silent = RawConnection::open(penstock.address).await;
        let accepted = "the connection is accepted";
        penstock
            .until(accepted, |page| {
                page.sum("penstock_connections", &[]) == 1.0
            })
            .await;
        penstock.stop().await;
        assert_eq!(silent.read_to_end().await, "");
    }
}

#[tokio::test]
async fn a_second_signal_kills_the_workers() {
    let command = simulated("--load-time 0s --ignore-sigterm");
    let mut penstock = Penstock::start(&format!(
        r#"
        [services.chat.deployments.main]
        process = {{ {command}, stop_grace = "10h" }}
        scaling = {{ min = 3, max = 3 }}
        "#
    ))
    .await;
    penstock.until_ready("chat", 3).await;
    penstock.signal(Signal::SIGINT);
    let stopping = "the workers are asked to end";
    eventually(stopping, async || {
        let logs = penstock.path().join("penstock-logs/chat");
        let asked = std::fs::read_dir(logs).unwrap().flatten().filter(|log| {
            let text = std::fs::read_to_string(log.path()).unwrap_or_default();
            text.contains("asked to stop")
        });
        (asked.count() == 3).then_some(())
    })
    .await;
    assert_eq!(penstock.worker_processes().len(), 3, "they ignore it");
    let second = std::time::Instant::now();
    penstock.signal(Signal::SIGINT);
    // They have hours.
    assert!(penstock.exit().await.success());
    let took = second.elapsed();
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    assert_eq!(penstock.processes().count(), 0);
}
