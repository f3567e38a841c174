//! From the pipes of a worker to its log file.

use std::{cell::RefCell, os::fd::OwnedFd, rc::Rc, time::SystemTime};

use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver, task::JoinHandle};

use super::{lines::Lines, log_file::LogWriter, wire::LogOrder};
use crate::plain_text::plain;

/// Most bytes read from a pipe at once.
const READ_BYTES: usize = 16 * 1024;

/// Longest part of a line that goes into a reason, in characters.
const REASON_CHARS_MAX: usize = 300;

/// The log of a worker: every line with its time and where it came from (`out`, `err`, or `note`
/// for our own).
pub(crate) struct Output {
    writer: LogWriter,
    /// The last line that was not blank on standard error.
    last_error: RefCell<Option<String>>,
    dropped: RefCell<u64>,
}

impl Output {
    /// Opens the log.
    ///
    /// # Errors
    ///
    /// What is wrong, for people.
    pub(crate) fn open(order: LogOrder) -> Result<Rc<Self>, String> {
        let path = order.path.display().to_string();
        let writer = LogWriter::open(order).map_err(|error| format!("log {path}: {error}"))?;
        Ok(Rc::new(Self {
            writer,
            last_error: RefCell::default(),
            dropped: RefCell::default(),
        }))
    }

    /// Writes a line of our own.
    pub(crate) fn note(&self, text: &str) {
        self.write(vec![text.to_owned()], "note");
    }

    /// Copies a pipe into the log until its last writer is gone.
    ///
    /// # Errors
    ///
    /// When the runtime does not take the pipe.
    pub(crate) fn copy(
        self: &Rc<Self>,
        pipe: OwnedFd,
        stream: &'static str,
    ) -> std::io::Result<JoinHandle<()>> {
        let mut pipe = Receiver::from_owned_fd(pipe)?;
        let output = Rc::clone(self);
        Ok(tokio::task::spawn_local(async move {
            let mut lines = Lines::default();
            let mut buffer = vec![0; READ_BYTES];
            loop {
                let mut whole = Vec::new();
                let count = pipe.read(&mut buffer).await.unwrap_or(0);
                match count {
                    0 => lines.end(|line| whole.push(line.to_owned())),
                    _ => lines.feed(&buffer[..count], |line| whole.push(line.to_owned())),
                }
                output.write(whole, stream);
                if count == 0 {
                    return;
                }
            }
        }))
    }

    /// The last line on standard error, fit for a reason.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.last_error.borrow().clone()
    }

    fn write(&self, lines: Vec<String>, stream: &str) {
        if lines.is_empty() {
            return;
        }
        if stream == "err" {
            let telling = lines.iter().rev().find(|line| !line.trim().is_empty());
            if let Some(line) = telling {
                self.last_error.replace(Some(for_reason(line)));
            }
        }
        let time = time();
        let mut text = String::new();
        let dropped = *self.dropped.borrow();
        if dropped > 0 {
            text += &format!("{time} note {dropped} lines dropped: the disk is too slow\n");
        }
        for line in &lines {
            text += &format!("{time} {stream} {line}\n");
        }
        let written = self.writer.write(text.into_bytes());
        let lost = if written {
            0
        } else {
            dropped + lines.len() as u64
        };
        self.dropped.replace(lost);
    }
}

/// A line fit for a reason: without colours and control characters, and of bounded length.
pub(crate) fn for_reason(line: &str) -> String {
    let visible = plain(line);
    let visible = visible
        .trim()
        .chars()
        .map(|char| if char == '\t' { ' ' } else { char });
    visible.take(REASON_CHARS_MAX).collect()
}

/// UTC with milliseconds, as RFC 3339 writes it.
#[allow(clippy::disallowed_methods, reason = "the clock of the worker logs")]
pub(crate) fn time() -> impl std::fmt::Display {
    humantime::format_rfc3339_millis(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_a_reason_has_neither_colours_nor_control_characters() {
        assert_eq!(
            for_reason(" \x1b[1;31mERROR\x1b[0m: out\tof memory\x07\n"),
            "ERROR: out of memory"
        );
        assert_eq!(for_reason("\x1b[31"), "");
        assert_eq!(
            for_reason(&"ä".repeat(1000)).chars().count(),
            REASON_CHARS_MAX
        );
    }
}
