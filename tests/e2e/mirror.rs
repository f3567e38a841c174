//! Copies of requests for a deployment that must not be able to hurt anybody.

mod bodies;
mod harmless;
mod which;

use std::net::SocketAddr;

use crate::support::{eventually, metrics::Metrics, penstock::Penstock};

/// The service `chat`, answered by `stable`, with copies for `candidate`.
fn config(settings: &str, stable: SocketAddr, candidate: SocketAddr, mirror: &str) -> String {
    // A fresh worker would get no more than one request at first, copies included.
    let candidate = format!(
        "ramp = false\nprobes.ready = {{ tcp = false }}\nstatic = {{ addresses = [\"{candidate}\"] }}"
    );
    config_with(settings, stable, &candidate, mirror)
}

fn config_with(settings: &str, stable: SocketAddr, candidate: &str, mirror: &str) -> String {
    format!(
        r#"
        [services.chat]
        {settings}
        mirror = {{ to = "candidate"{mirror} }}
        [services.chat.deployments.stable]
        static = {{ addresses = ["{stable}"] }}
        [services.chat.deployments.candidate]
        takes_traffic = false
        {candidate}
        "#
    )
}

/// Replaces the configuration and waits until the gateway obeys it: what a request meets is known
/// only then.
async fn reload(penstock: &Penstock, config: &str) {
    let obeyed = async || {
        let status = penstock.admin().get("/api/v1/status").await.json();
        status["gateway_generation"].as_u64()
    };
    let before = eventually("the gateway reports", obeyed).await;
    penstock.reload(config).await;
    eventually("the gateway obeys", async || {
        obeyed().await.filter(|now| *now > before)
    })
    .await;
}

/// How many copies are over with this result.
fn ended(metrics: &Metrics, result: &str) -> f64 {
    metrics.sum("penstock_mirror_requests_total", &[("result", result)])
}

/// How many copies were dropped for this reason.
fn dropped(metrics: &Metrics, reason: &str) -> f64 {
    metrics.sum("penstock_mirror_dropped_total", &[("reason", reason)])
}

/// Waits until so many copies are over with this result.
async fn until_ended(penstock: &Penstock, result: &str, copies: usize) -> Metrics {
    let what = format!("{copies} copies {result}");
    penstock
        .until(&what, |metrics| ended(metrics, result) == copies as f64)
        .await
}

/// Waits until so many copies were dropped for this reason.
async fn until_dropped(penstock: &Penstock, reason: &str, copies: usize) -> Metrics {
    let what = format!("{copies} copies dropped as {reason}");
    penstock
        .until(&what, |metrics| dropped(metrics, reason) == copies as f64)
        .await
}

/// Waits until nothing of any copy or request is left.
async fn until_nothing_is_left(penstock: &Penstock) {
    penstock.until_load("chat", 0, 0).await;
    penstock
        .until("no copy is left", |metrics| {
            metrics.sum("penstock_mirror_in_flight", &[]) == 0.0
                && metrics.sum("penstock_mirror_buffered_bytes", &[]) == 0.0
        })
        .await;
}
