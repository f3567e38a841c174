//! One line of a trace.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::Work;

/// A point in time as a trace writes it: nanoseconds since some beginning of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp(u128);

impl Stamp {
    pub(super) fn nanos(self) -> u128 {
        self.0
    }
}

/// How the lines of a trace are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Azure,
    Seconds,
    AccessLog,
}

impl Format {
    /// The format that a first line belongs to, and whether that line is only a heading.
    pub(super) fn of(line: &str) -> Option<(Self, bool)> {
        let heading = line.to_ascii_lowercase().replace(' ', "");
        match heading.as_str() {
            "timestamp,contexttokens,generatedtokens" => Some((Self::Azure, true)),
            "timestamp,service_seconds" => Some((Self::Seconds, true)),
            _ => line.starts_with('{').then_some((Self::AccessLog, false)),
        }
    }

    /// The request of a line, if it was one.
    pub(super) fn parse(self, line: &str) -> Result<Option<(Stamp, Work)>, String> {
        match self {
            Self::Azure => azure(line).map(Some),
            Self::Seconds => seconds(line).map(Some),
            Self::AccessLog => access_log(line),
        }
    }
}

fn azure(line: &str) -> Result<(Stamp, Work), String> {
    let rule = "must be a time and two counts of tokens: 2023-11-16 18:15:46.68,374,44";
    let [time, prompt, generated] = fields(line).ok_or(rule)?;
    let work = Work::Tokens {
        prompt: prompt.parse().map_err(|_| rule)?,
        generated: generated.parse().map_err(|_| rule)?,
    };
    Ok((stamp(time).ok_or(rule)?, work))
}

/// Longest request that a line may tell of.
const LONGEST: f64 = 7.0 * 86_400.0;

fn seconds(line: &str) -> Result<(Stamp, Work), String> {
    let rule = "must be a time (seconds, or a date and time) and the seconds it took: 12.5,0.8";
    let [time, took] = fields(line).ok_or(rule)?;
    let took: f64 = took.parse().map_err(|_| rule)?;
    if !(0.0..=LONGEST).contains(&took) {
        return Err("service_seconds must be at least 0 and at most a week".to_owned());
    }
    let work = Work::Time(Duration::from_secs_f64(took));
    Ok((stamp(time).ok_or(rule)?, work))
}

fn fields<const COUNT: usize>(line: &str) -> Option<[&str; COUNT]> {
    let fields: Vec<_> = line.split(',').map(str::trim).collect();
    fields.try_into().ok()
}

/// A number of seconds, or a date and time.
pub(super) fn stamp(text: &str) -> Option<Stamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        let since = Duration::try_from_secs_f64(seconds).ok()?;
        return Some(Stamp(since.as_nanos()));
    }
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    Some(since_epoch(time))
}

fn since_epoch(time: SystemTime) -> Stamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    Stamp(since.unwrap_or_default().as_nanos())
}

/// What a simulation needs of a line of the access log.
#[derive(Deserialize)]
struct Logged {
    /// When the request ended.
    time: String,
    worker: Option<u32>,
    queue_wait_ms: Option<f64>,
    duration_ms: f64,
}

fn access_log(line: &str) -> Result<Option<(Stamp, Work)>, String> {
    let rule = "must be a line of the access log with time and duration_ms";
    let logged: Logged = serde_json::from_str(line).map_err(|error| format!("{rule}: {error}"))?;
    if logged.worker.is_none() {
        return Ok(None);
    }
    let ended = humantime::parse_rfc3339_weak(&logged.time).map_err(|_| rule)?;
    let millis = |millis: f64| Duration::try_from_secs_f64(millis / 1000.0).map_err(|_| rule);
    let duration = millis(logged.duration_ms)?;
    let waited = millis(logged.queue_wait_ms.unwrap_or(0.0))?;
    let came = ended.checked_sub(duration).ok_or(rule)?;
    let work = Work::Time(duration.saturating_sub(waited));
    Ok(Some((since_epoch(came), work)))
}
