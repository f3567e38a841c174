//! Does the canary take longer to begin its answers?

use std::time::Duration;

use penstock_config::fleet::{LatencyHistogram, Outcomes};

use super::{Evidence, evidence::without_the_slowest, exact::binomial_tail};

/// The percentile that is compared.
const QUANTILE: f64 = 0.95;

/// In words, if more than 5 % of the canary's answers begin later than `ratio` times the siblings'
/// 95th percentile, at this level of significance. Half of the level goes to not knowing that
/// percentile exactly, half to chance in the canary's own requests.
///
/// Where several clients ask, one alone convicts nobody: a client can send prompts that take long
/// everywhere. So the same must be true without the one that most of the slow answers went to.
pub fn worse(ratio: f64, evidence: &Evidence, level: f64) -> Option<String> {
    let test = Test::of(ratio, evidence, level)?;
    let worse = test.worse(&evidence.canary.first_byte)?;
    let rest = test.others(evidence);
    rest.is_none_or(|rest| test.worse(&rest.first_byte).is_some())
        .then_some(worse)
}

/// What speaks against the canary by the word of one client, and how many answers the others have had; if
/// there are others.
pub(super) fn worse_for_one(ratio: f64, evidence: &Evidence, level: f64) -> Option<(String, u64)> {
    let test = Test::of(ratio, evidence, level)?;
    let worse = test.worse(&evidence.canary.first_byte)?;
    let rest = test.others(evidence)?;
    Some((worse, rest.succeeded))
}

/// What the canary's answers are compared with.
struct Test {
    ratio: f64,
    /// What 95 % of the siblings' answers begin within.
    percentile: Duration,
    level: f64,
}

impl Test {
    fn of(ratio: f64, evidence: &Evidence, level: f64) -> Option<Self> {
        let level = level / 2.0;
        let percentile = upper_bound(&evidence.siblings.first_byte, level)?;
        Some(Self {
            ratio,
            percentile,
            level,
        })
    }

    fn limit(&self) -> Duration {
        self.percentile.mul_f64(self.ratio)
    }

    fn worse(&self, canary: &LatencyHistogram) -> Option<String> {
        let Self {
            ratio, percentile, ..
        } = self;
        let (limit, requests) = (self.limit(), canary.counts.iter().sum());
        let slow = surely_above(canary, limit);
        (binomial_tail(slow, requests, 1.0 - QUANTILE) <= self.level).then(|| {
            format!(
                "{slow} of its {requests} answers began later than {limit:.1?}; 95 % of its siblings' begin within {percentile:.1?}, and {ratio} times that is accepted"
            )
        })
    }

    fn others(&self, evidence: &Evidence) -> Option<Outcomes> {
        let slow = |times: &LatencyHistogram| surely_above(times, self.limit());
        without_the_slowest(&evidence.canary, slow)
    }
}

/// A time that the 95th percentile behind these counts does not exceed, but for a chance of
/// `level`; `None` when there are too few counts to say.
///
/// The `j`-th smallest of `n` is below the percentile only if `j` or more of them are, each with a
/// probability of at most 0.95.
fn upper_bound(histogram: &LatencyHistogram, level: f64) -> Option<Duration> {
    let all: u64 = histogram.counts.iter().sum();
    let mut smaller = 0;
    for (bucket, count) in histogram.counts.iter().enumerate() {
        smaller += count;
        if *count > 0 && binomial_tail(smaller, all, QUANTILE) <= level {
            // The last bucket has no upper end.
            return (bucket + 1 < LatencyHistogram::BUCKETS)
                .then(|| LatencyHistogram::bound(bucket));
        }
    }
    None
}

/// How many are longer than `limit`, whatever their place within their bucket.
fn surely_above(histogram: &LatencyHistogram, limit: Duration) -> u64 {
    let buckets = histogram.counts.iter().enumerate().skip(1);
    let above = buckets.filter(|(bucket, _)| LatencyHistogram::bound(bucket - 1) >= limit);
    above.map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use penstock_config::fleet::ClientOutcomes;

    use super::*;

    fn outcomes(count: u32, millis: impl Fn(u32) -> f64) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for number in 0..count {
            let duration = Duration::from_secs_f64(millis(number) / 1000.0);
            outcomes.first_byte.record(duration);
            outcomes.succeeded += 1;
        }
        outcomes
    }

    /// From 50 to 150 ms, evenly.
    fn even(number: u32) -> f64 {
        50.0 + f64::from(number % 101)
    }

    #[test]
    fn one_that_is_twice_as_slow_is_worse_and_an_equal_one_is_not() {
        let siblings = outcomes(5_000, even);
        let judged = |canary: Outcomes| {
            let siblings = siblings.clone();
            worse(1.2, &Evidence { canary, siblings }, 0.005)
        };
        assert_eq!(judged(outcomes(500, even)), None);
        assert_eq!(judged(outcomes(500, |n| 1.15 * even(n))), None);
        let why = judged(outcomes(500, |n| 2.0 * even(n))).expect("it is slower");
        assert!(why.contains("1.2 times that is accepted"), "{why}");
    }

    /// What a canary did whose clients each had so many answers, all so many times as slow as siblings'.
    fn by_client(clients: &[(u32, f64)]) -> Evidence {
        let mut canary = Outcomes::default();
        for (number, (count, factor)) in (1..).zip(clients) {
            let one = outcomes(*count, |n| factor * even(n));
            let client = ClientOutcomes {
                client: number,
                succeeded: one.succeeded,
                failed: 0,
                slow: 0,
                first_byte: one.first_byte.clone(),
            };
            let suspects = vec![client];
            super::super::evidence::add(&mut canary, &Outcomes { suspects, ..one });
        }
        let siblings = outcomes(5_000, even);
        Evidence { canary, siblings }
    }

    #[test]
    fn one_client_alone_convicts_by_latency_only_where_there_is_no_other() {
        let judged = |clients: &[(u32, f64)]| worse(1.2, &by_client(clients), 0.005);
        assert!(judged(&[(300, 20.0)]).is_some(), "nobody else is there");
        let huge_prompts = [(300, 20.0), (300, 1.0), (200, 1.0)];
        assert_eq!(judged(&huge_prompts), None);
        let (why, others) = worse_for_one(1.2, &by_client(&huge_prompts), 0.005).expect("doubt");
        assert_eq!((why.starts_with("300 of its 800"), others), (true, 500));
        assert!(
            judged(&[(300, 20.0), (300, 2.0)]).is_some(),
            "another one sees the same"
        );
    }

    #[test]
    fn few_siblings_say_nothing_about_their_percentile() {
        let evidence = Evidence {
            canary: outcomes(1_000, |_| 10_000.0),
            siblings: outcomes(50, even),
        };
        assert_eq!(worse(1.2, &evidence, 0.005), None);
    }

    #[test]
    fn the_bound_is_above_the_percentile_and_not_far_above() {
        let bound = upper_bound(&outcomes(10_000, even).first_byte, 0.001).expect("many");
        let millis = bound.as_secs_f64() * 1000.0;
        assert!((145.0..175.0).contains(&millis), "{millis}");
    }

    #[test]
    fn times_beyond_all_buckets_have_no_bound() {
        let endless = outcomes(1_000, |_| 1e9);
        assert_eq!(upper_bound(&endless.first_byte, 0.01), None);
    }
}
