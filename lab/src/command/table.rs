//! What came of the simulations, as text.

use std::{fmt::Write, time::Duration};

use crate::simulate::Outcome;
use penstock_config::units;
use serde::Serialize;

use super::Run;

/// One row per run, columns aligned.
pub(super) fn text(runs: &[Run], slo: Duration) -> String {
    let mut rows = vec![heading(slo)];
    rows.extend(runs.iter().map(|run| row(run, slo)));
    let mut widths = [0; 13];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            // The name reads from the left, numbers from the right.
            let _ = match column {
                2 => write!(text, "{gap}{cell:<width$}"),
                _ => write!(text, "{gap}{cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text
}

/// The names of the columns.
pub(super) fn heading(slo: Duration) -> [String; 13] {
    let over = format!("over {}", units::format_duration(slo));
    [
        "rate",
        "start",
        "scaler",
        "GPU-seconds",
        "starts",
        "wait p50",
        "p95",
        "p99",
        "over 1s",
        &over,
        "failed",
        "changes",
        "idle",
    ]
    .map(str::to_owned)
}

/// Every change of the count of workers, one per line.
pub(super) fn decisions(run: &Run) -> String {
    let start = units::format_duration(run.start);
    let scaler = &run.outcome.scaler;
    let mut text = format!("\n{scaler}, rate ×{}, start {start}:\n", run.speed);
    for (at, before, after, reason) in &run.outcome.decisions {
        let at = at.as_secs_f64();
        let _ = writeln!(text, "{at:>8.1} s  {before:>4} → {after:<4} {reason}");
    }
    text
}

/// One run, in the order of the [`heading`].
pub(super) fn row(run: &Run, slo: Duration) -> [String; 13] {
    let outcome = &run.outcome;
    [
        format!("×{}", run.speed),
        units::format_duration(run.start),
        outcome.scaler.clone(),
        format!("{:.0}", outcome.worker_seconds),
        outcome.starts.to_string(),
        wait(outcome, 0.5),
        wait(outcome, 0.95),
        wait(outcome, 0.99),
        percent(outcome.waits.share_above(Duration::from_secs(1))),
        percent(outcome.waits.share_above(slo)),
        (outcome.shed + outcome.cut).to_string(),
        outcome.scale_events.to_string(),
        percent(outcome.idle_share()),
    ]
}

fn wait(outcome: &Outcome, share: f64) -> String {
    outcome.waits.percentile(share).map_or_else(
        || "never".to_owned(),
        |wait| format!("{:.2} s", wait.as_secs_f64()),
    )
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// The same numbers for machines.
pub(super) fn json(runs: &[Run], slo: Duration) -> anyhow::Result<String> {
    let rows: Vec<_> = runs.iter().map(|run| Row::new(run, slo)).collect();
    Ok(serde_json::to_string_pretty(&rows)? + "\n")
}

#[derive(Serialize)]
struct Row<'r> {
    speed: f64,
    start_seconds: f64,
    scaler: &'r str,
    requests: u64,
    gpu_seconds: f64,
    starts: u64,
    wait_p50_seconds: Option<f64>,
    wait_p95_seconds: Option<f64>,
    wait_p99_seconds: Option<f64>,
    share_over_1s: f64,
    share_over_slo: f64,
    shed: u64,
    cut: u64,
    scale_events: u64,
    idle_share: f64,
}

impl<'r> Row<'r> {
    fn new(run: &'r Run, slo: Duration) -> Self {
        let outcome = &run.outcome;
        let wait = |share| {
            outcome
                .waits
                .percentile(share)
                .map(|wait| wait.as_secs_f64())
        };
        Self {
            speed: run.speed,
            start_seconds: run.start.as_secs_f64(),
            scaler: &outcome.scaler,
            requests: outcome.requests,
            gpu_seconds: outcome.worker_seconds,
            starts: outcome.starts,
            wait_p50_seconds: wait(0.5),
            wait_p95_seconds: wait(0.95),
            wait_p99_seconds: wait(0.99),
            share_over_1s: outcome.waits.share_above(Duration::from_secs(1)),
            share_over_slo: outcome.waits.share_above(slo),
            shed: outcome.shed,
            cut: outcome.cut,
            scale_events: outcome.scale_events,
            idle_share: outcome.idle_share(),
        }
    }
}
