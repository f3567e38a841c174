//! What the rule knows by now, whether that counts, and what it expects: for people.

use std::fmt;

use penstock_config::{ClockTime, ForecastRule};

use super::{
    COMPARED_MIN, ForecastState,
    past::{PER_DAY, Past},
    pattern::Pattern,
    score::{NEEDED, Score},
};
use crate::scale::{Edge, Outlook, Threshold};

/// Loads beyond this make no difference.
const LOAD_MAX: f64 = 1e12;

/// Halvings of the range of loads: what is left is nothing.
const HALVINGS: u32 = 64;

/// What a `forecast` rule knows by now.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// Days of which the load is known, in whole days of five-minute steps.
    pub days: u64,
    /// What became of its forecasts, for each kind that it may make.
    pub proofs: Vec<Proof>,
}

/// What became of one kind of forecasts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proof {
    /// `daily`, `weekly` or `slope`, as the setting.
    pub kind: &'static str,
    /// Whether enough of them were compared with what came.
    pub compared: bool,
    /// Share of what they expected that came, 0 to 1; `None` when they expected nothing.
    pub came: Option<f64>,
    /// Whether it counts.
    pub counts: bool,
}

/// What a `forecast` rule expects at the end of its look-ahead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expectation {
    /// The concurrency.
    pub load: f64,
    /// When, on the clocks of the rule.
    pub at: ClockTime,
    /// From what it follows: `daily`, `weekly` or `slope`.
    pub kind: &'static str,
    /// Whether workers are asked for because of it.
    pub counts: bool,
}

impl ForecastState {
    /// What it knows and expects, and from which expected concurrency on it would ask for more than
    /// `desired` workers.
    pub(in super::super) fn outlook(
        &self,
        rule: &ForecastRule,
        past: Option<&Past>,
        desired: u32,
    ) -> Vec<Outlook> {
        let proofs = self.proofs(rule);
        let counts = proofs.iter().any(|proof| proof.counts);
        let learned = Learned {
            days: self.known as u64 / PER_DAY,
            proofs,
        };
        let expected = past.and_then(|past| self.expectation(rule, past));
        let base = past.and_then(Past::recent).map_or(0.0, |(base, _)| base);
        let measure = if counts {
            "the concurrency that it expects"
        } else {
            "the concurrency that it expects, once that counts,"
        };
        let more = Threshold {
            rule: "forecast",
            than: desired,
            to: None,
            measure: measure.to_owned(),
            // Only what is beyond the load of the moment is expected.
            edge: Edge::Above(load_for_more(rule, desired).max(base)),
        };
        let mut all = vec![Outlook::More(more), Outlook::Learned(learned)];
        all.extend(expected.map(Outlook::Expects));
        all
    }

    fn proofs(&self, rule: &ForecastRule) -> Vec<Proof> {
        let of_pattern = |kind, score: &Score| {
            let compared = score.compared() >= COMPARED_MIN;
            proof(kind, compared, score)
        };
        let daily = rule.daily.then(|| of_pattern("daily", &self.daily));
        let weekly = rule.weekly.then(|| of_pattern("weekly", &self.weekly));
        let slope = || proof("slope", self.slope.is_compared(), self.slope.score());
        let slope = rule.slope.then(slope);
        [daily, weekly, slope].into_iter().flatten().collect()
    }

    /// What is expected to be the most, as for a wish; else what the pattern that knows it expects at the
    /// end of the look-ahead, be it less or of no consequence.
    fn expectation(&self, rule: &ForecastRule, past: &Past) -> Option<Expectation> {
        let (vantage, base) = (self.asked?, past.recent()?);
        let best = self.best().map(|(pattern, _)| pattern);
        let most = best
            .and_then(|pattern| super::most_by_pattern(rule, past, vantage, base, pattern))
            .into_iter()
            .chain(self.by_slope(rule, vantage));
        if let Some(most) = most.max_by(|one, other| one.load.total_cmp(&other.load)) {
            return Some(Expectation {
                load: most.load,
                at: rule.clock(most.at_ms),
                kind: most.sign.kind(),
                counts: true,
            });
        }
        let end = *vantage.buckets(rule).end();
        let patterns = best.into_iter().chain([Pattern::Daily, Pattern::Weekly]);
        let mut wanted = patterns.filter(|pattern| pattern.is_wanted(rule));
        wanted.find_map(|pattern| {
            let expected = super::expected_in(rule, past, vantage, base, pattern, end)?;
            Some(Expectation {
                load: expected.load,
                at: rule.clock(vantage.end_ms(rule)),
                kind: pattern.kind(),
                counts: best == Some(pattern),
            })
        })
    }
}

fn proof(kind: &'static str, compared: bool, score: &Score) -> Proof {
    Proof {
        kind,
        compared,
        came: score.came(),
        counts: compared && score.is_good(),
    }
}

/// The largest load for which `desired` workers do, found by asking for the workers of others.
fn load_for_more(rule: &ForecastRule, desired: u32) -> f64 {
    let (mut enough, mut too_much) = (0.0, LOAD_MAX);
    if super::workers(rule, enough) > desired {
        return 0.0;
    }
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(enough, too_much);
        if super::workers(rule, middle) > desired {
            too_much = middle;
        } else {
            enough = middle;
        }
    }
    enough
}

impl fmt::Display for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the forecast rule knows ")?;
        match (self.days / 7, self.days % 7) {
            (0, days) => some(days, "day", f)?,
            (weeks, 0) => some(weeks, "week", f)?,
            (weeks, days) => {
                some(weeks, "week", f)?;
                f.write_str(" and ")?;
                some(days, "day", f)?;
            }
        }
        for (place, proof) in self.proofs.iter().enumerate() {
            let separator = if place == 0 { ": " } else { "; " };
            write!(f, "{separator}{proof}")?;
        }
        Ok(())
    }
}

fn some(count: u64, of: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plural = if count == 1 { "" } else { "s" };
    write!(f, "{count} {of}{plural}")
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, needed) = (self.kind, 100.0 * NEEDED);
        if !self.compared {
            return write!(f, "{kind} is not compared with what came for long enough");
        }
        let Some(came) = self.came.map(|came| 100.0 * came) else {
            return write!(f, "{kind} expected no rise lately");
        };
        if self.counts {
            write!(f, "{kind} counts, {came:.0} % of what it expected came")
        } else {
            write!(
                f,
                "{kind} does not count, {came:.0} % of what it expected came, which must be \
                 {needed:.0} %"
            )
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            load,
            at,
            kind,
            counts,
        } = self;
        write!(
            f,
            "the forecast rule expects concurrency {load:.1} at {at} ({kind})"
        )?;
        if !counts {
            f.write_str(", which does not count")?;
        }
        Ok(())
    }
}
