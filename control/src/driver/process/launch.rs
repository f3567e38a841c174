//! Starts a supervisor and hears from it.

use std::{
    io::Write,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use penstock_config::{ProcessSpec, fleet::WorkerId};
use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::unix::pipe::Receiver,
    task::spawn_blocking,
    time::timeout,
};

use super::{
    SUPERVISE, children,
    command::{Program, fill},
    identity::{Handle, Identity, Watch},
    supervisor::wire::{LogOrder, Order, Report},
    tree,
};

/// Longest wait for a supervisor to say that the worker runs; it takes milliseconds.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Variables that speak to us alone: from systemd about our sockets and its watchdog.
const NOT_PASSED_ON: [&str; 6] = [
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// All that is needed to start a worker.
pub(crate) struct Launch {
    /// The executable that is also the supervisor.
    pub(crate) executable: PathBuf,
    /// Shown by `ps`.
    pub(crate) title: String,
    /// What the worker runs.
    pub(crate) program: Program,
    /// Its environment, in addition to our own.
    pub(crate) env: Vec<(String, String)>,
    /// Its working directory.
    pub(crate) directory: PathBuf,
    /// From SIGTERM to SIGKILL.
    pub(crate) stop_grace: Duration,
    /// Its log.
    pub(crate) log: LogOrder,
}

/// The environment of a worker: what the user set, then what only we know.
///
/// `gpus`: `Some` sets `CUDA_VISIBLE_DEVICES`.
pub(crate) fn environment(
    spec: &ProcessSpec,
    port: u16,
    gpus: Option<String>,
    id: &WorkerId,
    installation: &str,
) -> Vec<(String, String)> {
    let given = spec
        .env
        .iter()
        .map(|(name, value)| (name.clone(), fill(value, port)));
    let mut env: Vec<(String, String)> = given.collect();
    let mut set = |name: &str, value: String| env.push((name.to_owned(), value));
    set("PORT", port.to_string());
    set(tree::WORKER, id.to_string());
    set(tree::INSTALLATION, installation.to_owned());
    if let Some(gpus) = gpus {
        set("CUDA_VISIBLE_DEVICES", gpus);
    }
    env
}

/// A supervisor that was started, before it said whether the worker runs.
pub(crate) struct Launched {
    /// Which process.
    pub(crate) supervisor: Identity,
    /// What it says.
    pub(crate) reports: Reports,
}

impl Launch {
    /// Starts the supervisor.
    ///
    /// # Errors
    ///
    /// What went wrong, for people.
    pub(crate) async fn spawn(self) -> Result<(Launched, Watch), String> {
        let spawned = spawn_blocking(move || self.spawn_now()).await;
        let (supervisor, handle, pipe) = spawned.map_err(|error| error.to_string())??;
        let watched = handle.watch().and_then(|watch| {
            let pipe = Receiver::from_owned_fd(pipe)?;
            Ok((watch, BufReader::new(pipe).lines()))
        });
        let (watch, lines) = watched.map_err(|error| {
            supervisor.signal(Signal::KILL);
            format!("following the supervisor: {error}")
        })?;
        let reports = Reports { lines };
        Ok((
            Launched {
                supervisor,
                reports,
            },
            watch,
        ))
    }

    fn spawn_now(self) -> Result<(Identity, Handle, OwnedFd), String> {
        let mut command = Command::new(&self.executable);
        command
            .arg0("penstock")
            .args([SUPERVISE, &self.title])
            .envs(self.env)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        for name in NOT_PASSED_ON {
            command.env_remove(name);
        }
        let mut child = children::spawn(&mut command)
            .map_err(|error| format!("starting {}: {error}", self.executable.display()))?;
        let pid = i32::try_from(child.id()).expect("Linux numbers processes below 2^22");
        // Not reaped by anybody but us, so the number still is its own.
        let identity = Identity::of(pid).ok_or("the supervisor is not there")?;
        let handle = identity.open().ok_or("no handle on the supervisor")?;
        let order = Order {
            program: self.program.path,
            args: self.program.args,
            directory: self.directory,
            stop_grace: self.stop_grace,
            log: self.log,
        };
        let order = serde_json::to_vec(&order).map_err(|error| format!("the order: {error}"))?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // A supervisor that is gone already shows by its silence.
        let _ = stdin.write_all(&order);
        let stdout = child.stdout.take().expect("stdout is piped");
        Ok((identity, handle, stdout.into()))
    }
}

/// The file to run as supervisor. Through `/proc` when it is ourselves, so that it is the same
/// program even after an upgrade replaced the file.
pub(crate) fn supervisor_file(executable: &Path) -> PathBuf {
    match std::env::current_exe() {
        Ok(ourselves) if ourselves == executable => "/proc/self/exe".into(),
        _ => executable.to_owned(),
    }
}

/// What a supervisor says.
pub(crate) struct Reports {
    lines: Lines<BufReader<Receiver>>,
}

impl Reports {
    /// The next report; `None` when the supervisor has ended.
    pub(crate) async fn next(&mut self) -> Option<Report> {
        let line = self.lines.next_line().await.ok()??;
        serde_json::from_str(&line).ok()
    }

    /// The worker, once it runs.
    ///
    /// # Errors
    ///
    /// Why it does not, for people.
    pub(crate) async fn started(&mut self) -> Result<Identity, String> {
        match timeout(START_LIMIT, self.next()).await {
            Ok(Some(Report::Started(worker))) => Ok(worker),
            Ok(Some(Report::Failed(reason))) => Err(reason),
            Ok(Some(Report::Exited(_)) | None) => {
                Err("the supervisor ended before it started the worker".to_owned())
            }
            Err(_) => Err("the supervisor does not answer".to_owned()),
        }
    }
}
