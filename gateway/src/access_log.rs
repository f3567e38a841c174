//! The access log: one line per request, written by a thread of its own.
//!
//! A request only formats its line and appends it to a bounded buffer. When the disk does not keep
//! up the buffer fills, and lines are dropped and counted: a slow disk must not slow requests.

mod current;
mod line;
mod sink;

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use penstock_config::{AccessLog as Settings, LogFormat};

pub(crate) use current::CurrentLog;
use sink::{Output, Sink};

/// Everything a line tells of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccessRecord<'a> {
    /// The id under which the worker and the client know it.
    pub(crate) request_id: &'a str,
    /// The peer.
    pub(crate) client: SocketAddr,
    /// As the client sent it; so are host, path (with query) and protocol.
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
}

/// An open access log. Dropping it writes what is buffered and ends its thread.
#[derive(Debug)]
pub(crate) struct AccessLog {
    format: LogFormat,
    sink: Arc<Sink>,
    writer: Option<JoinHandle<()>>,
}

impl AccessLog {
    /// Opens what the settings name; `None` when the log is off. A file is created when missing and
    /// appended to.
    pub(crate) fn open(settings: &Settings) -> io::Result<Option<Self>> {
        let (output, format) = match settings {
            Settings::Off => return Ok(None),
            Settings::Stdout(format) => (Output::stdout(), *format),
            Settings::File(path, format) => (Output::file(path)?, *format),
        };
        Self::writing_to(output, format).map(Some)
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
        self.sink.reopen();
    }

    fn record_at(&self, now: SystemTime, record: &AccessRecord<'_>) {
        thread_local! {
            static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            match self.format {
                LogFormat::Text => line::text(line, now, record),
                LogFormat::Json => line::json(line, now, record),
            }
            self.sink.push(line);
        });
    }

    fn writing_to(output: Output, format: LogFormat) -> io::Result<Self> {
        let sink = Arc::new(Sink::default());
        let for_writer = Arc::clone(&sink);
        let writer = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || for_writer.write_to(output))?;
        Ok(Self {
            format,
            sink,
            writer: Some(writer),
        })
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.sink.close();
        if let Some(writer) = self.writer.take() {
            // It panics on nothing, and if it did, no log line could tell.
            let _ = writer.join();
        }
    }
}

#[cfg(test)]
mod tests;
