//! Goes on reading logs while they are written.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use penstock_config::WorkerLogs;

use super::{
    LogFile, LogFilter, LogLine, by_time, end_of_file, files, newest, rotated, with_rotated,
};

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
    pub fn new(
        logs: WorkerLogs,
        filter: LogFilter,
        count: usize,
    ) -> io::Result<(Self, Vec<LogLine>)> {
        let mut known = BTreeMap::new();
        let mut lines = Vec::new();
        for file in files(&logs, &filter)? {
            // From the same open file, so that no line comes twice or is left out between them.
            let (texts, reader) = Reader::after_last_line(&file.path, count)?;
            let texts = with_rotated(&file.path, texts, count)?;
            lines.extend(texts.into_iter().map(|text| file.line(text)));
            known.insert(file.path.clone(), reader);
        }
        newest(&mut lines, count);
        let follower = Self {
            logs,
            filter,
            known,
        };
        Ok((follower, lines))
    }

    /// The lines that were written since the last call, in the order of their times.
    ///
    /// # Errors
    ///
    /// When a file or the folder cannot be read.
    pub fn new_lines(&mut self) -> io::Result<Vec<LogLine>> {
        let files = files(&self.logs, &self.filter)?;
        let mut lines = new_lines(&files, &mut self.known)?;
        lines.sort_by(by_time);
        Ok(lines)
    }
}

fn new_lines(files: &[LogFile], known: &mut BTreeMap<PathBuf, Reader>) -> io::Result<Vec<LogLine>> {
    let mut lines = Vec::new();
    for file in files {
        let mut add = |text| lines.push(file.line(text));
        let reader = known.entry(file.path.clone()).or_default();
        match reader.read(&file.path, &mut add) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // Rotated just now: it is there again the next time.
            _ => {}
        }
    }
    Ok(lines)
}

/// A place in a log.
#[derive(Debug, Default)]
struct Reader {
    open: Option<BufReader<fs::File>>,
    begun: Vec<u8>,
}

impl Reader {
    /// The last lines of a file, and a reader that goes on after them.
    fn after_last_line(path: &Path, count: usize) -> io::Result<(Vec<String>, Self)> {
        let mut file = fs::File::open(path)?;
        let (lines, end) = end_of_file(&mut file, count)?;
        file.seek(SeekFrom::Start(end))?;
        let reader = Self {
            open: Some(BufReader::new(file)),
            begun: Vec::new(),
        };
        Ok((lines, reader))
    }

    /// Reads what is new, first to the end of the file that was current before.
    fn read(&mut self, path: &Path, add: &mut impl FnMut(String)) -> io::Result<()> {
        let now = fs::metadata(path)?;
        if let Some(open) = &mut self.open {
            let before = open.get_ref().metadata()?;
            lines(open, &mut self.begun, add)?;
            if before.ino() == now.ino() {
                return Ok(());
            }
        }
        for mut missed in missed(path, self.open.as_ref())? {
            lines(&mut missed, &mut self.begun, add)?;
        }
        self.begun.clear();
        let open = self.open.insert(BufReader::new(fs::File::open(path)?));
        lines(open, &mut self.begun, add)
    }
}

/// The files that were begun and rotated away since `last` was read, the oldest first.
fn missed(path: &Path, last: Option<&BufReader<fs::File>>) -> io::Result<Vec<BufReader<fs::File>>> {
    let Some(last) = last else {
        return Ok(Vec::new());
    };
    let last = last.get_ref().metadata()?.ino();
    let mut missed = Vec::new();
    for number in 1.. {
        let Ok(file) = fs::File::open(rotated(path, number)) else {
            break;
        };
        if file.metadata()?.ino() == last {
            missed.reverse();
            return Ok(missed);
        }
        missed.push(BufReader::new(file));
    }
    // Not kept any more: where to go on is not known.
    Ok(Vec::new())
}

fn lines(
    file: &mut BufReader<fs::File>,
    begun: &mut Vec<u8>,
    add: &mut impl FnMut(String),
) -> io::Result<()> {
    while file.read_until(b'\n', begun)? > 0 {
        if begun.pop_if(|last| *last == b'\n').is_some() {
            add(String::from_utf8_lossy(begun).into_owned());
            begun.clear();
        }
    }
    Ok(())
}
