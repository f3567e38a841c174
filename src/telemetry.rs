//! Logs and metrics of the whole program.

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use penstock_gateway::{Lines, Output};
use tracing_subscriber::EnvFilter;

/// How often recorded samples are folded into their histograms. Until then they take memory.
pub(crate) const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Upper bounds in seconds of every duration histogram: from a cached answer to a long generation
/// behind a cold start.
const SECONDS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 45.0, 90.0,
    180.0, 300.0,
];

/// How long the end of the program waits for its last words to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Standard error, written by a thread of its own: nobody reads a terminal that was stopped by Ctrl-S or
/// the pipe of a log shipper that hangs, and nothing may wait for that.
#[derive(Clone)]
pub(crate) struct Logs(Arc<Lines>);

impl Logs {
    /// Writes a text for people between the lines of the log.
    pub(crate) fn print(&self, text: &str) {
        self.0.push(text.as_bytes());
    }

    /// Waits a moment until what was said last is written.
    pub(crate) fn finish(&self) {
        self.0.finish(LAST_WORDS);
    }
}

impl Write for Logs {
    /// Is given whole lines.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs to standard error: text, or JSON when `json` says so. `RUST_LOG`
/// chooses what is logged; `info` unless set. Panics are told there too.
pub(crate) fn start_logs(json: bool) -> anyhow::Result<Logs> {
    let lines = Output::stderr()
        .and_then(|stderr| {
            Lines::start("log", stderr, Duration::ZERO, "penstock_log_dropped_total")
        })
        .context("cannot write logs to standard error")?;
    let writer = Logs(Arc::new(lines));
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,pingora_core=warn"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer({
            let writer = writer.clone();
            move || writer.clone()
        })
        .with_ansi(io::stderr().is_terminal());
    if json {
        logs.json().init();
    } else {
        logs.with_target(false).init();
    }
    // The usual hook writes to standard error by itself, and waits until somebody reads it.
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(thread = thread.name(), "{panic}\n{backtrace}");
    }));
    Ok(writer)
}

/// Makes `/metrics` possible: from now on what is recorded can be rendered.
pub(crate) fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .context("cannot start metrics")
}
