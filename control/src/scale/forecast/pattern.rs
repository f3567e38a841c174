//! What repeats in the past.

use penstock_config::ForecastRule;

use super::past::{BUCKET_MS, PER_DAY, Past};

/// Fewest times that something must have been seen to be usual.
const SEEN_MIN: usize = 2;

/// Most times that are looked at.
const SEEN_MAX: usize = 7;

/// A rise of less than this share of a worker is left to the room that other rules keep for chance:
/// chance makes more rises of that size than any pattern does.
const SMALL: f64 = 0.5;

/// A change is at most the usual one times this, when there is more load than usual.
const STRETCH_MAX: f64 = 2.0;

/// A kind of repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// At the same time of every day: the last seven.
    Daily,
    /// At the same time of the same day of every week: the last four.
    Weekly,
}

/// A time to compare with another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The bucket it lies in.
    pub(super) number: u64,
    /// How much of the time before it that counts lies in this bucket, 0 to 1; the rest lies in the one
    /// before.
    pub(super) share: f64,
}

/// How the load usually changes from one time to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Change {
    /// What it usually is at first: the median.
    pub(super) usual: f64,
    /// By how much more it became at least in two of three times that were seen: on the working days of
    /// a week, but not by a chance that makes it rise half of the time.
    pub(super) more: f64,
    /// How many times were seen.
    pub(super) seen: u32,
}

impl Pattern {
    /// As the setting that allows it.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
        }
    }

    /// From one time to the next in days, and how many are looked at.
    fn times(self) -> (u64, usize) {
        match self {
            Self::Daily => (1, SEEN_MAX),
            Self::Weekly => (7, 4),
        }
    }

    /// How the load usually changes to that of the bucket `then`; `None` when it has not been seen
    /// often enough. Looks only at times before both.
    pub(super) fn change(
        self,
        past: &Past,
        rule: &ForecastRule,
        from: Moment,
        then: u64,
    ) -> Option<Change> {
        let (days, times) = self.times();
        let (mut usual, mut more) = ([0.0; SEEN_MAX], [0.0; SEEN_MAX]);
        let mut seen = 0;
        for time in (1..).take(times) {
            let get = |number| past.get(same_time(rule, number, time * days)?);
            let last = || from.number.checked_sub(1).and_then(get);
            let before = match get(from.number) {
                Some(this) if from.share < 1.0 => {
                    let last = last().unwrap_or(this);
                    Some(last + (this - last) * from.share)
                }
                Some(this) => Some(this),
                None => last(),
            };
            if let (Some(before), Some(after)) = (before, get(then)) {
                usual[seen] = before;
                more[seen] = after - before;
                seen += 1;
            }
        }
        if seen < SEEN_MIN {
            return None;
        }
        let sorted = |values: &mut [f64]| values.sort_unstable_by(f64::total_cmp);
        sorted(&mut usual[..seen]);
        sorted(&mut more[..seen]);
        Some(Change {
            usual: usual[(seen - 1) / 2],
            more: more[(seen - 1) / 3],
            seen: u32::try_from(seen).unwrap_or(u32::MAX),
        })
    }
}

impl Change {
    /// What is to be expected after `base`: the usual change, in proportion to how the load compares
    /// with the usual one, so that on a day on which nothing comes little is expected. `unit`, what one
    /// worker should have, counts on both sides: from nothing, a proportion says nothing. Of a small
    /// rise nothing is said, unless it is the first.
    pub(super) fn after(self, base: f64, unit: f64) -> f64 {
        let stretch = ((base + unit) / (self.usual + unit)).min(STRETCH_MAX);
        let more = self.more * stretch;
        let is_small = more > 0.0 && more < SMALL * unit;
        if is_small && base > 0.0 {
            return base;
        }
        (base + more).max(0.0)
    }
}

