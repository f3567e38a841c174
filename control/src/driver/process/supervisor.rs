//! The process above every worker.
//!
//! Each worker has a supervisor: a second process of this executable that starts it, keeps its
//! log, adopts its orphans, and ends everything it started. Being outside of control it keeps
//! doing so when control crashes: the worker goes on, its output is still read (a pipe without a
//! reader would kill it), and whatever it leaves behind is still below its supervisor, so that it
//! is found whatever session, group or environment it gave itself.
//!
//! Control speaks to it through its standard input and output ([`wire`]) while starting, and by
//! SIGTERM to stop it; nothing else, so that a later control can take it over.

pub(crate) mod lines;
pub(crate) mod log_file;
pub(crate) mod output;
pub(crate) mod wire;

use std::{
    io::{Read, Write},
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Command, ExitCode, Stdio},
    rc::Rc,
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{
        Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group,
        set_child_subreaper, setsid, wait,
    },
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::{JoinHandle, LocalSet},
    time::{Instant, sleep_until, timeout},
};

use self::{
    output::Output,
    wire::{Order, Report},
};
use super::{identity::Identity, tree};

/// What a worker leaves behind when it ends has this long from SIGTERM to SIGKILL, or the
/// worker's own grace when that is shorter.
const LEFTOVER_GRACE: Duration = Duration::from_secs(5);

/// From one round of SIGKILL to the next, at first: a process may have been made meanwhile.
const KILL_AGAIN: Duration = Duration::from_millis(50);

/// The same at most: one that hangs in a driver cannot be killed until that lets it go.
const KILL_AGAIN_MAX: Duration = Duration::from_secs(2);

/// How long a reason waits for the last words of the worker.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How long the end waits for output that may still come.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// The whole life of a supervisor. `main` must call it, with nothing done before and nothing
/// after, when the first argument is [`SUPERVISE`](super::SUPERVISE).
pub fn supervise() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| LocalSet::new().block_on(&runtime, run()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            report(&Report::Failed(reason));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let mut order = Vec::new();
    let read = std::io::stdin().read_to_end(&mut order);
    read.map_err(|error| format!("reading the order: {error}"))?;
    let order: Order = serde_json::from_slice(&order)
        .map_err(|error| format!("not an order of control: {error}"))?;
    isolate()?;
    let output = Output::open(order.log.clone())?;
    let signals = Signals::new().map_err(|error| format!("signal handlers: {error}"))?;
    let worker = Worker::start(&order, output)?;
    worker.watch(&order, signals).await;
    Ok(())
}

/// A session of our own, so that no terminal reaches us, and orphans of the worker become ours.
fn isolate() -> Result<(), String> {
    setsid().map_err(|error| format!("new session: {error}"))?;
    set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| format!("adopting orphans: {error}"))?;
    // What `ps` and `top` show; started as /proc/self/exe it would be `exe`.
    let _ = std::fs::write("/proc/self/comm", "penstock");
    Ok(())
}

