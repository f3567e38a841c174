//! The `forecast` rule: workers for the load that is expected when a worker started now would be ready.
//!
//! What is expected is the load of the last five minutes and what usually changes from there to the
//! end of the look-ahead: on the last seven days ([`Pattern::Daily`]) or in the last four weeks
//! ([`Pattern::Weekly`]), whichever did better lately; or the growth of the last minutes carried on
//! ([`slope`]). AWS, Azure and Google foresee days and weeks as well, from their servers' side; like
//! theirs this one only ever adds to what other rules ask for, and is bound by `max`.
//!
//! It is never much worse than nothing because it must prove itself: each forecast is compared with
//! what came, and the rule asks for nothing unless most of what it expected did ([`score`]). On a load
//! without a pattern that is not so, whatever the load does.

mod foresight;
mod learned;
mod past;
mod pattern;
mod score;
mod slope;
mod vantage;

use penstock_config::ForecastRule;

pub use self::{
    foresight::{Foresight, Sign},
    learned::{Expectation, Learned, Proof},
    past::{Past, PastDay},
    pattern::Pattern,
};
use self::{
    past::{BUCKET_MS, PER_DAY},
    pattern::Moment,
    score::Score,
    slope::Slope,
    vantage::Vantage,
};
use super::{
    rules::View,
    wish::{Basis, Wish, workers_for},
};

/// Buckets for which forecasts must have been compared before a pattern counts: a day, so that all
/// hours are among them.
const COMPARED_MIN: u32 = PER_DAY as u32;

/// Buckets whose forecasts are made up for after a restart: as far back as they count.
const MADE_UP_MAX: u64 = 8 * PER_DAY;

/// What the rule remembers besides the [`Past`].
#[derive(Debug, Clone, Default)]
pub(super) struct ForecastState {
    daily: Score,
    weekly: Score,
    slope: Slope,
    /// The newest bucket whose forecast was compared.
    compared: Option<u64>,
    /// How many buckets of the past are known.
    known: usize,
    /// From where it looked ahead last.
    asked: Option<Vantage>,
}

/// A load that is expected beyond that of the moment.
#[derive(Debug, Clone, Copy)]
struct Expected {
    load: f64,
    /// When, in milliseconds since 1970.
    at_ms: u64,
    sign: Sign,
    /// Share of what such forecasts expected lately that came.
    came: f64,
}

impl ForecastState {
    /// Takes in what happened since the last time, of which `view.past` knows.
    pub(super) fn record(&mut self, rule: &ForecastRule, view: View<'_>) {
        let Some(past) = view.past else {
            return;
        };
        let vantage = Vantage::new(view.seen);
        if rule.slope {
            self.slope.record(past.latest(), vantage.slope_ahead(rule));
        }
        self.compare(rule, past, vantage.buckets_ahead(rule));
    }

    /// Compares forecasts with what came of them, for all buckets that are over since the last time.
    fn compare(&mut self, rule: &ForecastRule, past: &Past, ahead: u64) {
        let Some(newest) = past.newest() else {
            return;
        };
        if self.compared == Some(newest) {
            return;
        }
        // Also when a clock was set back, so that what was compared is to come yet.
        let known = self.compared.filter(|compared| *compared < newest);
        let begin = match known {
            Some(compared) => (compared + 1).max(newest.saturating_sub(MADE_UP_MAX)),
            None => {
                (self.daily, self.weekly) = (Score::default(), Score::default());
                newest.saturating_sub(MADE_UP_MAX)
            }
        };
        for number in begin..=newest {
            self.compare_bucket(rule, past, number, ahead);
        }
        self.compared = Some(newest);
        self.known = past.known();
    }

    fn compare_bucket(&mut self, rule: &ForecastRule, past: &Past, number: u64, ahead: u64) {
        let then = number.saturating_sub(ahead);
        let (Some(base), Some(actual)) = (past.get(then), past.get(number)) else {
            return;
        };
        for (pattern, score) in [
            (Pattern::Daily, &mut self.daily),
            (Pattern::Weekly, &mut self.weekly),
        ] {
            if !pattern.is_wanted(rule) {
                continue;
            }
            let from = Moment {
                number: then,
                share: 1.0,
            };
            if let Some(change) = pattern.change(past, rule, from, number) {
                let forecast = change.after(base, rule.target);
                score.compare(number / PER_DAY, base, forecast, actual);
            }
        }
    }

