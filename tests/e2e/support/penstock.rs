//! The real binary with a configuration of the test.

mod until;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{client::Client, eventually, fake::FakeWorker, metrics::Metrics, processes, soon};

/// A free port for the admin address, unless the test has settings of its own for it.
const ADMIN: &str = r#"
admin = { address = "127.0.0.1:0" }
"#;

/// No look at the machine's GPUs, unless the test has some of its own.
const NO_GPUS: &str = r#"
gpus = { devices = [] }
"#;

/// What the gateway listens on, unless the test says something else.
const LISTENERS: &str = r#"listeners = [{ address = "127.0.0.1:0" }]"#;

/// The setting `command` for a simulated worker.
pub(crate) fn simulated(args: &str) -> String {
    let program = env!("CARGO_BIN_EXE_penstock");
    let args: Vec<String> = args
        .split_whitespace()
        .map(|arg| format!(", {arg:?}"))
        .collect();
    format!("command = [{program:?}, \"worker\"{}]", args.concat())
}

/// A configuration of one service that nobody asks.
pub(crate) const NOBODY: &str = r#"
    [services.nobody.deployments.main]
    static = { addresses = ["127.0.0.1:1"] }
    "#;

/// A running Penstock. Killed with all its workers when it is dropped.
pub(crate) struct Penstock {
    dir: TempDir,
    mark: String,
    child: Child,
    /// Where the gateway listens.
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
}

impl Penstock {
    /// Starts Penstock with these settings, which come after those for free ports, and waits until
    /// it is ready.
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config).await
    }

    /// One with the service `chat`, which has these settings and this one worker.
    pub(crate) async fn before(worker: SocketAddr, settings: &str) -> Self {
        Self::start(&format!(
            r#"
            [services.chat]
            {settings}
            [services.chat.deployments.main]
            static = {{ addresses = ["{worker}"] }}
            "#
        ))
        .await
    }

    /// One with the service `chat`, which has these settings, and whose deployment `main`, which has
    /// those, has these workers; the gateway knows them.
    pub(crate) async fn before_all(
        workers: &[&FakeWorker],
        service: &str,
        deployment: &str,
    ) -> Self {
        let addresses = workers
            .iter()
            .map(|worker| format!("\"{}\"", worker.address));
        let addresses = addresses.collect::<Vec<_>>().join(", ");
        let penstock = Self::start(&format!(
            r#"
            [services.chat]
            {service}
            [services.chat.deployments.main]
            static = {{ addresses = [{addresses}] }}
            {deployment}
            "#
        ))
        .await;
        penstock.until_known("chat", workers.len()).await;
        penstock
    }

    /// Starts it in a folder that the test has prepared.
    pub(crate) async fn start_in(dir: TempDir, config: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!(
            "{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        write_config(dir.path(), config);
        let child = spawn(dir.path(), &mark);
        Self::running(dir, mark, child).await
    }

    /// One that has much to say to its standard error, which nobody reads.
    pub(crate) async fn start_unheard(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mark = format!("{}-unheard", std::process::id());
        write_config(dir.path(), config);
        let mut command = command(dir.path(), &mark);
        command.env("RUST_LOG", "trace").stderr(Stdio::piped());
        let child = command.spawn().expect("the binary");
        Self::running(dir, mark, child).await
    }

    /// The program that was just spawned, once it is ready.
    async fn running(dir: TempDir, mark: String, mut child: Child) -> Self {
        let (address, admin) = ready(dir.path(), &mut child).await;
        Self {
            dir,
            mark,
            child,
            address,
            admin,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A client of the service with this name.
    pub(crate) fn client(&self, service: &str) -> Client {
        Client::new(self.address, format!("{service}.local.localhost"))
    }

    /// A client of the admin address.
    pub(crate) fn admin(&self) -> Client {
        Client::new(self.admin, self.admin.to_string())
    }

    /// Where the admin API listens.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Runs `penstock ARGS` against this one; its standard output.
    pub(crate) async fn command(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `penstock ARGS`, which must fail; what it complains of.
    pub(crate) async fn failing(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert!(!output.status.success(), "penstock {args:?} succeeds");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs `penstock ARGS` against this one, whatever comes of it.
    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_penstock"))
            .args(args)
            .args(["--admin", &self.admin.to_string()])
            .current_dir(self.path())
            .output();
        soon("the command ends", output).await.unwrap()
    }

    /// Replaces the configuration, which is noticed by itself.
    pub(crate) fn write_config(&self, config: &str) {
        write_config(self.path(), config);
    }

    /// Replaces the configuration by another one and waits until it is in force.
    pub(crate) async fn reload(&self, config: &str) {
        let applied = [("result", "applied")];
        let count = |metrics: &Metrics| metrics.sum("penstock_config_reloads_total", &applied);
        let before = count(&self.metrics().await);
        self.write_config(config);
        self.until("the new configuration is in force", |metrics| {
            count(metrics) > before
        })
        .await;
    }

    /// What it wrote so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(log_file(self.path())).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().expect("it has not ended").cast_signed()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        soon("penstock ends", self.child.wait()).await.unwrap()
    }

    /// SIGTERM; asserts that it ends well and leaves no process behind.
    pub(crate) async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.exit().await;
        assert!(status.success(), "{status}");
        assert_eq!(self.processes().count(), 0, "processes left behind");
    }

    /// Starts it again in the same folder after it has ended.
    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(self.path(), &self.mark);
        (self.address, self.admin) = ready(self.dir.path(), &mut self.child).await;
    }

    /// The processes of its workers, with whatever those have started.
    pub(crate) fn worker_processes(&self) -> BTreeSet<i32> {
        self.processes()
            .filter(|pid| !processes::is_supervisor(*pid))
            .collect()
    }

    /// Waits until nothing but Penstock itself is left.
    pub(crate) async fn until_alone(&self) {
        eventually("no other process", async || {
            self.processes().next().is_none().then_some(())
        })
        .await;
    }

    /// Everything that was started but Penstock itself.
    pub(crate) fn processes(&self) -> impl Iterator<Item = i32> {
        let own = self.child.id().map(u32::cast_signed);
        processes::marked(&self.mark)
            .into_iter()
            .filter(move |pid| Some(*pid) != own)
    }
}

