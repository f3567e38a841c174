//! The access log: one line per request, written by a thread of its own.
//!
//! A request only formats its line and appends it to a bounded buffer (`lines`): a slow disk must not
//! slow requests.

mod current;
mod line;

use std::{
    cell::RefCell,
    io::{self, IsTerminal},
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use penstock_config::{AccessLog as Settings, AccessLogTo, LogFormat};

use crate::{
    base::lines::{Lines, LogFile, Output},
    count::tokens::Told,
};
pub(crate) use current::CurrentLog;

/// How long the writer waits for more after the first line. A person who watches sees no delay.
const LINGER: Duration = Duration::from_millis(50);

/// How long the end of the program waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Bytes at which a log that nobody asked for is begun anew.
const UNASKED_BYTES: u64 = 16 << 20;

/// Everything a line tells of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccessRecord<'a> {
    /// The id under which the worker and the client know it.
    pub(crate) request_id: &'a str,
    /// The peer.
    pub(crate) client: SocketAddr,
    /// As the client sent it; so are host, path and protocol. The path with its query, which is not
    /// written unless the settings say so.
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) protocol: &'a str,
    /// Where it was routed to.
    pub(crate) service: Option<&'a str>,
    pub(crate) deployment: Option<&'a str>,
    /// Name of the API key that let it in.
    pub(crate) api_key: Option<&'a str>,
    /// Its class in the queue.
    pub(crate) class: Option<&'a str>,
    /// Slot of the last worker that had it.
    pub(crate) worker: Option<u32>,
    /// Status of the answer.
    pub(crate) status: u16,
    /// Slug of the gateway's reason when it made the answer or cut it off.
    pub(crate) reason: Option<&'a str>,
    /// What exactly happened then.
    pub(crate) detail: Option<&'a str>,
    /// Bytes of the request's body.
    pub(crate) bytes_in: u64,
    /// Bytes of the answer's body.
    pub(crate) bytes_out: u64,
    /// Time in the queue.
    pub(crate) queue_wait: Option<Duration>,
    /// Time to open a connection to the worker.
    pub(crate) connect: Option<Duration>,
    /// From the request head to the first byte of the answer's body.
    pub(crate) first_byte: Option<Duration>,
    /// From the request head to the end of the answer.
    pub(crate) duration: Duration,
    /// Attempts after the first.
    pub(crate) retries: u32,
    /// What is known of a model's answer.
    pub(crate) model: Option<ModelRecord<'a>>,
}

/// What is told of a model's answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModelRecord<'a> {
    /// Where it is known.
    pub(crate) model: Option<&'a str>,
    pub(crate) told: Told,
    /// From the request head to the first token.
    pub(crate) first_token: Option<Duration>,
}

/// An open access log.
#[derive(Debug)]
pub(crate) struct AccessLog {
    format: LogFormat,
    shows_query: bool,
    lines: Lines,
}

impl AccessLog {
    /// Opens what the settings name; `None` when the log is off.
    pub(crate) fn open(settings: &Settings) -> io::Result<Option<Self>> {
        let output = match &settings.to {
            AccessLogTo::Nowhere => return Ok(None),
            AccessLogTo::Stdout => Output::stdout()?,
            AccessLogTo::File(path) => Output::File(LogFile::open(path)?),
            AccessLogTo::Unasked(path) => match unasked(path) {
                Some(output) => output,
                None => return Ok(None),
            },
        };
        let dropped = "penstock_access_log_dropped_total";
        Ok(Some(Self {
            format: settings.format,
            shows_query: settings.query,
            lines: Lines::start("access-log", output, LINGER, dropped)?,
        }))
    }

    /// Writes a line, dated now.
    #[allow(
        clippy::disallowed_methods,
        reason = "a log line carries the time of day"
    )]
    pub(crate) fn record(&self, record: &AccessRecord<'_>) {
        self.record_at(SystemTime::now(), record);
    }

    /// Opens the file again before the next line is written: it was moved away.
    pub(crate) fn reopen(&self) {
        self.lines.reopen();
    }

    /// Waits a moment for the last lines to be written.
    pub(crate) fn finish(&self) {
        self.lines.finish(LAST_LINES);
    }

    fn record_at(&self, now: SystemTime, record: &AccessRecord<'_>) {
        thread_local! {
            static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        let path = match self.shows_query {
            true => record.path,
            false => without_query(record.path),
        };
        let record = &AccessRecord { path, ..*record };
        LINE.with_borrow_mut(|line| {
            line.clear();
            match self.format {
                LogFormat::Text => line::text(line, now, record),
                LogFormat::Json => line::json(line, now, record),
            }
            self.lines.push(line);
        });
    }
}

/// Where the log goes when nobody said anything: at a terminal lines would flood what the user reads, so
/// that they go to a file. That it cannot be written keeps nobody from working.
fn unasked(path: &std::path::Path) -> Option<Output> {
    if !io::stdout().is_terminal() {
        return Output::stdout().ok();
    }
    match LogFile::open_rotated(path, UNASKED_BYTES) {
        Ok(file) => Some(Output::File(file)),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "there is no access log; gateway.access_log chooses another file, or \"off\"");
            None
        }
    }
}

/// Up to and with the question mark: queries hold keys and what users typed.
fn without_query(path: &str) -> &str {
    path.split_inclusive('?').next().unwrap_or(path)
}

#[cfg(test)]
mod tests;
