//! Goes on reading logs while they are written.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use penstock_config::WorkerLogs;

use super::{LogFile, LogFilter, LogLine, by_time, files, tail};

/// From one look at the files to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Hands on the last `count` lines and then every new one, of new workers too, across rotations.
/// Never returns unless something fails.
///
/// # Errors
///
/// When a file or the folder cannot be read.
pub async fn follow(
    logs: &WorkerLogs,
    filter: &LogFilter,
    count: usize,
    mut on_line: impl FnMut(LogLine),
) -> io::Result<()> {
    let mut known = BTreeMap::new();
    let first = files(logs, filter)?;
    for file in &first {
        known.insert(file.path.clone(), Reader::at_end(&file.path)?);
    }
    tail(&first, count)?.into_iter().for_each(&mut on_line);
    loop {
        let mut lines = new_lines(&files(logs, filter)?, &mut known)?;
        lines.sort_by(by_time);
        lines.into_iter().for_each(&mut on_line);
        tokio::time::sleep(LOOK_AGAIN).await;
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
#[derive(Default)]
struct Reader {
    open: Option<BufReader<fs::File>>,
    begun: Vec<u8>,
}

impl Reader {
    fn at_end(path: &Path) -> io::Result<Self> {
        let mut file = fs::File::open(path)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self {
            open: Some(BufReader::new(file)),
            begun: Vec::new(),
        })
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
        self.begun.clear();
        let open = self.open.insert(BufReader::new(fs::File::open(path)?));
        lines(open, &mut self.begun, add)
    }
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
