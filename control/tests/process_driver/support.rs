//! A driver in a folder of its own, which must leave no process behind.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use libtest_mimic::{Failed, Trial};
use penstock_config::{
    Deployment, Probes, ProcessCommand, ProcessSpec, Source, WorkerLogs, fleet::WorkerId,
};
use penstock_control::driver::{
    Driver, NewWorker, StartError, StartedWorker, WorkerExit,
    numa::Numa,
    process::{ProcessDriver, ProcessSettings},
};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Longest wait for anything; far more than it takes.
const LIMIT: Duration = Duration::from_secs(60);

/// From one look at a file or process to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A test that runs in a runtime.
pub(crate) fn trial<F>(name: &str, test: impl FnOnce() -> F + Send + 'static) -> Trial
where
    F: Future<Output = ()> + 'static,
{
    Trial::test(name, move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build();
        runtime.map_err(Failed::from)?.block_on(test());
        Ok(())
    })
}

/// An installation with a driver.
pub(crate) struct Bench {
    folder: PathBuf,
    /// Removed with the bench.
    _folder: Option<TempDir>,
    gpus: Vec<String>,
    driver: Option<ProcessDriver>,
    exits: mpsc::UnboundedReceiver<WorkerExit>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_gpus(&[])
    }

    pub(crate) fn with_gpus(gpus: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = Self {
            folder: folder.path().to_owned(),
            _folder: Some(folder),
            gpus: gpus.iter().map(|&gpu| gpu.to_owned()).collect(),
            driver: None,
            exits: mpsc::unbounded_channel().1,
        };
        bench.begin_again();
        bench
    }

    /// The installation in a folder that is there.
    pub(crate) fn at(folder: &Path) -> Self {
        let mut bench = Self {
            folder: folder.to_owned(),
            _folder: None,
            gpus: Vec::new(),
            driver: None,
            exits: mpsc::unbounded_channel().1,
        };
        bench.begin_again();
        bench
    }

    /// As if control had crashed and was started again.
    pub(crate) fn begin_again(&mut self) {
        drop(self.driver.take());
        let (exits, received) = mpsc::unbounded_channel();
        self.exits = received;
        self.driver = Some(ProcessDriver::new(self.settings(), exits).unwrap());
    }

    /// From now on the CPUs near GPUs are those that files below this folder tell.
    pub(crate) fn learns_numa_below(&mut self, root: &Path) {
        let driver = self.driver.take();
        self.driver = driver.map(|driver| driver.with_numa(Numa::below(root)));
    }

    fn settings(&self) -> ProcessSettings {
        ProcessSettings {
            executable: std::env::current_exe().unwrap(),
            installation: self.installation(),
            logs: self.logs(),
        }
    }

    pub(crate) fn logs(&self) -> WorkerLogs {
        WorkerLogs {
            directory: self.path("logs"),
            max_bytes: 10_000,
            keep: 2,
        }
    }

    pub(crate) fn installation(&self) -> String {
        self.path("state.db").display().to_string()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn driver(&self) -> &ProcessDriver {
        self.driver.as_ref().unwrap()
    }

    /// A worker that runs a shell script.
    pub(crate) fn shell(&self, script: &str) -> NewWorker {
        self.worker("w0", 0, self.spec(script))
    }

    pub(crate) fn spec(&self, script: &str) -> ProcessSpec {
        ProcessSpec {
            command: ProcessCommand::Shell(script.to_owned()),
            directory: self.folder.clone(),
            env: BTreeMap::new(),
            inherit_env: vec!["PATH".to_owned()],
            gpus: 0.into(),
            numa: false,
            stop_grace: Duration::from_secs(20),
            allow_foreign_listener: false,
        }
    }

    /// It is given the first of the GPUs that there are.
    pub(crate) fn worker(&self, id: &str, slot: u32, spec: ProcessSpec) -> NewWorker {
        let given = || self.gpus[..spec.gpus.count as usize].into();
        let gpus = (!self.gpus.is_empty()).then(given);
        NewWorker {
            id: WorkerId(id.into()),
            service: "chat".try_into().unwrap(),
            deployment: "stable".try_into().unwrap(),
            slot,
            spec: Arc::new(deployment(spec)),
            gpus,
        }
    }

    pub(crate) async fn start(&self, worker: &NewWorker) -> StartedWorker {
        limited(self.driver().start(worker)).await.unwrap()
    }

    pub(crate) async fn refused(&self, worker: &NewWorker) -> StartError {
        limited(self.driver().start(worker)).await.unwrap_err()
    }

    pub(crate) async fn stop(&self, worker: &NewWorker) {
        limited(self.driver().stop(&worker.id)).await;
    }

    /// The reason of the next exit.
    pub(crate) async fn exit(&mut self) -> String {
        limited(self.exits.recv()).await.unwrap().reason
    }

    pub(crate) fn no_exit_was_reported(&mut self) -> bool {
        self.exits.try_recv().is_err()
    }

    /// The content of a file that a worker writes, once it is there with a whole line.
    pub(crate) async fn written(&self, name: &str) -> String {
        let path = self.path(name);
        eventually(|| {
            let text = fs::read_to_string(&path).ok()?;
            text.ends_with('\n').then(|| text.trim().to_owned())
        })
        .await
    }

    /// Waits until the log of slot 0 holds these words.
    pub(crate) async fn logged(&self, words: &str) {
        let path = self.path("logs/chat/stable-0.log");
        eventually(|| {
            let text = fs::read_to_string(&path).ok()?;
            text.contains(words).then_some(())
        })
        .await;
    }

    /// The number that a worker wrote into a file.
    pub(crate) async fn pid(&self, name: &str) -> i32 {
        self.written(name).await.parse().unwrap()
    }

    /// Nothing with our marker runs any more.
    pub(crate) fn assert_nothing_left(&self) {
        let left = self.left();
        assert!(left.is_empty(), "left: {left:#?}");
    }

    /// Everything with our marker.
    pub(crate) fn left(&self) -> Vec<String> {
        let processes = procfs::process::all_processes().unwrap().flatten();
        let ours = processes.filter(|process| {
            let environ = process.environ().unwrap_or_default();
            let installation = environ.get(OsStr::new("PENSTOCK_INSTALLATION"));
            installation.is_some_and(|value| *value == *self.installation())
        });
        let shown = ours.map(|process| format!("{} {:?}", process.pid, process.cmdline().ok()));
        shown.collect()
    }
}

