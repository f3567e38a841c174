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
mod past;
mod pattern;
mod score;
mod slope;

use std::time::Duration;

use penstock_config::ForecastRule;

pub use self::{
    foresight::{Foresight, Sign},
    past::{Past, PastDay},
    pattern::Pattern,
};
use self::{
    past::{BUCKET, BUCKET_MS, PER_DAY},
    pattern::Moment,
    score::Score,
    slope::Slope,
};
use super::{
    rules::View,
    wish::{Basis, Wish, workers_for},
};

/// How long a start is thought to take before one was seen; that of the `concurrency` rule.
const START_GUESS: Duration = Duration::from_secs(30);

/// Longest look-ahead, however long starts take.
const AHEAD_MAX: Duration = Duration::from_secs(6 * 3600);

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
        if rule.slope {
            let ahead = rule.ahead.unwrap_or_else(|| start(view));
            self.slope.record(past.latest(), ahead);
        }
        self.compare(rule, past, buckets_ahead(rule, view));
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
    pub(super) fn wish(&self, rule: &ForecastRule, view: View<'_>) -> Option<Wish> {
        let past = view.past?;
        let base = past.recent()?;
        let by_pattern = self.best().and_then(|(pattern, score)| {
            let end_ms = end_ms(rule, view);
            by_pattern(rule, past, view.seen.wall_ms..=end_ms, base, pattern, score)
        });
        let found = [by_pattern, self.by_slope(rule, view)];
        let found = found.into_iter().flatten();
        let most = found.max_by(|one, other| one.load.total_cmp(&other.load));
        let Some(most) = most else {
            return Some(nothing(self.why_not(rule, view), rule.target));
        };
        let room = rule.headroom * most.load.sqrt();
        let workers = workers_for(most.load + room, rule.target);
        let foresight = Foresight::More {
            load: most.load,
            room,
            at: rule.clock(most.at_ms),
            sign: most.sign,
            came: most.came,
            start: start(view),
        };
        Some(Wish {
            workers,
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

    fn by_slope(&self, rule: &ForecastRule, view: View<'_>) -> Option<Expected> {
        let growth = self.slope.growth().filter(|_| rule.slope)?;
        let ahead = rule.ahead.unwrap_or_else(|| start(view));
        (growth.expected > growth.base).then(|| Expected {
            load: growth.expected,
            at_ms: view.seen.wall_ms.saturating_add(millis(ahead)),
            sign: Sign::Growing {
                per_minute: growth.per_minute,
            },
            came: self.slope.score().came().unwrap_or(0.0),
        })
    }

    /// Why nothing is asked for.
    fn why_not(&self, rule: &ForecastRule, view: View<'_>) -> Foresight {
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
        let until = rule.clock(end_ms(rule, view));
        Foresight::NoMore { until }
    }
}

/// The largest load of those that a pattern expects within a time, if it is more than `base`, the mean
/// of so many milliseconds before.
fn by_pattern(
    rule: &ForecastRule,
    past: &Past,
    time: std::ops::RangeInclusive<u64>,
    (base, length): (f64, u64),
    pattern: Pattern,
    score: &Score,
) -> Option<Expected> {
    let now_ms = *time.start();
    let from = Moment {
        number: now_ms / BUCKET_MS,
        share: ((now_ms % BUCKET_MS) as f64 / length as f64).min(1.0),
    };
    let mut most: Option<Expected> = None;
    for number in from.number..=*time.end() / BUCKET_MS {
        let Some(change) = pattern.change(past, rule, from, number) else {
            continue;
        };
        let load = change.after(base, rule.target);
        if load > most.map_or(base, |most| most.load) {
            most = Some(Expected {
                load,
                at_ms: (number * BUCKET_MS).max(now_ms),
                sign: Sign::Usual {
                    pattern,
                    seen: change.seen,
                },
                came: score.came().unwrap_or(0.0),
            });
        }
    }
    most
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

/// How long a start takes.
fn start(view: View<'_>) -> Duration {
    view.seen.start_time.unwrap_or(START_GUESS)
}

/// How far ahead the rule looks. A load that began in the middle of a bucket shows in its mean only in
/// part, so that one bucket more is looked at.
fn ahead(rule: &ForecastRule, view: View<'_>) -> Duration {
    let ahead = rule.ahead.unwrap_or_else(|| start(view) + BUCKET);
    ahead.min(AHEAD_MAX)
}

/// The end of the look-ahead, in milliseconds since 1970.
fn end_ms(rule: &ForecastRule, view: View<'_>) -> u64 {
    let ahead = millis(ahead(rule, view));
    view.seen.wall_ms.saturating_add(ahead)
}

/// The look-ahead in whole buckets, at least one.
fn buckets_ahead(rule: &ForecastRule, view: View<'_>) -> u64 {
    millis(ahead(rule, view)).div_ceil(BUCKET_MS).max(1)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
