//! Arrivals to replay: when each request came, and how much work it was.
//!
//! Three formats are told apart by the first line:
//!
//! - `TIMESTAMP,ContextTokens,GeneratedTokens`: the Azure LLM inference traces;
//! - `timestamp,service_seconds`: anything else that can be brought into two columns;
//! - Penstock's own access log in its JSON form, one object per line.

mod line;

use std::{io::BufRead, time::Duration};

use self::line::{Format, Stamp};

/// One request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// When it came, since the first one.
    pub at: Duration,
    /// What it asks for.
    pub work: Work,
}

/// How much work a request is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Work {
    /// Tokens, whose time the worker decides.
    Tokens {
        /// Tokens of the prompt.
        prompt: u32,
        /// Tokens of the answer.
        generated: u32,
    },
    /// Time on a worker, as it was measured.
    Time(Duration),
}

/// Requests in the order of their arrival.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    /// Of the first arrival.
    wall_ms: u64,
    arrivals: Vec<Arrival>,
}

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Read(#[from] std::io::Error),
    /// The first line is none of the formats.
    #[error(
        "line 1 is neither `TIMESTAMP,ContextTokens,GeneratedTokens` nor `timestamp,service_seconds` \
         nor a line of an access log in JSON"
    )]
    Format,
    /// A line does not have the form of the first.
    #[error("line {line}: {rule}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What it must be.
        rule: String,
    },
    /// There is nothing to replay.
    #[error("holds no request")]
    Empty,
}

/// A point in time as traces write it, in nanoseconds since some beginning of its own.
pub(crate) fn stamp_nanos(text: &str) -> Option<u128> {
    Some(line::stamp(text)?.nanos())
}

impl Trace {
    /// Reads a trace. Lines of an access log that reached no worker are left out: how long they
    /// would have taken is not known. `progress` is told how many bytes were read so far.
    ///
    /// # Errors
    ///
    /// [`TraceError`], with the line.
    pub fn read(
        mut reader: impl BufRead,
        mut progress: impl FnMut(u64),
    ) -> Result<Self, TraceError> {
        let mut format = None;
        let mut read = 0;
        let mut arrivals = Vec::new();
        let mut text = String::new();
        for number in 1.. {
            text.clear();
            let bytes = reader.read_line(&mut text)?;
            if bytes == 0 {
                break;
            }
            read += bytes as u64;
            progress(read);
            let line = text.trim_end();
            let line = line.strip_prefix('\u{feff}').unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let format = match format {
                Some(format) => format,
                None => {
                    let (found, is_heading) = Format::of(line).ok_or(TraceError::Format)?;
                    format = Some(found);
                    if is_heading {
                        continue;
                    }
                    found
                }
            };
            let parsed = format
                .parse(line)
                .map_err(|rule| TraceError::Line { line: number, rule })?;
            arrivals.extend(parsed);
        }
        Self::from_stamped(arrivals)
    }

    /// Requests that came at these times, in any order.
    fn from_stamped(mut stamped: Vec<(Stamp, Work)>) -> Result<Self, TraceError> {
        stamped.sort_by_key(|(stamp, _)| *stamp);
        let first = stamped.first().ok_or(TraceError::Empty)?.0;
        let since_first = |stamp: Stamp| {
            let nanos = stamp.nanos() - first.nanos();
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 4))
        };
        let arrivals = stamped.into_iter().map(|(stamp, work)| Arrival {
            at: since_first(stamp),
            work,
        });
        Ok(Self {
            wall_ms: u64::try_from(first.nanos() / 1_000_000).unwrap_or(0),
            arrivals: arrivals.collect(),
        })
    }

    /// A trace of these requests, which are brought into order.
    pub fn new(mut arrivals: Vec<Arrival>) -> Self {
        arrivals.sort_by_key(|arrival| arrival.at);
        Self {
            wall_ms: 0,
            arrivals,
        }
    }

    /// The requests, the earliest first.
    pub fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }

    /// What wall clocks said at the first arrival, in milliseconds since 1970, for schedules. A trace
    /// that counts seconds from 0 begins in 1970, on a Thursday.
    pub fn wall_ms(&self) -> u64 {
        self.wall_ms
    }

    /// From the first arrival to the last.
    pub fn length(&self) -> Duration {
        self.arrivals
            .last()
            .map_or(Duration::ZERO, |arrival| arrival.at)
    }

    /// The same requests at `factor` times the rate, in a `factor`th of the time; above 0.
    pub fn faster(&self, factor: f64) -> Self {
        let arrivals = self.arrivals.iter().map(|arrival| Arrival {
            at: Duration::try_from_secs_f64(arrival.at.as_secs_f64() / factor)
                .unwrap_or(Duration::MAX / 4),
            work: arrival.work,
        });
        Self {
            wall_ms: self.wall_ms,
            arrivals: arrivals.collect(),
        }
    }
}

#[cfg(test)]
mod tests;
