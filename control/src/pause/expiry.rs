//! When a pause is to end by itself, as operators say it.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use penstock_config::units::format_duration;

/// The longest pause. More is a slip of the pen; whoever means "for ever" names no end.
const LONGEST: Duration = Duration::from_secs(3650 * 24 * 3600);

/// The end of a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// So long from now on.
    After(Duration),
    /// At this time: milliseconds since 1970.
    At(u64),
}

impl Expiry {
    /// Reads what a body of the API has: a number of seconds, or a time.
    ///
    /// # Errors
    ///
    /// In words, when it is neither.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, String> {
        if let Some(text) = value.as_str() {
            return text.parse();
        }
        let seconds = value.as_f64().ok_or_else(rule)?;
        let after = Duration::try_from_secs_f64(seconds);
        after.map(Self::After).map_err(|_| too_far_or_past(seconds))
    }

    /// The end in milliseconds since 1970, when it is `now_ms`.
    ///
    /// # Errors
    ///
    /// In words, when that is not in the future, or too far off.
    pub fn until_ms(self, now_ms: u64) -> Result<u64, String> {
        let until = match self {
            Self::After(after) => now_ms.saturating_add(millis(after)),
            Self::At(at) => at,
        };
        if until <= now_ms {
            return Err(format!("must be in the future; it is {} now", time(now_ms)));
        }
        if until - now_ms > millis(LONGEST) {
            return Err(too_far());
        }
        Ok(until)
    }
}

/// Reads a time of RFC 3339.
impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time: Timestamp = text.parse().map_err(|_| rule())?;
        // What lies before 1970 lies in the past all the same.
        Ok(Self::At(time.as_millisecond().try_into().unwrap_or(0)))
    }
}

/// A time for people, as the logs have it.
pub(crate) fn time(ms: u64) -> impl fmt::Display {
    humantime::format_rfc3339_seconds(at(ms))
}

/// The form of the messages to gateways. What no calendar knows is cut off.
pub(crate) fn at(ms: u64) -> SystemTime {
    const LAST: u64 = 253_402_300_799_000; // the end of the year 9999
    UNIX_EPOCH + Duration::from_millis(ms.min(LAST))
}

fn rule() -> String {
    "must be a number of seconds, or a time such as \"2030-01-31T18:00:00Z\" or \
     \"2030-01-31T18:00:00+01:00\""
        .to_owned()
}

fn too_far_or_past(seconds: f64) -> String {
    if seconds > 0.0 {
        too_far()
    } else {
        "must be above 0".to_owned()
    }
}

fn too_far() -> String {
    let most = format_duration(LONGEST);
    format!("must be at most {most} from now; without it a pause lasts until it is resumed")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn until(value: Value) -> Result<u64, String> {
        Expiry::from_json(&value)?.until_ms(NOW)
    }

    #[test]
    fn seconds_count_from_now_and_times_may_be_of_any_zone() {
        assert_eq!(until(json!(90)), Ok(NOW + 90_000));
        assert_eq!(until(json!(0.5)), Ok(NOW + 500));
        let utc = until(json!("2023-11-15T18:00:00Z"));
        assert_eq!(utc, Ok(1_700_071_200_000));
        assert_eq!(until(json!("2023-11-15T19:00:00+01:00")), utc);
        assert_eq!(until(json!("2023-11-15t18:00:00.000z")), utc);
        assert_eq!(until(json!("2030-01-31T18:00:00Z")), Ok(1_896_112_800_000));
    }

    #[test]
    fn what_is_no_time_to_come_is_refused_in_words() {
        let cases = [
            (json!(0), "must be in the future"),
            (json!(-1), "must be above 0"),
            (json!(1e300), "must be at most 3650d from now"),
            (json!(3651 * 86_400), "must be at most 3650d from now"),
            (
                json!("2023-11-14T22:13:20Z"),
                "it is 2023-11-14T22:13:20Z now",
            ),
            (json!("1912-06-23T00:00:00Z"), "must be in the future"),
            (
                json!("9998-12-31T00:00:00Z"),
                "must be at most 3650d from now",
            ),
            (json!("2h"), "must be a number of seconds, or a time"),
            (
                json!("2023-11-15T18:00:00"),
                "must be a number of seconds, or a time",
            ),
            (
                json!("2023-02-30T18:00:00Z"),
                "must be a number of seconds, or a time",
            ),
            (json!(true), "must be a number of seconds, or a time"),
            (json!([1]), "must be a number of seconds, or a time"),
        ];
        for (value, words) in cases {
            let error = until(value.clone()).expect_err("it is refused");
            assert!(error.contains(words), "{value}: {error}");
        }
    }

    #[test]
    fn a_time_beyond_all_calendars_is_no_reason_to_fail() {
        assert_eq!(time(u64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }
}
