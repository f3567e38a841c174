//! Reads the logs of workers: what `penstock logs` shows.
//!
//! The files are `{directory}/{service}/{deployment}-{slot}.log`, then `.log.1` (the youngest
//! rotated one), `.log.2` and so on. A line is `TIME STREAM TEXT`: UTC as RFC 3339 writes it; `out`,
//! `err` or, for what the supervisor says, `note`; and what the worker wrote.

use std::{
    cmp::Ordering,
    fmt, fs,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use penstock_config::{DeploymentName, ServiceName, WorkerLogs};

use super::supervisor::{EXIT_NOTE, START_NOTE, log_file::rotated};

mod follow;
pub use follow::Follower;

/// How much is read at once, going backwards from the end of a file.
const CHUNK_BYTES: u64 = 64 * 1024;

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
    /// `TIME STREAM TEXT`.
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
        let path = entry?.path();
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

/// The last `count` lines of several logs together, in the order of their times.
///
/// # Errors
///
/// When a file cannot be read; one that is gone has no lines.
pub fn tail(files: &[LogFile], count: usize) -> io::Result<Vec<LogLine>> {
    let mut lines = Vec::new();
    for file in files {
        let texts = last_lines(&file.path, count)?;
        lines.extend(texts.into_iter().map(|text| file.line(text)));
    }
    newest(&mut lines, count);
    Ok(lines)
}

/// Brings lines into the order of their times and leaves the last `count`.
fn newest(lines: &mut Vec<LogLine>, count: usize) {
    // Stable, so that lines of one file keep their order whatever their times.
    lines.sort_by(by_time);
    lines.drain(..lines.len().saturating_sub(count));
}

impl LogFile {
    fn line(&self, text: String) -> LogLine {
        LogLine {
            deployment: self.deployment.clone(),
            slot: self.slot,
            text,
        }
    }
}

fn by_time(one: &LogLine, other: &LogLine) -> Ordering {
    let time = |line: &LogLine| line.text.split(' ').next().map(str::to_owned);
    time(one).cmp(&time(other))
}

/// The last lines of a log, going on in the rotated files when the youngest has too few.
fn last_lines(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let (lines, _) = end_of_file(&mut file, count)?;
    with_rotated(path, lines, count)
}

/// `lines` of the youngest file, with those before them in rotated files, up to `count`.
fn with_rotated(path: &Path, mut lines: Vec<String>, count: usize) -> io::Result<Vec<String>> {
    for older in 1.. {
        if lines.len() >= count {
            break;
        }
        let mut file = match fs::File::open(rotated(path, older)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            file => file?,
        };
        let (mut found, _) = end_of_file(&mut file, count - lines.len())?;
        found.append(&mut lines);
        lines = found;
    }
    Ok(lines)
}

/// The last lines of one file, and the place where they end; a line that is not ended yet is left
/// out.
fn end_of_file(file: &mut fs::File, count: usize) -> io::Result<(Vec<String>, u64)> {
    let mut begin = file.metadata()?.len();
    let mut bytes: Vec<u8> = Vec::new();
    // One more line end than lines: that of the line before them.
    while begin > 0 && bytes.iter().filter(|&&byte| byte == b'\n').count() <= count {
        let chunk = begin.min(CHUNK_BYTES);
        begin -= chunk;
        file.seek(SeekFrom::Start(begin))?;
        let mut read = Vec::new();
        file.by_ref().take(chunk).read_to_end(&mut read)?;
        read.append(&mut bytes);
        bytes = read;
    }
    let whole = bytes.iter().rposition(|&byte| byte == b'\n');
    bytes.truncate(whole.map_or(0, |end| end + 1));
    let end = begin + bytes.len() as u64;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(count);
    let lines = lines[skipped..].iter().map(|&line| line.to_owned());
    Ok((lines.collect(), end))
}

/// How the last worker of a log ended, if it did.
pub(crate) fn exit_reason(path: &Path) -> Option<String> {
    let lines = last_lines(path, 1000).ok()?;
    let mut notes = lines
        .iter()
        .rev()
        .filter_map(|line| line.splitn(3, ' ').nth(2));
    let last = notes.find(|note| note.starts_with(EXIT_NOTE) || note.starts_with(START_NOTE))?;
    last.strip_prefix(EXIT_NOTE).map(str::to_owned)
}
