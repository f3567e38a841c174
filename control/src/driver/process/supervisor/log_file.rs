//! The log file of a worker: rotated by size, written by a thread of its own.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    time::Duration,
};

use super::wire::LogOrder;
use crate::private;

/// Most bytes that wait for a slow disk. What comes then is dropped: a worker must not stand
/// still for its log.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long the end waits for the disk.
const END_WAIT: Duration = Duration::from_secs(2);

/// A log file that is written without the writer waiting for the disk.
#[derive(Debug)]
pub(crate) struct LogWriter {
    pieces: Option<Sender<Vec<u8>>>,
    /// Bytes handed over and not written yet.
    waiting: Arc<AtomicUsize>,
    ended: Receiver<()>,
}

impl LogWriter {
    /// Opens the file, with its folder.
    ///
    /// # Errors
    ///
    /// When the folder or the file cannot be made or written.
    pub(crate) fn open(order: LogOrder) -> io::Result<Self> {
        let mut file = LogFile::open(order)?;
        let (pieces, received) = mpsc::channel::<Vec<u8>>();
        let (end, ended) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&waiting);
        let write = move || {
            for piece in received {
                file.write(&piece);
                written.fetch_sub(piece.len(), Ordering::Relaxed);
            }
            drop(end);
        };
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(write)?;
        Ok(Self {
            pieces: Some(pieces),
            waiting,
            ended,
        })
    }

    /// Hands whole lines to the disk. `false` when it is too slow and they were dropped.
    pub(crate) fn write(&self, lines: Vec<u8>) -> bool {
        let bytes = lines.len();
        if self.waiting.load(Ordering::Relaxed) + bytes > WAITING_BYTES_MAX {
            return false;
        }
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let pieces = self.pieces.as_ref();
        pieces.is_some_and(|pieces| pieces.send(lines).is_ok())
    }
}

impl Drop for LogWriter {
    /// Waits, not for ever, until everything is written.
    fn drop(&mut self) {
        self.pieces = None;
        let _hung_up: Result<(), RecvTimeoutError> = self.ended.recv_timeout(END_WAIT);
    }
}

/// A log file that is rotated by size.
struct LogFile {
    order: LogOrder,
    file: File,
    bytes: u64,
}

impl LogFile {
    fn open(order: LogOrder) -> io::Result<Self> {
        if let Some(folder) = order.path.parent() {
            // The folder of the service is ours; what it is in may be shared.
            private::own_folder(folder)?;
        }
        let file = append(&order.path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { order, file, bytes })
    }

    /// Appends whole lines. A disk that fails or is full loses them: there is nobody to tell.
    fn write(&mut self, mut lines: &[u8]) {
        // Another program, or the next worker of this slot, may have rotated or removed it.
        if !self.is_current() {
            self.reopen();
        }
        while !lines.is_empty() {
            let mut fitting = self.fitting(lines);
            if fitting == 0 {
                self.rotate();
                self.reopen();
                fitting = self.fitting(lines).max(first_line(lines));
            }
            if self.file.write_all(&lines[..fitting]).is_ok() {
                self.bytes += fitting as u64;
            }
            lines = &lines[fitting..];
        }
    }

    /// How many bytes of whole lines the file still takes.
    fn fitting(&self, lines: &[u8]) -> usize {
        let room = self.order.max_bytes.saturating_sub(self.bytes);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if lines.len() <= room {
            return lines.len();
        }
        let last = lines[..room].iter().rposition(|&byte| byte == b'\n');
        last.map_or(0, |last| last + 1)
    }

    fn is_current(&self) -> bool {
        let by_name = fs::metadata(&self.order.path).map(|meta| (meta.dev(), meta.ino()));
        let open = self.file.metadata().map(|meta| (meta.dev(), meta.ino()));
        matches!((by_name, open), (Ok(by_name), Ok(open)) if by_name == open)
    }

    fn rotate(&self) {
        let path = &self.order.path;
        if self.order.keep == 0 {
            let _ = fs::remove_file(path);
            return;
        }
        for number in (1..self.order.keep).rev() {
            let _ = fs::rename(rotated(path, number), rotated(path, number + 1));
        }
        let _ = fs::rename(path, rotated(path, 1));
    }

    fn reopen(&mut self) {
        if let Ok(file) = append(&self.order.path) {
            self.bytes = file.metadata().map_or(0, |meta| meta.len());
            self.file = file;
        }
    }
}

fn first_line(lines: &[u8]) -> usize {
    let end = lines.iter().position(|&byte| byte == b'\n');
    end.map_or(lines.len(), |end| end + 1)
}

fn append(path: &Path) -> io::Result<File> {
    private::open(path, OpenOptions::new().create(true).append(true))
}

/// Name of the rotated file with this number; 1 is the youngest.
pub(crate) fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(folder: &Path, keep: u32) -> LogOrder {
        LogOrder {
            path: folder.join("chat/stable-0.log"),
            max_bytes: 10,
            keep,
        }
    }

    #[test]
    fn a_full_file_is_rotated_and_only_so_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let order = order(folder.path(), 2);
        let log = LogWriter::open(order.clone()).unwrap();
        assert!(log.write("first\nsecond\n".into()));
        assert!(log.write("third\na long fourth\n".into()));
        drop(log);
        let read = |number| fs::read_to_string(rotated(&order.path, number));
        assert_eq!(fs::read_to_string(&order.path).unwrap(), "a long fourth\n");
        assert_eq!(read(1).unwrap(), "third\n");
        assert_eq!(read(2).unwrap(), "second\n");
        assert!(read(3).is_err());
    }

    #[test]
    fn without_rotated_files_the_old_output_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let order = order(folder.path(), 0);
        let mut log = LogFile::open(order.clone()).unwrap();
        log.write(b"first line\n");
        log.write(b"second line\n");
        assert_eq!(fs::read_to_string(&order.path).unwrap(), "second line\n");
        assert!(!rotated(&order.path, 1).exists());
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let order = order(folder.path(), 1);
        let mut log = LogFile::open(order.clone()).unwrap();
        log.write(b"1\n");
        fs::rename(&order.path, folder.path().join("elsewhere")).unwrap();
        log.write(b"2\n");
        assert_eq!(fs::read_to_string(&order.path).unwrap(), "2\n");
    }
}
