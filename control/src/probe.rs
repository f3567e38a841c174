//! Asks workers whether they are ready and alive.
//!
//! `probe/state.rs` says what results mean; the other files ask.

mod exec;
mod grpc;
mod http;
mod loaded;
mod port;
mod state;
mod target;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use penstock_config::{Probe, Probes};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until, timeout},
};

use self::{
    state::{Change, Kind, State},
    target::Target,
};
use crate::{
    core::{NewWorker, ProbeEvent, ProbeFailure},
    driver::process::ProcessTree,
    plain_text::plain,
    worker_http::{Cause, Failure},
};

/// Keeps the probes of a worker going; ends them when dropped.
#[derive(Debug)]
pub struct ProbeGuard {
    task: JoinHandle<()>,
    /// A request was answered since the last look.
    traffic: Arc<AtomicBool>,
}

impl ProbeGuard {
    /// The worker answered a request. Counts as a passed liveness probe, so that a worker too busy
    /// to answer probes in time is not replaced.
    pub fn note_traffic(&self) {
        self.traffic.store(true, Ordering::Relaxed);
    }
}

impl Drop for ProbeGuard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to probe a worker, whose start is now. Events end with the guard. `processes`: those of the
/// worker, which nobody else may answer for.
pub fn watch(
    worker: &NewWorker,
    address: SocketAddr,
    processes: Option<ProcessTree>,
    probes: &Probes,
    events: mpsc::UnboundedSender<ProbeEvent>,
) -> ProbeGuard {
    let traffic = Arc::new(AtomicBool::new(false));
    let watcher = Watcher {
        target: Arc::new(Target::new(worker, address, processes)),
        probes: probes.clone(),
        traffic: Arc::clone(&traffic),
        said: None,
        events,
        is_given: worker.spec.source.is_fixed(),
    };
    ProbeGuard {
        task: tokio::spawn(watcher.run()),
        traffic,
    }
}

struct Watcher {
    target: Arc<Target>,
    probes: Probes,
    traffic: Arc<AtomicBool>,
    /// What was told last of why its startup or readiness probe fails.
    said: Option<Option<ProbeFailure>>,
    events: mpsc::UnboundedSender<ProbeEvent>,
    /// Whether the worker is an address that the user gave, and there is something to tell of its
    /// first probe.
    is_given: bool,
}

impl Watcher {
    async fn run(mut self) {
        let start = Instant::now();
        let mut state = State::new(&self.probes);
        let mut running = JoinSet::new();
        let mut hindered = false;
        self.tell(state.begin());
        loop {
            if self.traffic.swap(false, Ordering::Relaxed) {
                state.traffic(start.elapsed());
            }
            for kind in state.due(start.elapsed()) {
                self.begin(kind, &mut running);
            }
            let due = state.wake_at().map(|at| start + at);
            if due.is_none() && running.is_empty() {
                return;
            }
            let until_due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(ended) = running.join_next() => {
                    // An error means that the program ends.
                    let Ok((kind, result)) = ended else { return };
                    if self.traffic.swap(false, Ordering::Relaxed) {
                        state.traffic(start.elapsed());
                    }
                    self.note(kind, &result, &mut hindered);
                    self.tell(match result {
                        Err(failure) if failure.is_local() => {
                            state.not_asked(kind, start.elapsed());
                            None
                        }
                        other => {
                            let result = other.map_err(|failure| failure.text);
                            state.result(kind, result, start.elapsed())
                        }
                    });
                }
                () = until_due => {}
            }
        }
    }

    fn begin(&self, kind: Kind, running: &mut JoinSet<(Kind, Result<(), Failure>)>) {
        let probe = match kind {
            Kind::Startup => &self.probes.startup,
            Kind::Ready => &self.probes.ready,
            Kind::Live => &self.probes.live,
        };
        if let Some(probe) = probe.clone() {
            let target = Arc::clone(&self.target);
            running.spawn(async move { (kind, ask(&target, &probe).await) });
        }
    }

    fn note(&mut self, kind: Kind, result: &Result<(), Failure>, hindered: &mut bool) {
        let failure = result.as_ref().err();
        if kind != Kind::Live {
            self.say(failure);
            let failed = failure.is_some_and(|failure| !failure.is_local());
            if std::mem::take(&mut self.is_given) && failed {
                let id = self.target.id.clone();
                let _ = self.events.send(ProbeEvent::Unreachable(id));
            }
        }
        let local = failure.filter(|failure| failure.is_local());
        // Not with every probe.
        if let Some(failure) = local.filter(|_| !*hindered) {
            tracing::warn!(
                worker = %self.target.id, reason = failure.text,
                "a worker cannot be probed for want of something on this machine; it is tried again, and counts neither for nor against the worker"
            );
        }
        *hindered = local.is_some();
    }

    /// Tells why the worker is not ready, if that is news.
    fn say(&mut self, failure: Option<&Failure>) {
        let now = failure.map(|failure| ProbeFailure {
            text: failure.text.as_str().into(),
            wrong_port: failure.cause == Cause::Port,
        });
        if self.said.as_ref() != Some(&now) {
            self.said = Some(now.clone());
            let id = self.target.id.clone();
            let _ = self.events.send(ProbeEvent::Says(id, now));
        }
    }

    fn tell(&self, change: Option<Change>) {
        let id = self.target.id.clone();
        let event = match change {
            None => return,
            Some(Change::Ready) => ProbeEvent::Ready(id),
            Some(Change::NotReady(reason)) => ProbeEvent::NotReady(id, reason),
            Some(Change::LivenessFailed(reason)) => ProbeEvent::LivenessFailed(id, reason),
        };
        // Nobody listens any more when control is ending.
        let _ = self.events.send(event);
    }
}

/// Asks once; an error says why the probe failed.
async fn ask(target: &Target, probe: &Probe) -> Result<(), Failure> {
    let limit = probe.timeout;
    match timeout(limit, target.ask(&probe.kind)).await {
        // Some of it may be the words of the worker.
        Ok(result) => result.map_err(|failure| Failure {
            text: plain(&failure.text).into_owned(),
            ..failure
        }),
        Err(_) => Err(format!("no answer within {}", shown(limit)).into()),
    }
}

fn shown(duration: Duration) -> impl std::fmt::Display {
    humantime::format_duration(duration)
}

#[cfg(test)]
mod tests;
