//! Starts a supervisor and hears from it.

use std::{
    ffi::{OsStr, OsString},
    io::Write,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, process::CommandExt},
    },
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
    gpu,
    identity::{Handle, Identity, Watch},
    supervisor::{
        clean,
        wire::{LogOrder, Order, Report},
    },
    tree,
};
use crate::driver::numa::Near;

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
    /// Its environment, all of it.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub(crate) directory: PathBuf,
    /// From SIGTERM to SIGKILL.
    pub(crate) stop_grace: Duration,
    /// The CPUs that it is to run on, or why they are not known. `None`: any.
    pub(crate) cpus: Option<Result<Near, String>>,
    /// Its log.
    pub(crate) log: LogOrder,
}

/// The environment of a worker: what it inherits, what the user set, then what only we know.
///
/// `gpus`: what `CUDA_VISIBLE_DEVICES` becomes, if it does.
pub(crate) fn environment(
    spec: &ProcessSpec,
    port: u16,
    gpus: Option<&[String]>,
    id: &WorkerId,
    installation: &str,
) -> Vec<(OsString, OsString)> {
    let mut env = inherited(&spec.inherit_env, std::env::vars_os());
    let mut set = |name: &str, value: String| env.push((name.into(), value.into()));
    if gpus.is_some_and(gpu::are_indices) {
        // An index means the same GPU to everybody only if everybody counts in the same order. Set
        // before the user's own choice, which counts more.
        set("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned());
    }
    for (name, value) in &spec.env {
        set(name, fill(value, port));
    }
    set("PORT", port.to_string());
    set(tree::WORKER, id.to_string());
    set(tree::INSTALLATION, installation.to_owned());
    if let Some(gpus) = gpus {
        set("CUDA_VISIBLE_DEVICES", gpus.join(","));
    }
    env
}

/// The variables whose names fit one of the patterns: whole names, or beginnings that end with `*`.
pub(crate) fn inherited(
    patterns: &[String],
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let fits = |name: &OsStr, pattern: &String| match pattern.strip_suffix('*') {
        Some(beginning) => name.as_bytes().starts_with(beginning.as_bytes()),
        None => name == OsStr::new(pattern),
    };
    let wanted = |name: &OsStr| {
        patterns.iter().any(|pattern| fits(name, pattern))
            && !NOT_PASSED_ON.iter().any(|ours| name == OsStr::new(ours))
    };
    variables.filter(|(name, _)| wanted(name)).collect()
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
            .env_clear()
            .envs(self.env)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
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
            open_files: clean::open_files_before(),
            cpus: self.cpus,
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

#[cfg(test)]
mod tests {
    #[test]
    fn only_variables_that_are_asked_for_are_inherited_and_ours_never() {
        let ours = [
            "PATH",
            "LC_ALL",
            "LC_TIME",
            "LCX",
            "AWS_SECRET_ACCESS_KEY",
            "NOTIFY_SOCKET",
        ];
        let inherited = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|&p| p.to_owned()).collect();
            let variables = ours.map(|name| (name.into(), "x".into())).into_iter();
            let env = super::inherited(&patterns, variables);
            let names = env.into_iter().map(|(name, _)| name.into_string().unwrap());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(inherited(&[]), "");
        assert_eq!(inherited(&["PATH", "LC_*", "AWS"]), "PATH LC_ALL LC_TIME");
        assert_eq!(
            inherited(&["*"]),
            "PATH LC_ALL LC_TIME LCX AWS_SECRET_ACCESS_KEY"
        );
    }
}