/// Never fails: without control nobody reads it, and nobody needs to.
fn report(report: &Report) {
    let line = serde_json::to_string(report).expect("a report is plain data");
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

struct Signals {
    child: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    /// Never looked at: to have it caught is enough not to die of it.
    _hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// The worker that this process supervises.
struct Worker {
    /// Its number; also that of its process group.
    pid: Pid,
    output: Rc<Output>,
    stdout: JoinHandle<()>,
    stderr: JoinHandle<()>,
    /// It ended and is reaped.
    exited: bool,
    /// When SIGKILL is due; `None` while nobody was asked to end.
    kill_at: Option<Instant>,
    kill_again: Duration,
}

impl Worker {
    fn start(order: &Order, output: Rc<Output>) -> Result<Self, String> {
        let spawned = Command::new(&order.program)
            .args(&order.args)
            .current_dir(&order.directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child =
            spawned.map_err(|error| format!("running {}: {error}", order.program.display()))?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let pid = Pid::from_child(&child);
        let identity = Identity::of(pid.as_raw_nonzero().get()).ok_or("the worker is not there")?;
        output.note(&format!("{START_NOTE}{}", identity.pid));
        report(&Report::Started(identity));
        let copy = |pipe: OwnedFd, stream| {
            let copied = output.copy(pipe, stream);
            copied.map_err(|error| format!("reading the worker's output: {error}"))
        };
        Ok(Self {
            pid,
            stdout: copy(stdout.into(), "out")?,
            stderr: copy(stderr.into(), "err")?,
            output,
            exited: false,
            kill_at: None,
            kill_again: KILL_AGAIN,
        })
    }

    /// Returns when the worker has ended and nothing of it is left.
    async fn watch(mut self, order: &Order, mut signals: Signals) {
        while self.reap(order.stop_grace).await {
            if self
                .kill_at
                .is_some_and(|kill_at| kill_at <= Instant::now())
            {
                self.kill();
            }
            let kill_due = async {
                match self.kill_at {
                    Some(kill_at) => sleep_until(kill_at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = signals.child.recv() => {}
                _ = signals.terminate.recv() => self.stop(order.stop_grace),
                _ = signals.interrupt.recv() => self.stop(order.stop_grace),
                () = kill_due => {}
            }
        }
        finished(&mut self.stdout, LAST_OUTPUT).await;
        finished(&mut self.stderr, LAST_OUTPUT).await;
    }

    /// Reaps every child that ended. `false` when there is none left, and thereby no descendant
    /// either: all of them are children or below one.
    async fn reap(&mut self, grace: Duration) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.pid && !self.exited => {
                    self.exited = true;
                    self.report_exit(status).await;
                    self.end_leftovers(grace);
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    async fn report_exit(&mut self, status: WaitStatus) {
        finished(&mut self.stderr, LAST_WORDS).await;
        let exit = describe(status.exit_status(), status.terminating_signal());
        let reason = match self.output.last_error() {
            Some(line) => format!("{exit}: {line}"),
            None => exit,
        };
        self.output.note(&format!("{EXIT_NOTE}{reason}"));
        report(&Report::Exited(reason));
    }

    /// Asks the worker to end.
    fn stop(&mut self, grace: Duration) {
        if self.kill_at.is_some() {
            return;
        }
        self.output.note("asked to stop");
        self.kill_at = Some(Instant::now() + grace);
        // Not reaped yet, or `kill_at` would be set: neither number can be anybody else's. A worker
        // that left its group empty is asked alone.
        if kill_process_group(self.pid, Signal::TERM).is_err() {
            let _ = kill_process(self.pid, Signal::TERM);
        }
    }

    /// Asks what the worker left behind to end.
    fn end_leftovers(&mut self, grace: Duration) {
        let latest = Instant::now() + grace.min(LEFTOVER_GRACE);
        self.kill_at = Some(self.kill_at.map_or(latest, |kill_at| kill_at.min(latest)));
        let left = below_us();
        for process in &left {
            process.signal(Signal::TERM);
        }
        if !left.is_empty() {
            let count = left.len();
            self.output
                .note(&format!("processes left behind, asked to end: {count}"));
        }
    }

    /// Ends everything at once, and again after a while.
    fn kill(&mut self) {
        let left = below_us();
        for process in &left {
            process.signal(Signal::KILL);
        }
        self.output
            .note(&format!("processes killed: {}", left.len()));
        self.kill_at = Some(Instant::now() + self.kill_again);
        self.kill_again = (self.kill_again * 2).min(KILL_AGAIN_MAX);
    }
}

/// Waits, not for ever, until a task is done.
async fn finished(task: &mut JoinHandle<()>, limit: Duration) {
    if !task.is_finished() {
        let _ = timeout(limit, task).await;
    }
}

/// What a note of a start begins with.
pub(crate) const START_NOTE: &str = "started as process ";

/// What a note of an exit begins with: an adopted worker's reason is read from its log.
pub(crate) const EXIT_NOTE: &str = "ended: ";

fn below_us() -> Vec<Identity> {
    let us = rustix::process::getpid().as_raw_nonzero().get();
    tree::descendants(&tree::living(), us)
}

/// How a process ended, for people, by its exit status or the number of the signal that killed it.
pub(crate) fn describe(exit_status: Option<i32>, signal: Option<i32>) -> String {
    match (exit_status, signal.map(nix::sys::signal::Signal::try_from)) {
        (Some(status), _) => format!("exit status {status}"),
        (None, Some(Ok(signal))) => format!("killed by {signal}"),
        (None, _) => format!("killed by signal {}", signal.unwrap_or_default()),
    }
}
