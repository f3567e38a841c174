//! When a load is too much: pure, so that the figures of a report can be judged again by hand.

use std::{fmt, time::Duration};

use penstock_config::units::format_duration;
/// Share of the requests by which those under way may grow in a run: more, and a queue is growing somewhere.
const GROWTH: f64 = 0.02;

/// What a rate of requests must not exceed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// Share of requests that may fail, 0 to 1.
    pub(super) max_errors: f64,
    /// The 99th percentile of the time to the whole answer.
    pub(super) p99: Option<Duration>,
    /// The 99th percentile of the time to the first token; to the first byte where there are no tokens.
    pub(super) first_token: Option<Duration>,
}

/// What came of a run at one rate, as far as the rule looks at it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Observed {
    /// Requests that were due.
    pub(super) due: u64,
    /// Requests that failed, in whatever way.
    pub(super) failed: u64,
    /// Requests that were due in the second half of the run.
    pub(super) due_late: u64,
    /// Answers, good or bad, that ended in the second half of the run.
    pub(super) ended_late: u64,
    /// Requests that were under way in the middle of the run.
    pub(super) in_flight: u64,
    /// 99th percentile of the time to the whole answer, from when the request was due.
    pub(super) p99: Duration,
    /// The same to the first token.
    pub(super) first_token: Duration,
    /// How long the generator itself was behind, 90th percentile: one that cannot keep up is late with
    /// all, while a busy machine makes a few late.
    pub(super) behind: Duration,
    /// Requests that the generator could not even begin.
    pub(super) unsent: u64,
}

/// Why a rate is too much.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Excess {
    /// The generator could not send them in time, so that nothing is known of the target.
    Generator {
        /// How late it was, 90th percentile.
        behind: Duration,
        /// Requests it did not send at all.
        unsent: u64,
    },
    /// Too many failed.
    Errors {
        /// Their share, 0 to 1.
        share: f64,
    },
    /// Answers came more slowly than requests.
    Behind {
        /// Answers per request in the second half of the run.
        share: f64,
    },
    /// Whole answers took too long.
    P99(Duration),
    /// First tokens took too long.
    FirstToken(Duration),
}

/// How late a generator may be without its lateness being seen in what it measures.
fn allowed_lag(p99: Duration) -> Duration {
    (p99 / 10).max(Duration::from_millis(10))
}

impl Rule {
    /// `None`: the rate is not too much.
    pub(super) fn excess(&self, observed: &Observed) -> Option<Excess> {
        let &Observed {
            due, failed, p99, ..
        } = observed;
        // First of all: where the generator is the limit, the other figures say nothing of the target.
        if observed.unsent > 0 || observed.behind > allowed_lag(p99) {
            return Some(Excess::Generator {
                behind: observed.behind,
                unsent: observed.unsent,
            });
        }
        let share = failed as f64 / due.max(1) as f64;
        if share > self.max_errors {
            return Some(Excess::Errors { share });
        }
        if self.p99.is_some_and(|limit| p99 > limit) {
            return Some(Excess::P99(p99));
        }
        let first = observed.first_token;
        if self.first_token.is_some_and(|limit| first > limit) {
            return Some(Excess::FirstToken(first));
        }
        // The number under way varies by chance even when no queue grows: by about its square root at each of
        // the two moments, as in an M/M/∞ queue. Three times that happens once in some hundred runs.
        let (due_late, ended_late) = (observed.due_late as f64, observed.ended_late as f64);
        let chance = 3.0 * (2.0 * observed.in_flight.max(1) as f64).sqrt();
        let grown = due_late - ended_late;
        (grown > due_late * GROWTH + chance).then(|| Excess::Behind {
            share: ended_late / due_late,
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "at most {:.3} % errors, answers as fast as requests",
            self.max_errors * 100.0
        )?;
        if let Some(limit) = self.p99 {
            write!(f, ", p99 within {}", format_duration(limit))?;
        }
        if let Some(limit) = self.first_token {
            write!(
                f,
                ", p99 of the first token within {}",
                format_duration(limit)
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generator { unsent, .. } if *unsent > 0 => write!(
                f,
                "the load generator is the limit: it left out {unsent} requests"
            ),
            Self::Generator { behind, .. } => write!(
                f,
                "the load generator is the limit: one request in ten left {behind:.1?} late or later"
            ),
            Self::Errors { share } => write!(f, "{:.2} % of the requests failed", share * 100.0),
            Self::Behind { share } => write!(
                f,
                "answers came at {:.0} % of the rate of requests",
                share * 100.0
            ),
            Self::P99(time) => write!(f, "p99 was {time:.1?}"),
            Self::FirstToken(time) => write!(f, "p99 of the first token was {time:.1?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        max_errors: 0.01,
        p99: Some(Duration::from_millis(500)),
        first_token: Some(Duration::from_millis(200)),
    };

    fn well() -> Observed {
        Observed {
            due: 1000,
            failed: 10,
            due_late: 500,
            ended_late: 500,
            in_flight: 50,
            p99: Duration::from_millis(500),
            first_token: Duration::from_millis(200),
            behind: Duration::from_millis(49),
            unsent: 0,
        }
    }

    #[test]
    fn what_only_reaches_the_limits_is_not_too_much() {
        assert_eq!(RULE.excess(&well()), None);
    }

    #[test]
    fn each_limit_is_looked_at() {
        let excess = |change: fn(&mut Observed)| {
            let mut observed = well();
            change(&mut observed);
            RULE.excess(&observed).expect("too much").to_string()
        };
        assert_eq!(excess(|o| o.failed = 11), "1.10 % of the requests failed");
        assert_eq!(
            excess(|o| o.p99 = Duration::from_millis(501)),
            "p99 was 501.0ms"
        );
        assert_eq!(
            excess(|o| o.first_token = Duration::from_millis(201)),
            "p99 of the first token was 201.0ms"
        );
        assert_eq!(
            excess(|o| o.ended_late = 300),
            "answers came at 60 % of the rate of requests"
        );
    }

    #[test]
    fn a_late_generator_says_nothing_of_the_target() {
        let mut observed = well();
        observed.failed = 900;
        observed.behind = Duration::from_millis(51);
        let excess = RULE.excess(&observed);
        assert!(
            matches!(excess, Some(Excess::Generator { .. })),
            "{excess:?}"
        );
        observed.behind = Duration::ZERO;
        observed.unsent = 1;
        let excess = RULE.excess(&observed);
        assert!(
            matches!(excess, Some(Excess::Generator { .. })),
            "{excess:?}"
        );
    }

    #[test]
    fn a_queue_that_grows_is_seen_although_it_has_just_begun_to() {
        // Ten seconds at 210 a second of what takes 200, with 8 at once.
        let observed = Observed {
            due: 2100,
            due_late: 1050,
            ended_late: 1000,
            in_flight: 58,
            ..Observed::default()
        };
        assert_eq!(RULE.excess(&observed), None);
        // And at 220.
        let observed = Observed {
            due: 2200,
            due_late: 1100,
            ended_late: 1000,
            in_flight: 108,
            ..observed
        };
        assert!(matches!(
            RULE.excess(&observed),
            Some(Excess::Behind { .. })
        ));
    }

    #[test]
    fn few_requests_are_not_judged_by_chance() {
        let observed = Observed {
            due: 20,
            due_late: 12,
            ended_late: 6,
            in_flight: 3,
            ..Observed::default()
        };
        assert_eq!(RULE.excess(&observed), None);
    }
}
