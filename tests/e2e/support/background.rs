//! A command that goes on until it is told to end.

use std::{net::SocketAddr, os::unix::process::ExitStatusExt, process::ExitStatus};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
};

use super::{soon, spawn_piped};

/// A running `penstock ARGS`; killed when it is dropped.
pub(crate) struct Background {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    errors: Lines<BufReader<ChildStderr>>,
}

impl Background {
    /// Starts it against the Penstock whose admin address, or the way there, is this.
    pub(crate) fn spawn(args: &[&str], admin: SocketAddr) -> Self {
        // What a script starts in its background ignores Ctrl-C, and so does all that comes of it.
        let (mut child, lines) = spawn_piped(
            Command::new("env")
                .args(["--default-signal=INT", env!("CARGO_BIN_EXE_penstock")])
                .args(args)
                .args(["--admin", &admin.to_string()]),
        );
        let errors = BufReader::new(child.stderr.take().unwrap()).lines();
        Self {
            child,
            lines,
            errors,
        }
    }

    /// The next line of its standard output.
    pub(crate) async fn line(&mut self) -> String {
        let line = soon("a line of output", self.lines.next_line()).await;
        line.unwrap().expect("it goes on")
    }

    /// The next line of its standard error.
    pub(crate) async fn error(&mut self) -> String {
        let line = soon("a line of complaint", self.errors.next_line()).await;
        line.unwrap().expect("it goes on")
    }

    /// All lines up to the first that contains this, with that one.
    pub(crate) async fn until(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            let found = line.contains(text);
            lines.push(line);
            if found {
                return lines;
            }
        }
    }

    /// Sends a signal, and waits for the end: how it ended, and the lines that it had still written to
    /// standard output and to standard error.
    pub(crate) async fn end(mut self, signal: Signal) -> (ExitStatus, Vec<String>, Vec<String>) {
        let pid = self.child.id().expect("it has not ended").cast_signed();
        kill(Pid::from_raw(pid), signal).unwrap();
        let status = soon("it ends", self.child.wait()).await.unwrap();
        let (mut lines, mut errors) = (Vec::new(), Vec::new());
        while let Some(line) = soon("the rest", self.lines.next_line()).await.unwrap() {
            lines.push(line);
        }
        while let Some(line) = soon("the rest", self.errors.next_line()).await.unwrap() {
            errors.push(line);
        }
        (status, lines, errors)
    }
}

/// Whether a process ended as one does that Ctrl-C ends: a shell shows 130 then.
pub(crate) fn is_interrupted(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::SIGINT as i32)
}