/// The bucket in which clocks showed the same so many days before. Where one of the two is within a day
/// of a change of the clocks, and the other is not, it may be an hour off.
fn same_time(rule: &ForecastRule, number: u64, days: u64) -> Option<u64> {
    let then = number.checked_sub(days * PER_DAY)?;
    let offset = |number: u64| rule.offset(number.saturating_mul(BUCKET_MS));
    let shift = (offset(number) - offset(then)) / 300;
    then.checked_add_signed(shift)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use penstock_config::Rule;

    use super::{super::past::PastDay, *};

    fn rule(zone: &str) -> ForecastRule {
        let text = format!(
            "listeners = [{{ address = \"127.0.0.1:0\" }}]
             [services.s.deployments.d]
             process = {{ command = [\"worker\"] }}
             scaling.rules = [{{ type = \"forecast\", time_zone = \"{zone}\" }}]"
        );
        let config = penstock_config::parse(&text, Path::new("p.toml")).expect("a good rule");
        let rules = &config.services["s"].deployments["d"].scaling.rules;
        match &rules[0] {
            Rule::Forecast(rule) => rule.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// `days` in a row from `first` on, each with this load in one bucket and none in the others.
    fn days(first: u64, loads: &[(u64, f32)]) -> Past {
        let rows = (first..).zip(loads).map(|(day, (bucket, load))| {
            let means = (0..PER_DAY).map(|place| if place == *bucket { *load } else { 0.0 });
            PastDay {
                day,
                means: means.flat_map(f32::to_le_bytes).collect(),
            }
        });
        let end = first + loads.len() as u64;
        Past::restore(rows, end * PER_DAY * BUCKET_MS).expect("there are days")
    }

    /// The change from one bucket of a day to another.
    fn change(
        past: &Past,
        zone: &str,
        pattern: Pattern,
        day: u64,
        from: u64,
        to: u64,
    ) -> Option<Change> {
        let from = Moment {
            number: day * PER_DAY + from,
            share: 1.0,
        };
        pattern.change(past, &rule(zone), from, day * PER_DAY + to)
    }

    #[test]
    fn a_rise_counts_as_far_as_it_came_on_most_days_and_once_is_never() {
        let loads = [5.0, 7.0, 0.0, 6.0, 9.0].map(|load| (96, load));
        let past = days(20_000, &loads);
        let rise = change(&past, "UTC", Pattern::Daily, 20_005, 95, 96);
        let expected = Change {
            usual: 0.0,
            more: 5.0,
            seen: 5,
        };
        assert_eq!(rise, Some(expected));
        let fall = change(&past, "UTC", Pattern::Daily, 20_005, 96, 97);
        assert_eq!(fall.map(|fall| fall.usual), Some(6.0));
        assert!(fall.is_some_and(|fall| fall.more <= -7.0), "{fall:?}");
        let other = change(&past, "UTC", Pattern::Daily, 20_005, 10, 11);
        assert_eq!(other.map(|change| change.more), Some(0.0));
        let once = days(20_000, &[(96, 5.0)]);
        assert_eq!(change(&once, "UTC", Pattern::Daily, 20_001, 95, 96), None);
    }

    #[test]
    fn the_five_minutes_before_lie_in_two_buckets() {
        let past = days(20_000, &[(96, 8.0); 3]);
        let from = Moment {
            number: 20_003 * PER_DAY + 96,
            share: 0.25,
        };
        let change = Pattern::Daily.change(&past, &rule("UTC"), from, from.number);
        assert_eq!(
            change.map(|change| (change.usual, change.more)),
            Some((2.0, 6.0))
        );
    }

    #[test]
    fn a_weekly_pattern_knows_the_days_apart() {
        let loads: Vec<_> = (0..21_u8)
            .map(|day| (96, if day % 7 == 0 { 40.0 } else { 2.0 }))
            .collect();
        let past = days(20_000, &loads);
        let rise = |pattern: Pattern, day: u64| {
            let change = change(&past, "UTC", pattern, 20_021 + day, 95, 96);
            change.map(|change| (change.more, change.seen))
        };
        assert_eq!(rise(Pattern::Weekly, 0), Some((40.0, 3)));
        assert_eq!(rise(Pattern::Weekly, 1), Some((2.0, 3)));
        assert_eq!(rise(Pattern::Daily, 0), Some((2.0, 7)));
    }

    #[test]
    fn a_time_of_the_day_follows_summer_time_where_people_do() {
        // Summer time begins in Berlin on 29 March 2026, day 20541: 8:00 there is 7:00 UTC before, and
        // 6:00 from then on.
        let past = days(20_536, &[(84, 9.0); 5]);
        let rise = |zone: &str, bucket: u64| {
            let change = change(&past, zone, Pattern::Daily, 20_541, bucket - 1, bucket);
            change.map(|change| change.more)
        };
        assert_eq!(
            (rise("Europe/Berlin", 72), rise("Europe/Berlin", 84)),
            (Some(9.0), Some(0.0))
        );
        assert_eq!((rise("UTC", 72), rise("UTC", 84)), (Some(0.0), Some(9.0)));
    }

    #[test]
    fn what_is_expected_is_in_proportion_to_the_load_of_the_day() {
        let after = |base: f64, usual: f64, more: f64| {
            let change = Change {
                usual,
                more,
                seen: 3,
            };
            change.after(base, 8.0)
        };
        assert_eq!(after(20.0, 20.0, 30.0), 50.0);
        assert_eq!(after(0.0, 0.0, 12.0), 12.0);
        assert_eq!((after(1.0, 1.0, 3.9), after(1.0, 1.0, 4.0)), (1.0, 5.0));
        assert_eq!(after(0.0, 0.0, 3.9), 3.9, "the first worker");
        // A holiday: nothing came of the usual.
        assert_eq!(after(0.0, 72.0, 8.0), 0.8);
        // Twice as much as usual, and then the usual evening.
        assert_eq!(after(200.0, 96.0, -40.0), 120.0);
        assert_eq!(after(0.0, 50.0, -40.0), 0.0);
    }
}
