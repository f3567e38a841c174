//! The schedule rule: other bounds at certain times.

use std::time::Duration;

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, tz::TimeZone};

/// Sets `min`, `max` or both while it is active: bounds, never the count itself.
///
/// Where daylight saving time begins or ends, a time that the clock skips counts as the first one
/// after, and one that comes twice counts once. `duration` is real time.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleRule {
    /// When it begins: minute, hour, day of month, month, day of week.
    pub cron: Box<Cron>,
    /// By whose clocks.
    pub time_zone: TimeZone,
    /// How long it lasts; above 0.
    pub duration: Duration,
    /// Fewest workers meanwhile. `None`: as `scaling.min` says.
    pub min: Option<u32>,
    /// Most workers meanwhile. `None`: as `scaling.max` says.
    pub max: Option<u32>,
}

/// Whether a schedule is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// Whether it is.
    pub active: bool,
    /// Until when at least this stays so: milliseconds since 1970.
    pub until_ms: u64,
}

impl ScheduleRule {
    /// Whether it is active at a time, in milliseconds since 1970.
    pub fn at(&self, wall_ms: u64) -> Activity {
        let lasts = u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX);
        // Whatever began earlier is over.
        let begin = self.next_after(wall_ms.saturating_sub(lasts));
        match begin {
            Some(begin) if begin <= wall_ms => Activity {
                active: true,
                until_ms: begin.saturating_add(lasts),
            },
            other => Activity {
                active: false,
                until_ms: other.unwrap_or(u64::MAX),
            },
        }
    }

    /// When it begins next after a time; `None` when it does not.
    pub fn next_after(&self, wall_ms: u64) -> Option<u64> {
        let after = Timestamp::from_millisecond(i64::try_from(wall_ms).ok()?).ok()?;
        let after = after.to_zoned(self.time_zone.clone());
        let next = self.cron.find_next_occurrence(&after, false).ok()?;
        u64::try_from(next.timestamp().as_millisecond()).ok()
    }
}

pub(crate) fn parse_cron(text: &str) -> Result<Box<Cron>, String> {
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    parser.parse(text).map(Box::new).map_err(|error| {
        format!(
            "must be the five fields minute, hour, day of month, month and day of week, such as \
             \"0 8 * * MON-FRI\": {error}"
        )
    })
}

pub(crate) fn parse_time_zone(text: &str) -> Result<TimeZone, String> {
    let zone = TimeZone::get(text).ok();
    // Without a name it could not be written again.
    zone.filter(|zone| zone.iana_name().is_some())
        .ok_or_else(|| "must be a time zone such as \"UTC\" or \"Europe/Berlin\"".to_owned())
}

pub(crate) fn show_cron(cron: &Cron) -> String {
    cron.as_str().to_owned()
}

pub(crate) fn show_time_zone(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn schedule(cron: &str, zone: &str, hours: u64) -> ScheduleRule {
        ScheduleRule {
            cron: parse_cron(cron).unwrap(),
            time_zone: parse_time_zone(zone).unwrap(),
            duration: Duration::from_millis(hours * HOUR),
            min: Some(1),
            max: None,
        }
    }

    fn ms(time: &str) -> u64 {
        let time: Timestamp = time.parse().unwrap();
        u64::try_from(time.as_millisecond()).unwrap()
    }

    #[test]
    fn it_is_active_from_its_beginning_until_its_duration_is_over() {
        let office = schedule("0 8 * * MON-FRI", "Europe/Berlin", 10);
        // A Friday in summer: 8:00 there is 6:00 UTC.
        assert!(!office.at(ms("2026-07-03T05:59:59Z")).active);
        let until_ms = ms("2026-07-03T16:00:00Z");
        let active = Activity {
            active: true,
            until_ms,
        };
        assert_eq!(office.at(ms("2026-07-03T06:00:00Z")), active);
        assert_eq!(office.at(ms("2026-07-03T15:59:59Z")), active);
        let monday = Activity {
            active: false,
            until_ms: ms("2026-07-06T06:00:00Z"),
        };
        assert_eq!(office.at(until_ms), monday);
    }

    #[test]
    fn it_crosses_midnight_and_may_begin_again_while_it_lasts() {
        let night = schedule("0 22 * * *", "UTC", 8);
        assert!(night.at(ms("2026-01-02T05:59:00Z")).active);
        assert!(!night.at(ms("2026-01-02T06:00:00Z")).active);
        let always = schedule("0 * * * *", "UTC", 2);
        for minute in 0..300 {
            assert!(
                always
                    .at(ms("2026-01-02T00:00:00Z") + minute * 60_000)
                    .active
            );
        }
    }

    #[test]
    fn a_time_that_the_clock_skips_comes_right_after_and_one_that_comes_twice_comes_once() {
        let skipped = schedule("30 2 * * *", "Europe/Berlin", 1);
        // On 29 March 2026 the clocks there go from 2:00 to 3:00, at 1:00 UTC.
        let begin = skipped.next_after(ms("2026-03-28T12:00:00Z"));
        assert_eq!(begin, Some(ms("2026-03-29T01:00:00Z")));
        // On 25 October they go from 3:00 to 2:00, also at 1:00 UTC.
        let begins: Vec<_> =
            std::iter::successors(skipped.next_after(ms("2026-10-24T12:00:00Z")), |begin| {
                skipped.next_after(*begin)
            })
            .take(2)
            .collect();
        let expected = [ms("2026-10-25T00:30:00Z"), ms("2026-10-26T01:30:00Z")];
        assert_eq!(begins, expected);
    }

    #[test]
    fn a_day_that_does_not_exist_never_comes() {
        let never = schedule("0 0 30 2 *", "UTC", 1);
        assert_eq!(never.next_after(ms("2026-01-01T00:00:00Z")), None);
        let activity = never.at(ms("2026-01-01T00:00:00Z"));
        assert_eq!((activity.active, activity.until_ms), (false, u64::MAX));
    }
}
