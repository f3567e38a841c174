//! What is counted while a load runs: by each thread for itself, taken and added up every second.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Kinds of failures that are told apart; the rest counts as one.
const FAILURES_MAX: usize = 32;

/// How a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failure {
    /// There was no connection.
    Connect,
    /// It broke off before the answer was whole.
    Broken,
    /// The answer was not whole in time.
    Timeout,
    /// It was given up because the run had ended.
    Unfinished,
    /// The answer has a status of 400 or more.
    Status(u16),
    /// The call ended with this status of gRPC.
    Grpc(u16),
    /// One of too many kinds.
    Other,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("no connection"),
            Self::Broken => f.write_str("broken off"),
            Self::Timeout => f.write_str("timeout"),
            Self::Unfinished => f.write_str("unfinished at the end"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Grpc(status) => write!(f, "grpc-status {status}"),
            Self::Other => f.write_str("other"),
        }
    }
}

/// Times, to three digits.
#[derive(Debug, Clone)]
pub(super) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new(3).expect("three digits are between 0 and 5"))
    }
}

impl Times {
    pub(super) fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        // It grows as it needs to, up to the bound; nothing in this range can fail.
        let _ = self.0.record(micros.min(MICROS_MAX));
    }

    fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both grow as they need to");
    }

    /// The time that this share of the values, 0 to 1, does not exceed; 0 of no values.
    pub(super) fn at(&self, share: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(share))
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(super) fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.0.mean() / 1e6)
    }

    /// `None` where there are no values.
    pub(super) fn summary(&self) -> Option<Summary> {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        (self.count() > 0).then(|| Summary {
            count: self.count(),
            mean_ms: ms(self.mean()),
            p50_ms: ms(self.at(0.5)),
            p90_ms: ms(self.at(0.9)),
            p95_ms: ms(self.at(0.95)),
            p99_ms: ms(self.at(0.99)),
            p999_ms: ms(self.at(0.999)),
            max_ms: ms(Duration::from_micros(self.0.max())),
        })
    }
}

/// Longest time that is told from longer ones: a day.
const MICROS_MAX: u64 = 86_400_000_000;

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) count: u64,
    pub(super) mean_ms: f64,
    pub(super) p50_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) max_ms: f64,
}

/// What was counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Answers that were good and whole.
    pub(super) good: u64,
    pub(super) failures: BTreeMap<Failure, u64>,
    /// Bytes of bodies that came.
    pub(super) bytes: u64,
    /// Events that brought text.
    pub(super) tokens: u64,
    /// From when the request was due until its answer was whole. What failed counts too, or a target
    /// would look quick by failing.
    pub(super) whole: Times,
    /// From when it was due until the head of the answer.
    pub(super) first_byte: Times,
    /// From when it was due until the first token.
    pub(super) first_token: Times,
    /// From one token to the next, each.
    pub(super) between_tokens: Times,
    /// From when a request was due until a thread took it up.
    pub(super) behind: Times,
}

impl Tally {
    pub(super) fn fail(&mut self, failure: Failure, count: u64) {
        let known = self.failures.contains_key(&failure) || self.failures.len() < FAILURES_MAX;
        let failure = if known { failure } else { Failure::Other };
        *self.failures.entry(failure).or_default() += count;
    }

    pub(super) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.good += other.good;
        self.bytes += other.bytes;
        self.tokens += other.tokens;
        for (&failure, &count) in &other.failures {
            self.fail(failure, count);
        }
        self.whole.add(&other.whole);
        self.first_byte.add(&other.first_byte);
        self.first_token.add(&other.first_token);
        self.between_tokens.add(&other.between_tokens);
        self.behind.add(&other.behind);
    }

    /// The failures, the most frequent first, such as `12 × status 503, 1 × timeout`.
    pub(super) fn failures_text(&self) -> String {
        let mut failures: Vec<_> = self.failures.iter().collect();
        failures.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let each = failures
            .iter()
            .map(|(failure, count)| format!("{count} × {failure}"));
        each.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_parts() {
        let mut one = Tally {
            good: 3,
            ..Tally::default()
        };
        one.fail(Failure::Status(503), 2);
        one.whole.record(Duration::from_millis(10));
        let mut both = Tally::default();
        both.whole.record(Duration::from_millis(30));
        both.fail(Failure::Timeout, 1);
        both.add(&one);
        assert_eq!((both.good, both.failed(), both.whole.count()), (3, 3, 2));
        assert_eq!(both.failures_text(), "2 × status 503, 1 × timeout");
        let summary = both.whole.summary().unwrap();
        assert!((summary.mean_ms - 20.0).abs() < 0.1, "{summary:?}");
    }

    #[test]
    fn a_target_that_invents_statuses_takes_no_memory() {
        let mut tally = Tally::default();
        for status in 400..600 {
            tally.fail(Failure::Status(status), 1);
        }
        assert_eq!(tally.failed(), 200);
        assert!(tally.failures.len() <= FAILURES_MAX + 1);
    }

    #[test]
    fn no_time_is_too_long() {
        let mut times = Times::default();
        times.record(Duration::MAX);
        assert!(times.at(1.0) >= Duration::from_secs(86_000));
        assert_eq!(Times::default().summary(), None);
    }
}
