//! From what a container writes to the worker's log file.

use std::{path::Path, sync::Arc, time::Duration};

use bollard::{container::LogOutput, query_parameters::LogsOptions};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::{task::spawn_blocking, time::sleep};

use super::engine::{Engine, Trouble};
use crate::driver::process::{Lines, LogOrder, LogWriter, for_reason, log_time, logs::last_texts};

/// How long is waited before the engine is asked again after it went away.
const AGAIN: Duration = Duration::from_secs(1);

/// How much of a log is looked through for where an earlier run stopped reading.
const LOOKED_THROUGH: usize = 2000;

/// The log of one worker.
#[derive(Debug)]
pub(super) struct Log {
    writer: Mutex<LogWriter>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last line on standard error that was not blank, fit for a reason.
    last_error: Option<String>,
    dropped: u64,
    /// Where to go on after the stream broke.
    seen: Seen,
}

/// The time of the last lines that are in the log, and how many lines have it: the engine tells lines
/// again from a time on, and times are the same for several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    time: String,
    lines: usize,
}

impl Seen {
    /// What the log file has of `out` and `err`.
    fn of_texts(texts: &[String]) -> Self {
        let mut seen = Self::default();
        for text in texts {
            let mut words = text.splitn(3, ' ');
            if let (Some(time), Some("out" | "err")) = (words.next(), words.next()) {
                seen.note(time);
            }
        }
        seen
    }

    fn note(&mut self, time: &str) {
        if self.time == time {
            self.lines += 1;
        } else {
            *self = Self {
                time: time.to_owned(),
                lines: 1,
            };
        }
    }

    /// Seconds since 1970 to ask the engine for; 0 for all.
    fn since(&self) -> i32 {
        let time: Option<Timestamp> = self.time.parse().ok();
        time.and_then(|time| i32::try_from(time.as_second()).ok())
            .unwrap_or(0)
    }
}

impl Log {
    /// Opens the log of a new worker.
    pub(super) async fn open(order: LogOrder) -> Result<Arc<Self>, String> {
        let opened = spawn_blocking(move || {
            let path = order.path.clone();
            LogWriter::open(order).map_err(|error| format!("log {}: {error}", path.display()))
        });
        let writer = opened.await.map_err(|error| error.to_string())??;
        Ok(Arc::new(Self {
            writer: Mutex::new(writer),
            state: Mutex::default(),
        }))
    }

    /// Goes on with the log of a worker that an earlier run started.
    pub(super) async fn go_on(order: LogOrder) -> Result<Arc<Self>, String> {
        let path = order.path.clone();
        let log = Self::open(order).await?;
        let seen = spawn_blocking(move || seen_in(&path)).await;
        log.state.lock().seen = seen.unwrap_or_default();
        Ok(log)
    }

    /// Writes a line of our own.
    pub(super) fn note(&self, text: &str) {
        self.write(&log_time().to_string(), "note", text);
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.state.lock().last_error.clone()
    }

    fn write(&self, time: &str, stream: &str, line: &str) {
        let mut state = self.state.lock();
        if stream != "note" {
            state.seen.note(time);
        }
        if stream == "err" && !line.trim().is_empty() {
            state.last_error = Some(for_reason(line));
        }
        let mut text = String::new();
        if state.dropped > 0 {
            let dropped = state.dropped;
            text += &format!("{time} note {dropped} lines dropped: the disk is too slow\n");
        }
        text += &format!("{time} {stream} {line}\n");
        if self.writer.lock().write(text.into_bytes()) {
            state.dropped = 0;
        } else {
            state.dropped += 1;
        }
    }

    /// Copies all that the container writes, and what it wrote while nobody listened, until it has ended.
    pub(super) async fn copy(&self, engine: &Engine, container: &str) {
        loop {
            match self.copy_once(engine, container).await {
                // All that there was.
                Ok(()) if !runs(engine, container).await => return,
                Err(Trouble::NotThere(_)) => return,
                Ok(()) | Err(_) => sleep(AGAIN).await,
            }
        }
    }

