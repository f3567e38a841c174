//! Lines for a file, standard output or standard error, written by a thread of their own.
//!
//! Whoever has a line appends it to a bounded buffer and goes on. When what it is written to does not keep
//! up (a slow disk, a terminal that was stopped, a pipe that nobody reads), the buffer fills, and lines
//! are dropped and counted.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    mem,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use rustix::fs::OFlags;

/// Most bytes that wait to be written: some thousand lines.
const BUFFER_MAX: usize = 4 << 20;

/// The writer is woken early when this many bytes wait.
const BATCH: usize = 64 << 10;

/// Lines on their way. Dropping it has the rest written, but does not wait for that: see
/// [`Lines::finish`].
#[derive(Debug)]
pub struct Lines {
    sink: Arc<Sink>,
}

impl Lines {
    /// Starts a thread of this name that writes to `output`. It waits for so long for more after the
    /// first line, so that who has many lines pays for one wake-up and one write. What is lost is counted
    /// in the metric `dropped`.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub fn start(
        name: &str,
        output: Output,
        linger: Duration,
        dropped: &'static str,
    ) -> io::Result<Self> {
        let sink = Arc::new(Sink::default());
        let for_writer = Arc::clone(&sink);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || for_writer.write_to(output, linger, dropped))?;
        Ok(Self { sink })
    }

    /// Adds a line with its end, or drops it when the buffer is full.
    pub fn push(&self, line: &[u8]) {
        self.sink.push(line);
    }

    /// Opens the file again before the next line is written: it was moved away.
    pub fn reopen(&self) {
        self.sink.state.lock().reopen = true;
        self.sink.changed.notify_one();
    }

    /// Waits until everything is written, but not for longer than `patience`: nobody may be reading.
    pub fn finish(&self, patience: Duration) {
        self.sink.close();
        let mut state = self.sink.state.lock();
        let writes = |state: &mut State| !state.ended;
        self.sink.ended.wait_while_for(&mut state, writes, patience);
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.sink.close();
    }
}

/// What the writer and all others share.
#[derive(Debug, Default)]
struct Sink {
    state: Mutex<State>,
    changed: Condvar,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    dropped: u64,
    reopen: bool,
    closed: bool,
    ended: bool,
}

impl Sink {
    fn push(&self, line: &[u8]) {
        let mut state = self.state.lock();
        if state.lines.len() + line.len() > BUFFER_MAX {
            state.dropped += 1;
            return;
        }
        let before = state.lines.len();
        state.lines.extend_from_slice(line);
        let wake = before == 0 || (before < BATCH && state.lines.len() >= BATCH);
        drop(state);
        if wake {
            self.changed.notify_one();
        }
    }

    /// Makes the writer write what there is and return.
    fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }

    /// The writer's life. It goes on after errors: the disk may have room again later.
    fn write_to(&self, mut output: Output, linger: Duration, dropped: &'static str) {
        let mut failing = false;
        let mut batch = Vec::new();
        loop {
            let taken = self.take(&mut batch, linger);
            // Looked for each time: lines may come before there are metrics.
            let dropped = metrics::counter!(dropped);
            dropped.increment(taken.dropped);
            // A file that cannot be opened again is written on where it is.
            let reopened = if taken.reopen {
                output.reopen()
            } else {
                Ok(())
            };
            let written = output.write(&batch);
            if written.is_err() {
                dropped.increment(batch.iter().filter(|byte| **byte == b'\n').count() as u64);
            }
            let result = reopened.and(written);
            // Standard error cannot tell that standard error is broken.
            if let (Err(error), Output::File(_) | Output::Stdout(_), false) =
                (&result, &output, failing)
            {
                tracing::error!(%error, %output, "the access log cannot be written");
            }
            failing = result.is_err();
            batch.clear();
            batch.shrink_to(BATCH);
            if taken.closed {
                self.state.lock().ended = true;
                self.ended.notify_all();
                return;
            }
        }
    }

    /// Waits for something to do and takes it all.
    fn take(&self, batch: &mut Vec<u8>, linger: Duration) -> State {
        let mut state = self.state.lock();
        let idle = |state: &mut State| state.lines.is_empty() && !state.reopen && !state.closed;
        self.changed.wait_while(&mut state, idle);
        if !linger.is_zero() {
            let small =
                |state: &mut State| state.lines.len() < BATCH && !state.reopen && !state.closed;
            self.changed.wait_while_for(&mut state, small, linger);
        }
        mem::swap(batch, &mut state.lines);
        State {
            dropped: mem::take(&mut state.dropped),
            reopen: mem::take(&mut state.reopen),
            closed: state.closed,
            ..State::default()
        }
    }
}

