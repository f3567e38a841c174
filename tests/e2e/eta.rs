//! What the gateway has learned of starts and answers tells clients how long they wait, and spares
//! those the wait who would wait in vain.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Method;

use crate::support::{
    client::{Client, Reply, empty},
    penstock::{Penstock, simulated},
};

/// Seconds that a worker takes to start.
const START: f64 = 2.0;

/// Seconds that a busy machine may add to a start.
const BUSY: f64 = 20.0;

/// A service whose workers take two seconds to start and answer at once, with these settings of its
/// queue and of its scaling.
fn service(queue: &str, scaling: &str) -> String {
    let command = simulated("--load-time 2s --time-to-first-token 0s");
    format!(
        r#"
        [services.chat]
        queue = {{ {queue} }}
        [services.chat.deployments.main]
        max_concurrency = 8
        process = {{ {command} }}
        probes.ready = {{ http = "/health" }}
        [services.chat.deployments.main.scaling]
        {scaling}
        idle_timeout = "60s"
        "#
    )
}

/// One that has seen three starts in an earlier run, and is at zero with at most one worker.
async fn learned(queue: &str) -> Penstock {
    let mut penstock = Penstock::start(&service(queue, "min = 3\nmax = 3")).await;
    penstock.until_ready("chat", 3).await;
    penstock.stop().await;
    let down = r#"down = { stable_for = "100ms", period = "100ms" }"#;
    penstock.write_config(&service(queue, &format!("min = 0\nmax = 1\n{down}")));
    penstock.start_again().await;
    penstock
}

async fn timed(client: &Client) -> (Reply, Duration) {
    let begun = Instant::now();
    (client.get("/v1/models").await, begun.elapsed())
}

fn number(reply: &Reply, name: &str) -> f64 {
    let text = reply.header(name);
    text.parse().unwrap_or_else(|_| panic!("{name}: {text:?}"))
}

#[tokio::test]
async fn who_cannot_wait_for_a_start_is_refused_at_once_and_served_when_it_comes_back() {
    let penstock = learned(r#"max_wait = "500ms""#).await;
    let client = penstock.client("chat");
    let refused = client.get("/v1/models").await;
    assert_eq!(
        (refused.status.as_u16(), refused.reason()),
        (503, "too_late")
    );
    // Who had waited would have been told that its time is over.
    assert_eq!(refused.header("x-penstock-queue-wait"), "");
    assert_eq!(refused.header("x-penstock-queue-position"), "1");
    let eta = number(&refused, "x-penstock-queue-eta");
    assert!((START..START + BUSY).contains(&eta), "{eta} s");
    let after = refused.retry_after().unwrap().as_secs_f64();
    assert!((eta..eta * 1.2 + 2.0).contains(&after), "{after} s");
    // It woke a worker, which is there when the client was told to come back.
    let begun = Instant::now();
    penstock.until_ready("chat", 1).await;
    assert!(begun.elapsed().as_secs_f64() < after + BUSY);
    let refusals = [("reason", "too_late")];
    let metrics = penstock.metrics().await;
    assert_eq!(
        metrics.sum("penstock_gateway_answers_total", &refusals),
        1.0
    );
}

#[tokio::test]
async fn who_is_not_shed_early_waits_for_as_long_as_it_may() {
    let penstock = learned(r#"max_wait = "500ms", shed_early = false, headers = false"#).await;
    let (late, took) = timed(&penstock.client("chat")).await;
    assert_eq!(
        (late.status.as_u16(), late.reason()),
        (504, "queue_timeout")
    );
    assert!(took >= Duration::from_millis(500), "{took:?}");
    assert!(late.retry_after().is_some());
    assert_eq!(late.header("x-penstock-queue-eta"), "");
}

#[tokio::test]
async fn who_waits_for_a_start_was_told_how_long_it_takes() {
    let penstock = learned(r#"max_wait = "60s""#).await;
    let client = penstock.client("chat");
    let answers = join_all((0..8).map(|_| timed(&client))).await;
    let mut positions = Vec::new();
    for (answer, took) in &answers {
        assert_eq!(answer.status, 200);
        positions.push(number(answer, "x-penstock-queue-position") as u32);
        let eta = number(answer, "x-penstock-queue-eta");
        let waited = number(answer, "x-penstock-queue-wait");
        // A busy machine may start it late, but never in half of the time.
        let honest = eta / 2.0..eta + BUSY;
        assert!(honest.contains(&waited), "told {eta} s, waited {waited} s");
        // It is told to the millisecond, and may be rounded up.
        assert!(waited < took.as_secs_f64() + 0.001);
    }
    positions.sort_unstable();
    assert_eq!(positions, [1, 2, 3, 4, 5, 6, 7, 8]);
    // Who found a worker at once has nothing to be told.
    let answer = client.get("/v1/models").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-penstock-queue-position"), "");
}

#[tokio::test]
async fn a_grpc_call_that_has_no_time_for_a_start_is_told_when_to_come_back() {
    let penstock = learned(r#"max_wait = "60s""#).await;
    // A client that leaves the deadline to the gateway.
    let headers = [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "600m"),
    ];
    let client = penstock.client("chat").h2();
    let call = client.send_with(Method::POST, "/test.Echo/Unary", &headers, empty());
    let told = call.await.whole().await;
    assert_eq!(
        (told.header("grpc-status"), told.reason()),
        ("14", "too_late")
    );
    let millis = number(&told, "grpc-retry-pushback-ms");
    assert!(millis >= START * 1000.0, "{millis} ms");
    penstock.until_ready("chat", 1).await;
}