    async fn copy_once(&self, engine: &Engine, container: &str) -> Result<(), Trouble> {
        let docker = engine.patient_client().await?;
        let seen = self.state.lock().seen.clone();
        let options = LogsOptions {
            follow: true,
            stdout: true,
            stderr: true,
            timestamps: true,
            since: seen.since(),
            ..Default::default()
        };
        let mut frames = std::pin::pin!(docker.logs(container, Some(options)));
        let mut fresh = Fresh::after(seen);
        let (mut out, mut err) = (Lines::default(), Lines::default());
        let mut time = log_time().to_string();
        let mut result = Ok(());
        while let Some(frame) = frames.next().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    result = Err(engine.trouble(&error));
                    break;
                }
            };
            let (stream, lines, bytes) = match &frame {
                LogOutput::StdErr { message } => ("err", &mut err, message),
                LogOutput::StdOut { message }
                | LogOutput::Console { message }
                | LogOutput::StdIn { message } => ("out", &mut out, message),
            };
            let (at, bytes) = timed(bytes);
            time = at.unwrap_or(time);
            lines.feed(bytes, |line| {
                if fresh.is_new(&time) {
                    self.write(&time, stream, line);
                }
            });
        }
        for (stream, lines) in [("out", &mut out), ("err", &mut err)] {
            lines.end(|line| {
                if fresh.is_new(&time) {
                    self.write(&time, stream, line);
                }
            });
        }
        result
    }

    /// Waits until the disk has it, elsewhere.
    pub(super) fn close(self: Arc<Self>) {
        spawn_blocking(move || drop(self));
    }
}

/// Tells lines that were not seen from those that were.
#[derive(Debug)]
struct Fresh {
    seen: Seen,
    skipped: usize,
}

impl Fresh {
    fn after(seen: Seen) -> Self {
        Self { seen, skipped: 0 }
    }

    /// `time` is that of the next line; times are text of one length, so that their order is that of
    /// the letters.
    fn is_new(&mut self, time: &str) -> bool {
        if time > self.seen.time.as_str() {
            return true;
        }
        if time == self.seen.time {
            self.skipped += 1;
            return self.skipped > self.seen.lines;
        }
        false
    }
}

async fn runs(engine: &Engine, container: &str) -> bool {
    let Ok(docker) = engine.client().await else {
        // It says nothing; it may.
        return true;
    };
    match docker.inspect_container(container, None).await {
        Ok(found) => found.state.and_then(|state| state.running) == Some(true),
        Err(error) => !matches!(engine.trouble(&error), Trouble::NotThere(_)),
    }
}

/// The time in front of what the engine tells, as our logs have it.
fn timed(bytes: &[u8]) -> (Option<String>, &[u8]) {
    let Some(space) = bytes.iter().take(64).position(|&byte| byte == b' ') else {
        return (None, bytes);
    };
    let time = std::str::from_utf8(&bytes[..space]).ok();
    let time = time.and_then(|text| text.parse::<Timestamp>().ok());
    match time {
        Some(time) => (Some(format!("{time:.3}")), &bytes[space + 1..]),
        None => (None, bytes),
    }
}

fn seen_in(path: &Path) -> Seen {
    Seen::of_texts(&last_texts(path, LOOKED_THROUGH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_becomes_that_of_our_logs() {
        let (time, rest) = timed(b"2026-11-30T11:44:32.123456789Z hello you\n");
        assert_eq!(time.as_deref(), Some("2026-11-30T11:44:32.123Z"));
        assert_eq!(rest, b"hello you\n");
        let (time, _) = timed(b"2026-11-30T12:44:32.1+01:00 x");
        assert_eq!(time.as_deref(), Some("2026-11-30T11:44:32.100Z"));
        assert_eq!(timed(b"hello you"), (None, &b"hello you"[..]));
        assert_eq!(timed(b""), (None, &b""[..]));
    }

    #[test]
    fn no_line_is_lost_or_told_twice_when_reading_goes_on() {
        let texts = [
            "2026-11-30T11:44:32.100Z out a",
            "2026-11-30T11:44:32.200Z out b",
            "2026-11-30T11:44:32.200Z err c",
            "2026-11-30T11:44:33.000Z note not of the container",
        ];
        let texts = texts.map(str::to_owned);
        let seen = Seen::of_texts(&texts);
        assert_eq!(
            (seen.time.as_str(), seen.lines),
            ("2026-11-30T11:44:32.200Z", 2)
        );
        assert_eq!(seen.since(), 1_796_039_072);
        let mut fresh = Fresh::after(seen);
        let told = ["32.100Z", "32.200Z", "32.200Z", "32.200Z", "32.201Z"];
        let new = told.map(|end| fresh.is_new(&format!("2026-11-30T11:44:{end}")));
        assert_eq!(new, [false, false, false, true, true]);
    }

    #[test]
    fn an_empty_log_has_seen_nothing() {
        let seen = Seen::of_texts(&[]);
        assert_eq!(seen.since(), 0);
        assert!(Fresh::after(seen).is_new("2026-11-30T11:44:32.200Z"));
    }
}
