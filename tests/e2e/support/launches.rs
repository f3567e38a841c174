//! Worker processes that the test plays itself: Penstock starts a process that only says that it
//! was started, and the test opens the port when it wants the worker to be ready.

use std::{net::SocketAddr, path::Path};

use nix::{sys::stat::Mode, unistd::mkfifo};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::unix::pipe,
};

use super::{fake::FakeWorker, penstock::Penstock, soon};

/// Hears of every worker process that is started.
pub(crate) struct Launches {
    lines: Lines<BufReader<pipe::Receiver>>,
}

/// A worker process that was started and does not listen yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Launch {
    pub(crate) port: u16,
    pub(crate) pid: i32,
}

impl Launches {
    /// A Penstock with the service `chat`, which has these settings, and whose deployment `main`, which
    /// has those, has workers that the test plays.
    pub(crate) async fn behind(service: &str, deployment: &str) -> (Penstock, Self) {
        let dir = tempfile::tempdir().unwrap();
        let launches = Self::listen(dir.path(), "launches");
        let command = Self::command("launches");
        // Asks for nothing that the worker would count.
        let ready = match deployment.contains("probes.ready") {
            true => "",
            false => "probes.ready = { tcp = true }",
        };
        let config = format!(
            r#"
            [services.chat]
            {service}
            [services.chat.deployments.main]
            process = {{ {command} }}
            {ready}
            {deployment}
            "#
        );
        (Penstock::start_in(dir, &config).await, launches)
    }

    /// The command for the configuration, whose folder this must be, with `NAME` in place of the
    /// name that is given to [`Launches::listen`]. The test listens in the place of the process.
    pub(crate) fn command(name: &str) -> String {
        format!(
            r#"command = ["/bin/sh", "-c", "echo $PORT $$ > {name}; exec sleep 1000000"], allow_foreign_listener = true"#
        )
    }

    /// Must be called before Penstock starts.
    pub(crate) fn listen(dir: &Path, name: &str) -> Self {
        let path = dir.join(name);
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        // Open for writing too, so that it does not end when a worker's shell closes it.
        let pipe = pipe::OpenOptions::new()
            .read_write(true)
            .open_receiver(path)
            .unwrap();
        Self {
            lines: BufReader::new(pipe).lines(),
        }
    }

    /// The next worker process that is started.
    pub(crate) async fn next(&mut self) -> Launch {
        let line = soon("a worker process is started", self.lines.next_line())
            .await
            .unwrap();
        let line = line.expect("a pipe that stays open");
        let (port, pid) = line.split_once(' ').expect("port and process id");
        Launch {
            port: port.parse().unwrap(),
            pid: pid.parse().unwrap(),
        }
    }
}

impl Launch {
    /// Opens its port: the worker becomes ready.
    pub(crate) async fn listen(&self) -> FakeWorker {
        FakeWorker::bind(SocketAddr::from(([127, 0, 0, 1], self.port))).await
    }
}
