//! Times on the clocks of this place.

use jiff::{Timestamp, tz::TimeZone};

/// How times are written.
pub(super) struct Times {
    zone: TimeZone,
}

impl Times {
    /// In the time zone that this machine, or the variable `TZ`, says.
    pub(super) fn here() -> Self {
        Self {
            zone: TimeZone::system(),
        }
    }

    #[cfg(test)]
    pub(super) fn of(zone: TimeZone) -> Self {
        Self { zone }
    }

    /// Date, time and distance to UTC of milliseconds since 1970.
    pub(super) fn date(&self, ms: u64) -> String {
        self.write(ms, "%Y-%m-%d %H:%M:%S %:z")
    }

    /// The time of the day alone.
    pub(super) fn time(&self, ms: u64) -> String {
        self.write(ms, "%H:%M:%S")
    }

    fn write(&self, ms: u64, format: &str) -> String {
        let ms = i64::try_from(ms).ok();
        let at = ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        at.map_or_else(
            || "?".to_owned(),
            |at| at.to_zoned(self.zone.clone()).strftime(format).to_string(),
        )
    }
}

/// How long ago something was: the two largest units will do.
pub(super) fn ago(ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(ms) / 1_000;
    let text = humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string();
    let text: Vec<&str> = text.split(' ').take(2).collect();
    format!("{} ago", text.join(" "))
}