impl Drop for Penstock {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(80).collect();
            eprintln!("last lines of penstock's log:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
        let _ = self.child.start_kill();
        processes::kill_marked(&self.mark);
    }
}

fn log_file(dir: &Path) -> PathBuf {
    dir.join("penstock.log")
}

fn ready_file(dir: &Path) -> PathBuf {
    dir.join("ready.json")
}

/// In one step, so that nobody reads half of it.
fn write_config(dir: &Path, config: &str) {
    let draft = dir.join("draft.toml");
    let listeners = match config.contains("listeners = ") {
        true => "",
        false => LISTENERS,
    };
    let gpus = match config.contains("[gpus") {
        true => "",
        false => NO_GPUS,
    };
    let admin = match config.contains("[admin]") {
        true => "",
        false => ADMIN,
    };
    fs::write(&draft, format!("{listeners}{admin}{gpus}{config}")).unwrap();
    fs::rename(draft, dir.join("penstock.toml")).unwrap();
}

fn spawn(dir: &Path, mark: &str) -> Child {
    command(dir, mark).spawn().expect("the binary")
}

fn command(dir: &Path, mark: &str) -> Command {
    let _ = fs::remove_file(ready_file(dir));
    let log = File::options()
        .create(true)
        .append(true)
        .open(log_file(dir))
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    // Programs that the test plays.
    let own = dir.join("bin");
    if own.is_dir() {
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", own.display()));
    }
    command
        .args(["run", "penstock.toml"])
        .current_dir(dir)
        .env("PENSTOCK_READY_FILE", ready_file(dir))
        .env(processes::MARK, mark)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true);
    command
}

/// Waits until it is ready; where the gateway and the admin API listen.
async fn ready(dir: &Path, child: &mut Child) -> (SocketAddr, SocketAddr) {
    let text = eventually("penstock is ready", async || {
        if let Some(status) = child.try_wait().unwrap() {
            let log = fs::read_to_string(log_file(dir)).unwrap_or_default();
            panic!("penstock ended instead of starting: {status}\n{log}");
        }
        fs::read_to_string(ready_file(dir)).ok()
    })
    .await;
    let addresses: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let address = |value: &serde_json::Value| value.as_str().unwrap().parse().unwrap();
    (
        address(&addresses["listeners"][0]),
        address(&addresses["admin"]),
    )
}
