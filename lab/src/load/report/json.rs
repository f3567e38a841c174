//! The report as JSON, whose names do not change when those of the program do.

use std::time::Duration;

use serde::Serialize;

use super::{Judged, Report};
use crate::load::{rule::Rule, run::Second, tally::Summary};

/// The text.
pub(super) fn text(report: &Report) -> anyhow::Result<String> {
    let all = ReportJson {
        url: &report.url,
        requests: &report.requests,
        rule: RuleJson::of(&report.rule),
        limit: report.limit(),
        headline: report.headline(),
        threads: report.threads,
        runs: report.runs.iter().map(RunJson::of).collect(),
    };
    Ok(serde_json::to_string_pretty(&all)? + "\n")
}

#[derive(Serialize)]
struct ReportJson<'r> {
    url: &'r str,
    requests: &'r str,
    rule: RuleJson,
    /// Requests a second; `null` where no rate was good.
    limit: Option<f64>,
    headline: String,
    threads: usize,
    runs: Vec<RunJson<'r>>,
}

#[derive(Serialize)]
struct RuleJson {
    max_errors: f64,
    p99_ms: Option<f64>,
    first_token_ms: Option<f64>,
}

impl RuleJson {
    fn of(rule: &Rule) -> Self {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        Self {
            max_errors: rule.max_errors,
            p99_ms: rule.p99.map(ms),
            first_token_ms: rule.first_token.map(ms),
        }
    }
}

#[derive(Serialize)]
struct RunJson<'r> {
    rate: f64,
    seconds: f64,
    steady: bool,
    good: bool,
    verdict: String,
    due: u64,
    succeeded: u64,
    failed: u64,
    failures: Vec<(String, u64)>,
    mean_in_flight: f64,
    tokens_per_second: f64,
    generator_cpu: f64,
    whole: Option<Summary>,
    first_byte: Option<Summary>,
    first_token: Option<Summary>,
    between_tokens: Option<Summary>,
    behind: Option<Summary>,
    each_second: &'r [Second],
}

impl<'r> RunJson<'r> {
    fn of(run: &'r Judged) -> Self {
        let ran = &run.ran;
        let failures = ran.total.failures.iter();
        Self {
            rate: ran.rate,
            seconds: ran.length.as_secs_f64(),
            steady: run.is_steady,
            good: run.is_good(),
            verdict: run.verdict(),
            due: ran.due,
            succeeded: ran.total.good,
            failed: ran.total.failed(),
            failures: failures
                .map(|(failure, &count)| (failure.to_string(), count))
                .collect(),
            mean_in_flight: ran.mean_in_flight(),
            tokens_per_second: ran.tokens_per_second(),
            generator_cpu: ran.cpu,
            whole: ran.total.whole.summary(),
            first_byte: ran.total.first_byte.summary(),
            first_token: ran.total.first_token.summary(),
            between_tokens: ran.total.between_tokens.summary(),
            behind: ran.total.behind.summary(),
            each_second: &ran.seconds,
        }
    }
}
