//! Reads the logs of workers: what `penstock logs` shows.
//!
//! The files are `{directory}/{service}/{deployment}-{slot}.log`, then `.log.1` (the youngest
//! rotated one), `.log.2` and so on. A line is `TIME STREAM TEXT`: UTC as RFC 3339 writes it; `out`,
//! `err` or, for what the supervisor says, `note`; and what the worker wrote.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use penstock_config::{DeploymentName, ServiceName, WorkerLogs};

use self::end::last_lines;
use super::supervisor::{EXIT_NOTE, START_NOTE, log_file::rotated, wire::LogOrder};
use crate::plain_text::plain;

mod end;
mod follow;
pub use follow::Follower;

/// Most bytes of lines that are read at once, of all logs together: they are in memory until they are
/// sent, and a line may have 16 KiB.
pub const BYTES_MAX: usize = 8 << 20;

/// What is read of each log at least, however many there are.
const FILE_BYTES_MIN: usize = 64 << 10;

/// The logs that are wanted.
#[derive(Debug, Clone)]
pub struct LogFilter {
    /// Of this service,
    pub service: ServiceName,
    /// of one deployment or all,
    pub deployment: Option<DeploymentName>,
    /// of the workers in one slot or all.
    pub slot: Option<u32>,
}

/// The log of the workers that had one slot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogFile {
    /// Their deployment.
    pub deployment: String,
    /// Their slot.
    pub slot: u32,
    /// The file that is written now.
    pub path: PathBuf,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The deployment of the worker.
    pub deployment: String,
    /// The slot of the worker.
    pub slot: u32,
    /// `TIME STREAM TEXT`, without control characters.
    pub text: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{} {}", self.deployment, self.slot, self.text)
    }
}

/// The file of a slot.
pub(crate) fn path(
    directory: &Path,
    service: &ServiceName,
    deployment: &DeploymentName,
    slot: u32,
) -> PathBuf {
    let folder = directory.join(service.as_str());
    folder.join(format!("{deployment}-{slot}.log"))
}

/// How the log of a slot is to be written.
pub(crate) fn order(
    logs: &WorkerLogs,
    service: &ServiceName,
    deployment: &DeploymentName,
    slot: u32,
) -> LogOrder {
    LogOrder {
        path: path(&logs.directory, service, deployment, slot),
        max_bytes: logs.max_bytes,
        keep: logs.keep,
    }
}

/// The last lines of a log as they stand in the file; none when it cannot be read.
pub(crate) fn last_texts(path: &Path, count: usize) -> Vec<String> {
    let end = last_lines(path, count, BYTES_MAX);
    end.map(|end| end.lines).unwrap_or_default()
}

/// The logs that `filter` wants, ordered by deployment and slot. None when there are none yet.
///
/// # Errors
///
/// When the folder cannot be read.
pub fn files(logs: &WorkerLogs, filter: &LogFilter) -> io::Result<Vec<LogFile>> {
    let folder = logs.directory.join(filter.service.as_str());
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        // A link may lead anywhere, and a pipe would be waited for.
        if !entry.file_type()?.is_file() {
            continue;
        }
        let path = entry.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let stem = name.and_then(|name| name.strip_suffix(".log"));
        let parts = stem.and_then(|stem| stem.rsplit_once('-'));
        let Some((deployment, slot)) = parts else {
            continue;
        };
        let Ok(slot) = slot.parse() else { continue };
        let wanted = filter.deployment.as_ref();
        if wanted.is_none_or(|wanted| wanted.as_str() == deployment)
            && filter.slot.is_none_or(|wanted| wanted == slot)
        {
            let deployment = deployment.to_owned();
            files.push(LogFile {
                deployment,
                slot,
                path,
            });
        }
    }
    files.sort();
    Ok(files)
}

/// The end of several logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The last lines, in the order of their times.
    pub lines: Vec<LogLine>,
    /// Whether there are fewer than were asked for because of their length: [`BYTES_MAX`].
    pub cut: bool,
}

/// The last `count` lines of several logs together, in the order of their times.
///
/// # Errors
///
/// When a file cannot be read; one that is gone has no lines.
pub fn tail(files: &[LogFile], count: usize) -> io::Result<Tail> {
    let mut tail = Tail {
        lines: Vec::new(),
        cut: false,
    };
    for file in files {
        let end = last_lines(&file.path, count, bytes_of_each(files))?;
        tail.add(file, end.lines, end.cut, count);
    }
    tail.finish(count);
    Ok(tail)
}

/// What may be read of each of these logs.
fn bytes_of_each(files: &[LogFile]) -> usize {
    (BYTES_MAX / files.len().max(1)).max(FILE_BYTES_MIN)
}

impl Tail {
    fn add(&mut self, file: &LogFile, texts: Vec<String>, cut: bool, count: usize) {
        self.cut |= cut;
        self.lines
            .extend(texts.into_iter().map(|text| file.line(&text)));
        // Now and then, so that what is in memory is bounded however many logs there are.
        if self.lines.len() / 2 > count {
            self.finish(count);
        }
    }

    /// Brings the lines into the order of their times and leaves the last `count`, as far as they fit.
    fn finish(&mut self, count: usize) {
        // Stable, so that lines of one file keep their order whatever their times.
        self.lines
            .sort_by(|one, other| one.time().cmp(other.time()));
        self.lines.drain(..self.lines.len().saturating_sub(count));
        let mut bytes = 0;
        let fitting = self.lines.iter().rev().take_while(|line| {
            bytes += line.text.len();
            bytes <= BYTES_MAX
        });
        let over = self.lines.len() - fitting.count();
        self.cut |= over > 0;
        self.lines.drain(..over);
    }
}

impl LogFile {
    fn line(&self, text: &str) -> LogLine {
        LogLine {
            deployment: self.deployment.clone(),
            slot: self.slot,
            text: plain(text).into_owned(),
        }
    }
}

impl LogLine {
    fn time(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }
}

/// How much of a log is looked through for how its worker ended.
const EXIT_LINES: usize = 1000;

/// How the last worker of a log ended, if it did.
pub(crate) fn exit_reason(path: &Path) -> Option<String> {
    let lines = last_lines(path, EXIT_LINES, BYTES_MAX).ok()?.lines;
    // Only the supervisor writes notes: a worker may write whatever it likes, in its own streams.
    let mut notes = lines.iter().rev().filter_map(|line| {
        let (_time, rest) = line.split_once(' ')?;
        rest.strip_prefix("note ")
    });
    let last = notes.find(|note| note.starts_with(EXIT_NOTE) || note.starts_with(START_NOTE))?;
    last.strip_prefix(EXIT_NOTE).map(str::to_owned)
}

#[cfg(test)]
mod tests;
