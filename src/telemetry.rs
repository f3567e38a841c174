//! Logs and metrics of the whole program.

use std::{io::IsTerminal, time::Duration};

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// How often recorded samples are folded into their histograms. Until then they take memory.
pub(crate) const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Upper bounds in seconds of every duration histogram: from a cached answer to a long generation
/// behind a cold start.
const SECONDS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 45.0, 90.0,
    180.0, 300.0,
];

/// Logs to standard error: text on a terminal, JSON elsewhere when `json` says so. `RUST_LOG`
/// chooses what is logged; `info` unless set.
pub(crate) fn start_logs(json: bool) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,pingora_core=warn"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if json {
        logs.json().init();
    } else {
        logs.with_target(false).init();
    }
}

/// Makes `/metrics` possible: from now on what is recorded can be rendered.
pub(crate) fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .context("cannot start metrics")
}
