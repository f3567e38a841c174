//! What came of a run, by seconds and as a whole.

use std::time::Duration;

use serde::Serialize;

use super::{
    rule::Observed,
    tally::{Summary, Tally},
};

/// One second.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Second {
    /// Its end, since the beginning of the test, in seconds.
    pub(super) at: f64,
    /// Its end, since the beginning of the run.
    #[serde(skip)]
    pub(super) since: Duration,
    /// Requests that were due in it.
    pub(super) due: u64,
    /// Good answers that ended in it.
    pub(super) good: u64,
    /// Requests that failed in it.
    pub(super) failed: u64,
    /// Requests that were under way at its end.
    pub(super) in_flight: usize,
    /// Tokens that came in it.
    pub(super) tokens: u64,
    /// Bytes of bodies that came in it.
    pub(super) bytes: u64,
    /// Whole answers.
    pub(super) whole: Option<Summary>,
    /// First tokens.
    pub(super) first_token: Option<Summary>,
}

impl Second {
    pub(super) fn of(
        at: Duration,
        since: Duration,
        due: u64,
        in_flight: usize,
        tally: &Tally,
    ) -> Self {
        Self {
            at: at.as_secs_f64(),
            since,
            due,
            good: tally.good,
            failed: tally.failed(),
            in_flight,
            tokens: tally.tokens,
            bytes: tally.bytes,
            whole: tally.whole.summary(),
            first_token: tally.first_token.summary(),
        }
    }
}

/// A whole run at one rate.
pub(super) struct Ran {
    /// Requests a second.
    pub(super) rate: f64,
    /// How long requests were sent.
    pub(super) length: Duration,
    /// All seconds, those of waiting for the last answers included.
    pub(super) seconds: Vec<Second>,
    /// The sums.
    pub(super) total: Tally,
    /// Requests that were due.
    pub(super) due: u64,
    /// Those of them that no thread could take.
    pub(super) unsent: u64,
    /// Processors that the generator kept busy.
    pub(super) cpu: f64,
    /// Whether it was ended before its time.
    pub(super) is_cut: bool,
}

impl Ran {
    pub(super) fn new(rate: f64, length: Duration) -> Self {
        Self {
            rate,
            length,
            seconds: Vec::new(),
            total: Tally::default(),
            due: 0,
            unsent: 0,
            cpu: 0.0,
            is_cut: false,
        }
    }

    pub(super) fn add(&mut self, second: Second, tally: &Tally) {
        self.seconds.push(second);
        self.total.add(tally);
    }

    /// Tokens a second while requests were sent.
    pub(super) fn tokens_per_second(&self) -> f64 {
        self.total.tokens as f64 / self.length.as_secs_f64()
    }

    /// Requests under way, averaged over the run: rate times mean time (Little's law).
    pub(super) fn mean_in_flight(&self) -> f64 {
        self.rate * self.total.whole.mean().as_secs_f64()
    }

    /// What the rule looks at.
    pub(super) fn observed(&self) -> Observed {
        let half = self.length / 2;
        // A tick comes a little late, never early; the last second of the run belongs to it.
        let end = self.length + Duration::from_millis(500);
        let late = || {
            let seconds = self.seconds.iter();
            seconds.filter(move |second| second.since > half + HALF_SECOND && second.since <= end)
        };
        let mut before = self.seconds.iter().rev();
        let middle = before.find(|second| second.since <= half + HALF_SECOND);
        let first = if self.total.first_token.count() > 0 {
            &self.total.first_token
        } else {
            &self.total.first_byte
        };
        Observed {
            due: self.due,
            failed: self.total.failed(),
            due_late: late().map(|second| second.due).sum(),
            in_flight: middle.map_or(0, |second| second.in_flight as u64),
            ended_late: late().map(|second| second.good + second.failed).sum(),
            p99: self.total.whole.at(0.99),
            first_token: first.at(0.99),
            behind: self.total.behind.at(0.9),
            unsent: self.unsent,
        }
    }
}

const HALF_SECOND: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_half_is_judged_and_the_waiting_after_the_run_is_not() {
        let mut ran = Ran::new(100.0, Duration::from_secs(4));
        for at in 1..=6 {
            let since = Duration::from_millis(at * 1000 + 3);
            let tally = Tally {
                good: if at <= 2 { 100 } else { 10 },
                ..Tally::default()
            };
            let due = if at <= 4 { 100 } else { 0 };
            ran.add(Second::of(since, since, due, 0, &tally), &tally);
        }
        let observed = ran.observed();
        assert_eq!(observed.due_late, 200);
        assert_eq!(observed.ended_late, 20);
    }
}