    /// What the rule asks for; `None` while the load of the moment is unknown.
    pub(super) fn wish(&mut self, rule: &ForecastRule, view: View<'_>) -> Option<Wish> {
        let past = view.past?;
        let base = past.recent()?;
        let vantage = Vantage::new(view.seen);
        self.asked = Some(vantage);
        let by_pattern = self.best().and_then(|(pattern, score)| {
            let most = most_by_pattern(rule, past, vantage, base, pattern);
            most.map(|most| most.with(score))
        });
        let found = [by_pattern, self.by_slope(rule, vantage)];
        let found = found.into_iter().flatten();
        let most = found.max_by(|one, other| one.load.total_cmp(&other.load));
        let Some(most) = most else {
            return Some(nothing(self.why_not(rule, vantage), rule.target));
        };
        let foresight = Foresight::More {
            load: most.load,
            room: room(rule, most.load),
            at: rule.clock(most.at_ms),
            sign: most.sign,
            came: most.came,
            start: vantage.start,
        };
        Some(Wish {
            workers: workers(rule, most.load),
            ..nothing(foresight, rule.target)
        })
    }

    /// The pattern that does best, if one does well enough.
    fn best(&self) -> Option<(Pattern, &Score)> {
        let patterns = [
            (Pattern::Daily, &self.daily),
            (Pattern::Weekly, &self.weekly),
        ];
        let good = patterns
            .into_iter()
            .filter(|(_, score)| score.compared() >= COMPARED_MIN && score.is_good());
        good.max_by(|(_, one), (_, other)| one.gain().total_cmp(&other.gain()))
    }

    fn by_slope(&self, rule: &ForecastRule, vantage: Vantage) -> Option<Expected> {
        let growth = self.slope.growth().filter(|_| rule.slope)?;
        (growth.expected > growth.base).then(|| Expected {
            load: growth.expected,
            at_ms: vantage.slope_end_ms(rule),
            sign: Sign::Growing {
                per_minute: growth.per_minute,
            },
            came: self.slope.score().came().unwrap_or(0.0),
        })
    }

    /// Why nothing is asked for.
    fn why_not(&self, rule: &ForecastRule, vantage: Vantage) -> Foresight {
        let slope = rule.slope && self.slope.is_compared();
        let compared: Vec<&Score> = [&self.daily, &self.weekly]
            .into_iter()
            .filter(|score| score.compared() >= COMPARED_MIN)
            .chain(slope.then(|| self.slope.score()))
            .collect();
        if compared.is_empty() {
            let days = self.known as u64 / PER_DAY;
            let needed = days_needed(rule);
            return Foresight::Learning { days, needed };
        }
        let shares = compared.into_iter().filter_map(Score::came);
        if let Some(came) = shares.max_by(f64::total_cmp)
            && came < score::NEEDED
        {
            return Foresight::Unproven { came };
        }
        let until = rule.clock(vantage.end_ms(rule));
        Foresight::NoMore { until }
    }
}

/// The largest load of those that a pattern expects within the look-ahead, if it is more than `base`,
/// the mean of so many milliseconds before.
fn most_by_pattern(
    rule: &ForecastRule,
    past: &Past,
    vantage: Vantage,
    (base, length): (f64, u64),
    pattern: Pattern,
) -> Option<Expected> {
    let mut most: Option<Expected> = None;
    for number in vantage.buckets(rule) {
        let expected = expected_in(rule, past, vantage, (base, length), pattern, number);
        let above = most.map_or(base, |most| most.load);
        most = expected.filter(|found| found.load > above).or(most);
    }
    most
}

/// The load that a pattern expects in one bucket.
fn expected_in(
    rule: &ForecastRule,
    past: &Past,
    vantage: Vantage,
    (base, length): (f64, u64),
    pattern: Pattern,
    number: u64,
) -> Option<Expected> {
    let change = pattern.change(past, rule, vantage.moment(length), number)?;
    Some(Expected {
        load: change.after(base, rule.target),
        at_ms: (number * BUCKET_MS).max(vantage.wall_ms),
        sign: Sign::Usual {
            pattern,
            seen: change.seen,
        },
        came: 0.0,
    })
}

impl Expected {
    fn with(self, score: &Score) -> Self {
        Self {
            came: score.came().unwrap_or(0.0),
            ..self
        }
    }
}

/// What is added to an expected load for chance.
fn room(rule: &ForecastRule, load: f64) -> f64 {
    rule.headroom * load.sqrt()
}

/// Workers for an expected load.
fn workers(rule: &ForecastRule, load: f64) -> u32 {
    workers_for(load + room(rule, load), rule.target)
}

/// Days after which a pattern counts: those that make it, and one on which it proved itself.
fn days_needed(rule: &ForecastRule) -> u64 {
    match (rule.daily, rule.weekly) {
        (true, _) => 3,
        (false, true) => 15,
        (false, false) => 0,
    }
}

/// A wish that asks for nothing.
fn nothing(foresight: Foresight, target: f64) -> Wish {
    Wish {
        rule: "forecast",
        workers: 0,
        shrinks: false,
        basis: Basis::Forecast { foresight, target },
    }
}

impl Pattern {
    fn is_wanted(self, rule: &ForecastRule) -> bool {
        match self {
            Self::Daily => rule.daily,
            Self::Weekly => rule.weekly,
        }
    }
}

#[cfg(test)]
mod tests;
