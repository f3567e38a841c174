//! Goes on reading logs while they are written.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use penstock_config::WorkerLogs;

use super::{
    BYTES_MAX, LogFilter, LogLine, Tail, bytes_of_each,
    end::{End, end_of_file, with_rotated},
    files, rotated,
};
use crate::private;

/// Longest line, in bytes; the supervisor writes none that is longer.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// Reads logs that are being written, of workers yet to come too, and across rotations.
///
/// Every call reads files, so an async caller makes it on a thread that may block; between calls
/// it waits as long as new lines may be late.
#[derive(Debug)]
pub struct Follower {
    logs: WorkerLogs,
    filter: LogFilter,
    known: BTreeMap<PathBuf, Reader>,
}

impl Follower {
    /// Begins after the last `count` lines, which come back too.
    ///
    /// # Errors
    ///
    /// When a file or the folder cannot be read.
    pub fn new(logs: WorkerLogs, filter: LogFilter, count: usize) -> io::Result<(Self, Tail)> {
        let mut known = BTreeMap::new();
        let mut tail = Tail {
            lines: Vec::new(),
            cut: false,
        };
        let files = files(&logs, &filter)?;
        let bytes_max = bytes_of_each(&files);
        for file in &files {
            // From the same open file, so that no line comes twice or is left out between them.
            let (end, reader) = Reader::after_last_line(&file.path, count, bytes_max)?;
            let end = with_rotated(&file.path, end, count, bytes_max)?;
            tail.add(file, end.lines, end.cut, count);
            known.insert(file.path.clone(), reader);
        }
        tail.finish(count);
        let follower = Self {
            logs,
            filter,
            known,
        };
        Ok((follower, tail))
    }

    /// Lines that were written since the last call, in the order of their times. As many as fit into
    /// [`BYTES_MAX`]; the next call goes on with the rest.
    ///
    /// # Errors
    ///
    /// When a file or the folder cannot be read.
    pub fn new_lines(&mut self) -> io::Result<Vec<LogLine>> {
        let mut lines: Vec<LogLine> = Vec::new();
        let files = files(&self.logs, &self.filter)?;
        for file in &files {
            let reader = self.known.entry(file.path.clone()).or_default();
            let mut add = |text: &str| lines.push(file.line(text));
            match reader.read(&file.path, bytes_of_each(&files), &mut add) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                // Rotated just now: it is there again the next time.
                _ => {}
            }
        }
        self.known
            .retain(|path, _| files.iter().any(|file| file.path == *path));
        lines.sort_by(|one, other| one.time().cmp(other.time()));
        Ok(lines)
    }

    /// How many bytes of lines make a full batch, after which more may wait already.
    pub fn is_full(lines: &[LogLine]) -> bool {
        lines.iter().map(|line| line.text.len()).sum::<usize>() >= BYTES_MAX / 2
    }
}

/// A place in a log.
#[derive(Debug, Default)]
struct Reader {
    open: Option<BufReader<fs::File>>,
    begun: Vec<u8>,
}

impl Reader {
    /// The last lines of a file, and a reader that goes on after them.
    fn after_last_line(path: &Path, count: usize, bytes_max: usize) -> io::Result<(End, Self)> {
        let mut file = private::open_to_read(path)?;
        let end = end_of_file(&mut file, count, bytes_max)?;
        file.seek(SeekFrom::Start(end.at))?;
        let reader = Self {
            open: Some(BufReader::new(file)),
            begun: Vec::new(),
        };
        Ok((end, reader))
    }

    /// Reads what is new, of no more than about `bytes_max` bytes: first to the end of the file that
    /// was current before, then those that were rotated away meanwhile, then the current one.
    fn read(
        &mut self,
        path: &Path,
        bytes_max: usize,
        add: &mut impl FnMut(&str),
    ) -> io::Result<()> {
        let mut left = bytes_max;
        loop {
            if let Some(open) = &mut self.open {
                if !lines(open, &mut self.begun, &mut left, add)? {
                    return Ok(());
                }
                let (read, now) = (open.get_ref().metadata()?, fs::symlink_metadata(path)?);
                if (read.dev(), read.ino()) == (now.dev(), now.ino()) {
                    return Ok(());
                }
            }
            let next = match &self.open {
                Some(open) => after(path, open)?,
                None => None,
            };
            let next = match next {
                Some(next) => next,
                None => private::open_to_read(path)?,
            };
            self.begun.clear();
            self.open = Some(BufReader::new(next));
        }
    }
}

/// The file that was begun after `last` and is rotated away by now; `None` when that is the current
/// one, or not kept any more.
fn after(path: &Path, last: &BufReader<fs::File>) -> io::Result<Option<fs::File>> {
    let last = last.get_ref().metadata()?.ino();
    let mut younger = None;
    for number in 1.. {
        let Ok(file) = private::open_to_read(&rotated(path, number)) else {
            break;
        };
        if file.metadata()?.ino() == last {
            return Ok(younger);
        }
        younger = Some(file);
    }
    Ok(None)
}

/// Hands on whole lines while `left` lasts. `false` when it did not last to the end of the file.
fn lines(
    file: &mut BufReader<fs::File>,
    begun: &mut Vec<u8>,
    left: &mut usize,
    add: &mut impl FnMut(&str),
) -> io::Result<bool> {
    loop {
        if *left == 0 {
            return Ok(false);
        }
        let room = LINE_BYTES_MAX.saturating_sub(begun.len() as u64).max(1);
        let count = file.by_ref().take(room).read_until(b'\n', begun)?;
        if count == 0 {
            return Ok(true);
        }
        *left = left.saturating_sub(count);
        let is_whole = begun.pop_if(|last| *last == b'\n').is_some();
        if is_whole || begun.len() as u64 >= LINE_BYTES_MAX {
            add(&String::from_utf8_lossy(begun));
            begun.clear();
        }
    }
}