/// Where the lines end up.
#[derive(Debug)]
pub enum Output {
    /// Standard output; not by way of the one that `print` uses, whose lock a stuck write would hold.
    Stdout(File),
    /// Standard error; likewise.
    Stderr(File),
    /// A file that is appended to.
    File(LogFile),
}

impl Output {
    /// Standard output.
    ///
    /// # Errors
    ///
    /// When it is closed, or there is no descriptor left for it.
    pub fn stdout() -> io::Result<Self> {
        duplicate(io::stdout().as_fd()).map(Self::Stdout)
    }

    /// Standard error.
    ///
    /// # Errors
    ///
    /// When it is closed, or there is no descriptor left for it.
    pub fn stderr() -> io::Result<Self> {
        duplicate(io::stderr().as_fd()).map(Self::Stderr)
    }

    fn reopen(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(_) | Self::Stderr(_) => Ok(()),
            Self::File(file) => file.reopen(),
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(file) | Self::Stderr(file) => file.write_all(lines),
            Self::File(file) => file.write(lines),
        }
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout(_) => f.write_str("standard output"),
            Self::Stderr(_) => f.write_str("standard error"),
            Self::File(file) => file.path.display().fmt(f),
        }
    }
}

fn duplicate(stream: BorrowedFd<'_>) -> io::Result<File> {
    stream.try_clone_to_owned().map(File::from)
}

/// A log file, which only its owner may read.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    length: u64,
    /// Size at which it is renamed to `….1`, in place of the one before it, and begun anew.
    rotate_at: Option<u64>,
}

impl LogFile {
    /// Opens a file to append to; it is created when missing.
    ///
    /// # Errors
    ///
    /// When it cannot be opened; among others, because it is a symbolic link, behind which may be a file
    /// that somebody else wants to have overwritten.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = append_to(path)?;
        Ok(Self {
            length: file.metadata()?.len(),
            path: path.to_owned(),
            file,
            rotate_at: None,
        })
    }

    /// The same for a file that nobody else takes care of: its folder is made, and of what is older than
    /// `bytes` no more than `bytes` are kept.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made, or the file cannot be opened.
    pub fn open_rotated(path: &Path, bytes: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        Ok(Self {
            rotate_at: Some(bytes),
            ..Self::open(path)?
        })
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = append_to(&self.path)?;
        self.length = self.file.metadata()?.len();
        Ok(())
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.rotate_at.is_some_and(|most| self.length >= most) {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            fs::rename(&self.path, old)?;
            self.reopen()?;
        }
        self.file.write_all(lines)?;
        self.length += lines.len() as u64;
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    // Links to what the program has open already, such as /dev/stdout, nobody else can change.
    let link = match path.starts_with("/dev") {
        true => OFlags::empty(),
        false => OFlags::NOFOLLOW,
    };
    // Without waiting, where it is a pipe that nobody reads.
    let flags = link | OFlags::NONBLOCK;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::LOOP) => {
                io::Error::other("it is a symbolic link; name the file that it leads to")
            }
            _ => error,
        })
}

#[cfg(test)]
mod tests;