impl Drop for Bench {
    /// A test that fails must not leave processes to the others.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let script = "for p in /proc/[0-9]*; do tr '\\0' '\\n' 2>/dev/null <$p/environ | \
                          grep -qxF \"PENSTOCK_INSTALLATION=$0\" && kill -9 ${p#/proc/}; done";
            let _ = Command::new("/bin/sh")
                .args(["-c", script, &self.installation()])
                .status();
        }
    }
}

/// Whether a process exists, zombies aside.
pub(crate) fn lives(pid: i32) -> bool {
    let stat = procfs::process::Process::new(pid).and_then(|process| process.stat());
    stat.is_ok_and(|stat| stat.state != 'Z' || stat.num_threads > 1)
}

pub(crate) async fn limited<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .expect("it takes too long")
}

/// Looks until there is something to see. The one place where these tests poll: files and processes do
/// not tell when they change.
pub(crate) async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    limited(async {
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await
}

/// Waits until a process has ended, which need not be a child.
pub(crate) async fn ended(pid: i32) {
    eventually(|| (!lives(pid)).then_some(())).await;
}

fn deployment(spec: ProcessSpec) -> Deployment {
    let text = r#"
        [[listeners]]
        address = "127.0.0.1:0"
        [services.chat.deployments.stable]
        process.shell = "true"
    "#;
    let config = penstock_config::parse(text, Path::new("test.toml")).unwrap();
    let deployment = &config.services["chat"].deployments["stable"];
    Deployment {
        source: Source::Process(spec),
        probes: Probes {
            startup: None,
            ready: None,
            live: None,
        },
        ..Deployment::clone(deployment)
    }
}

/// The number of a worker's supervisor.
pub(crate) fn supervisor(started: &StartedWorker) -> i32 {
    saved_pid(&started.saved, "supervisor")
}

/// The number of a worker.
pub(crate) fn worker_pid(saved: &str) -> i32 {
    saved_pid(saved, "worker")
}

fn saved_pid(saved: &str, which: &str) -> i32 {
    let saved: serde_json::Value = serde_json::from_str(saved).unwrap();
    saved[which]["pid"].as_i64().unwrap().try_into().unwrap()
}
