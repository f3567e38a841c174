//! The process above every worker.
//!
//! Each worker has a supervisor: a second process of this executable that starts it, keeps its
//! log, adopts its orphans, and ends everything it started. Being outside of control it keeps
//! doing so when control crashes: the worker goes on, its output is still read (a pipe without a
//! reader would kill it), and whatever it leaves behind is still below its supervisor, so that it
//! is found whatever session, group or environment it gave itself.
//!
//! Control speaks to it through its standard input and output ([`wire`]) while starting, and by
//! SIGTERM to stop it, SIGQUIT to end it at once; nothing else, so that a later control can take it over.

pub(crate) mod clean;
mod ending;
pub(crate) mod lines;
pub(crate) mod log_file;
mod near;
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
    process::{Pid, WaitOptions, WaitStatus, set_child_subreaper, setsid, wait},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::{JoinHandle, LocalSet},
    time::{Instant, sleep_until, timeout},
};

use self::{
    ending::Ending,
    output::Output,
    wire::{Order, Report},
};
use super::identity::Identity;

/// How long a reason waits for the last words of the worker.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How long the end waits for output that may still come.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// The whole life of a supervisor. `main` must call it, with nothing done before and nothing
/// after, when the first argument is [`SUPERVISE`](super::SUPERVISE).
pub fn supervise() -> ExitCode {
    clean::close_inherited_descriptors();
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
    if let Some(soft) = order.open_files {
        clean::limit_open_files(soft);
    }
    let output = Output::open(order.log.clone())?;
    if let Some(cpus) = &order.cpus {
        near::keep_to(cpus, &output);
    }
    let signals = Signals::new().map_err(|error| format!("signal handlers: {error}"))?;
    let worker = Worker::start(&order, output)?;
    worker.watch(signals).await;
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
    /// Control is in a hurry.
    quit: tokio::signal::unix::Signal,
    /// Never looked at: to have it caught is enough not to die of it.
    _hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
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
    /// It is to end.
    stopping: bool,
    ending: Ending,
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
            stopping: false,
            ending: Ending::new(order.stop_grace),
        })
    }

    /// Returns when the worker has ended and nothing of it is left.
    async fn watch(mut self, mut signals: Signals) {
        while self.reap().await {
            if self.ending.due().is_some_and(|due| due <= Instant::now()) {
                self.kill();
            }
            let kill_due = async {
                match self.ending.due() {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = signals.child.recv() => {}
                _ = signals.terminate.recv() => self.stop(),
                _ = signals.interrupt.recv() => self.stop(),
                _ = signals.quit.recv() => self.hurry(),
                () = kill_due => {}
            }
        }
        finished(&mut self.stdout, LAST_OUTPUT).await;
        finished(&mut self.stderr, LAST_OUTPUT).await;
    }

    /// Reaps every child that ended. `false` when there is none left, and thereby no descendant
    /// either: all of them are children or below one.
    async fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.pid && !self.exited => {
                    self.exited = true;
                    self.report_exit(status).await;
                    self.end_leftovers();
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

    /// Asks the worker and all that it started to end.
    fn stop(&mut self) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.output.note("asked to stop");
        self.ending.ask(Instant::now());
    }

    /// Asks what the worker left behind to end, unless it was asked with the worker.
    fn end_leftovers(&mut self) {
        let count = self.ending.ask(Instant::now());
        if count > 0 {
            self.output
                .note(&format!("processes left behind, asked to end: {count}"));
        }
    }

    /// Ends everything at once, and again after a while.
    fn kill(&mut self) {
        let count = self.ending.kill(Instant::now());
        if count > 0 {
            self.output.note(&format!("processes killed: {count}"));
        }
    }

    fn hurry(&mut self) {
        self.stopping = true;
        self.output.note("asked to end at once");
        self.ending.hurry(Instant::now());
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

/// How a process ended, for people, by its exit status or the number of the signal that killed it.
pub(crate) fn describe(exit_status: Option<i32>, signal: Option<i32>) -> String {
    match (exit_status, signal.map(nix::sys::signal::Signal::try_from)) {
        (Some(status), _) => format!("exit status {status}"),
        (None, Some(Ok(signal))) => format!("killed by {signal}"),
        (None, _) => format!("killed by signal {}", signal.unwrap_or_default()),
    }
}
