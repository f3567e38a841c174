//! `penstock worker` as a process of its own.

use std::net::SocketAddr;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::{client::Client, eventually, soon, spawn_piped};

/// A running simulated worker; killed when it is dropped.
pub(crate) struct SimulatedWorker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl SimulatedWorker {
    /// Starts one with these arguments, on a free port.
    pub(crate) fn spawn(args: &[&str]) -> Self {
        let (child, lines) = spawn_piped(
            Command::new(env!("CARGO_BIN_EXE_penstock"))
                .args(["worker", "--port", "0"])
                .args(args),
        );
        Self { child, lines }
    }

    /// Starts one that is quick unless the arguments say otherwise, and waits until it is ready.
    pub(crate) async fn ready(args: &[&str]) -> (Self, Client) {
        let mut all = vec!["--load-time", "0s", "--time-to-first-token", "0s"];
        if !args.contains(&"--tokens-per-second") {
            all.extend(["--tokens-per-second", "100000"]);
        }
        all.extend(args);
        let mut worker = Self::spawn(&all);
        let client = worker.client().await;
        eventually("the worker is ready", async || {
            (client.get("/health").await.status == 200).then_some(())
        })
        .await;
        (worker, client)
    }

    /// Waits until it listens.
    pub(crate) async fn client(&mut self) -> Client {
        let line = soon("the line with the address", self.lines.next_line())
            .await
            .unwrap();
        let line = line.expect("a line on standard output");
        let address: SocketAddr = line
            .strip_prefix("listening on http://")
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("unexpected line {line:?}"));
        Client::new(address, address.to_string())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().expect("it has not ended");
        kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
    }

    /// Waits for its end: the exit status (`None` after a signal) and what it wrote to standard error.
    pub(crate) async fn exit(&mut self) -> (Option<i32>, String) {
        let status = soon("the worker ends", self.child.wait()).await.unwrap();
        let mut errors = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut errors).await.unwrap();
        }
        (status.code(), errors)
    }
}
