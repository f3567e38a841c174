//! Settings that follow from a load test.

use std::fmt::Write;

use super::report::{Report, ms};

/// Share of what a worker can take at most that it should have: above that a small rise is already
/// too much, and a new worker takes time to start.
const HEADROOM: f64 = 0.8;

/// Lines for the configuration file, to be looked at by a person.
pub(super) fn text(report: &Report, workers: u32) -> String {
    let Some(run) = report.main_run() else {
        return String::new();
    };
    let in_flight = run.ran.mean_in_flight() / f64::from(workers);
    let mut text = String::from("\n# Proposed for the deployment that was tested:\n");
    if run.excess.is_some() {
        text.push_str("# This rate was too much: find the limit first.\n");
        return text;
    }
    let most = in_flight.ceil().max(1.0);
    let target = (in_flight * HEADROOM).round().max(1.0);
    let _ = writeln!(
        text,
        "# requests in flight on a worker at the limit, on average: {in_flight:.1}"
    );
    let _ = writeln!(text, "max_concurrency = {most}");
    let _ = writeln!(
        text,
        "scaling.rules = [{{ type = \"concurrency\", target = {target} }}]"
    );
    let first = run.ran.total.first_token.summary();
    if let Some(found) = first.or_else(|| run.ran.total.whole.summary()) {
        let what = if first.is_some() {
            "first token"
        } else {
            "answer"
        };
        let _ = writeln!(
            text,
            "# An objective that this keeps: 99 % of the {what}s within {}.",
            ms(found.p99_ms)
        );
    }
    text
}
