//! The bounded buffer between requests and the disk, and the thread that empties it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    mem,
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

/// Most bytes that wait to be written: some thousand lines.
const BUFFER_MAX: usize = 4 << 20;

/// The writer is woken early when this many bytes wait.
const BATCH: usize = 64 << 10;

/// How long the writer waits for more after the first line, so that a busy gateway pays one wake-up
/// and one write for many lines, and a person who watches sees no delay.
const LINGER: Duration = Duration::from_millis(50);

/// Where requests leave their lines.
#[derive(Debug, Default)]
pub(super) struct Sink {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    dropped: u64,
    reopen: bool,
    closed: bool,
}

impl Sink {
    /// Adds a line, or drops it when the buffer is full.
    pub(super) fn push(&self, line: &[u8]) {
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

    /// Makes the writer open its file again.
    pub(super) fn reopen(&self) {
        self.state.lock().reopen = true;
        self.changed.notify_one();
    }

    /// Makes the writer write what there is and return.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }

    /// The writer's life. It goes on after errors: the disk may have room again later.
    pub(super) fn write_to(&self, mut output: Output) {
        let dropped = metrics::counter!("penstock_access_log_dropped_total");
        let mut failing = false;
        let mut batch = Vec::new();
        loop {
            let taken = self.take(&mut batch);
            // A file that cannot be opened again is written on where it is.
            let reopened = if taken.reopen {
                output.reopen()
            } else {
                Ok(())
            };
            let written = output.write(&batch);
            dropped.increment(taken.dropped);
            if written.is_err() {
                dropped.increment(batch.iter().filter(|byte| **byte == b'\n').count() as u64);
            }
            let result = reopened.and(written);
            if let Err(error) = &result
                && !failing
            {
                tracing::error!(%error, "the access log cannot be written");
            }
            failing = result.is_err();
            batch.clear();
            batch.shrink_to(BATCH);
            if taken.closed {
                return;
            }
        }
    }

    /// Waits for something to do and takes it all.
    fn take(&self, batch: &mut Vec<u8>) -> State {
        let mut state = self.state.lock();
        let idle = |state: &mut State| state.lines.is_empty() && !state.reopen && !state.closed;
        self.changed.wait_while(&mut state, idle);
        let small = |state: &mut State| state.lines.len() < BATCH && !state.reopen && !state.closed;
        self.changed.wait_while_for(&mut state, small, LINGER);
        mem::swap(batch, &mut state.lines);
        State {
            lines: Vec::new(),
            dropped: mem::take(&mut state.dropped),
            reopen: mem::take(&mut state.reopen),
            closed: state.closed,
        }
    }
}

/// Where the lines end up.
#[derive(Debug)]
pub(super) enum Output {
    Stdout(io::Stdout),
    File { path: PathBuf, file: File },
}

impl Output {
    pub(super) fn stdout() -> Self {
        Self::Stdout(io::stdout())
    }

    pub(super) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self::File {
            path: path.to_owned(),
            file: append_to(path)?,
        })
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File { path, file } = self {
            *file = append_to(path)?;
        }
        Ok(())
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => {
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File { file, .. } => file.write_all(lines),
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_buffer_drops_whole_lines_and_counts_them() {
        let sink = Sink::default();
        let line = [b'x'; 1024];
        for _ in 0..BUFFER_MAX / line.len() + 3 {
            sink.push(&line);
        }
        let mut batch = Vec::new();
        let taken = sink.take(&mut batch);
        assert_eq!(batch.len(), BUFFER_MAX);
        assert_eq!(taken.dropped, 3);
        sink.push(&line);
        sink.close();
        let taken = sink.take(&mut batch);
        assert_eq!((taken.dropped, taken.closed), (0, true));
    }
}
