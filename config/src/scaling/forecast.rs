//! The forecast rule: workers for the load of the near future, as days and weeks before had it.

use std::{fmt, time::Duration};

use jiff::{Timestamp, civil::Weekday, tz::TimeZone};

/// `wish = ceil((expected + headroom × √expected) / target)`, where the concurrency is the one that is
/// expected when a worker that is started now would be ready. It only ever asks for more.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastRule {
    /// Concurrency (in-flight + queued) one worker should have; above 0.
    pub target: f64,
    /// Room for chance, in standard deviations of the expected concurrency; 0 to 10.
    pub headroom: f64,
    /// Whether it looks for what comes at the same time every day.
    pub daily: bool,
    /// Whether it looks for what comes at the same time every week.
    pub weekly: bool,
    /// Whether it carries on how the concurrency has grown in the last minutes.
    pub slope: bool,
    /// By whose clocks days and weeks repeat.
    pub time_zone: TimeZone,
    /// How far ahead it looks. `None`: as long as a worker takes to start, and five minutes more.
    pub ahead: Option<Duration>,
}

/// What a clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockTime {
    weekday: Weekday,
    hour: i8,
    minute: i8,
}

impl ForecastRule {
    /// What clocks of the rule's time zone show at a time, in milliseconds since 1970.
    pub fn clock(&self, wall_ms: u64) -> ClockTime {
        let there = timestamp(wall_ms).to_zoned(self.time_zone.clone());
        ClockTime {
            weekday: there.weekday(),
            hour: there.hour(),
            minute: there.minute(),
        }
    }

    /// Seconds by which these clocks are ahead of UTC at a time, in milliseconds since 1970.
    pub fn offset(&self, wall_ms: u64) -> i64 {
        self.time_zone
            .to_offset(timestamp(wall_ms))
            .seconds()
            .into()
    }
}

/// A time that no calendar has is the last one that it has.
fn timestamp(wall_ms: u64) -> Timestamp {
    let ms = i64::try_from(wall_ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

impl ClockTime {
    /// The day of the week in English.
    pub fn weekday(self) -> &'static str {
        match self.weekday {
            Weekday::Monday => "Monday",
            Weekday::Tuesday => "Tuesday",
            Weekday::Wednesday => "Wednesday",
            Weekday::Thursday => "Thursday",
            Weekday::Friday => "Friday",
            Weekday::Saturday => "Saturday",
            Weekday::Sunday => "Sunday",
        }
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(zone: &str) -> ForecastRule {
        ForecastRule {
            target: 8.0,
            headroom: 1.0,
            daily: true,
            weekly: true,
            slope: true,
            time_zone: TimeZone::get(zone).unwrap(),
            ahead: None,
        }
    }

    #[test]
    fn clocks_follow_the_time_zone_and_its_summer_time() {
        let berlin = rule("Europe/Berlin");
        let ms = |time: &str| {
            let time: Timestamp = time.parse().unwrap();
            u64::try_from(time.as_millisecond()).unwrap()
        };
        let (winter, summer) = (ms("2026-01-05T07:05:00Z"), ms("2026-07-06T06:05:00Z"));
        for time in [winter, summer] {
            let clock = berlin.clock(time);
            assert_eq!(
                (clock.weekday(), clock.to_string()),
                ("Monday", "08:05".into())
            );
        }
        assert_eq!((berlin.offset(winter), berlin.offset(summer)), (3600, 7200));
    }

    #[test]
    fn a_clock_that_was_set_to_nonsense_shows_something() {
        assert!(!rule("UTC").clock(u64::MAX).to_string().is_empty());
        assert_eq!(rule("UTC").clock(0).weekday(), "Thursday");
    }
}
