//! Follows one worker from its start to its end.

use std::time::Duration;

use penstock_config::fleet::WorkerId;
use rustix::process::Signal;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::{
    children, end,
    identity::{Identity, Watch},
    launch::{Launch, Launched, Reports},
    logs,
    port::Port,
    saved::{Saved, boot},
    supervisor::wire::Report,
};
use crate::driver::{ExitSender, WorkerExit};

/// What a supervisor may take longer than the grace it gives, before it counts as hanging.
const SUPERVISOR_MARGIN: Duration = Duration::from_secs(10);

/// How long a supervisor may take to kill everything of its worker.
const HURRIED_END: Duration = Duration::from_millis(500);

/// How long an adopted worker's supervisor has to write down how the worker ended.
const NOTE_WAIT: Duration = Duration::from_millis(200);

/// One worker that is to be, or is.
pub(crate) struct Life {
    pub(crate) id: WorkerId,
    pub(crate) installation: String,
    pub(crate) exits: ExitSender,
    /// Becomes true when the worker is to end.
    pub(crate) stop: watch::Receiver<bool>,
    /// Becomes true when it has no time left to end by itself.
    pub(crate) hurry: watch::Receiver<bool>,
    pub(crate) port: Port,
    pub(crate) gpus: Vec<String>,
}

/// How the end of a worker becomes known.
enum Source {
    /// Its supervisor, started by us, says so.
    Reports(Reports),
    /// An adopted one: the worker itself is watched, and the reason stands in its log.
    Adopted { worker: Watch, saved: Saved },
}

impl Life {
    /// Starts the worker, tells what to save of it or why it failed, and returns when nothing of
    /// it is left.
    pub(crate) async fn start(
        mut self,
        launch: Launch,
        tell: oneshot::Sender<Result<Saved, String>>,
    ) {
        let (log, stop_grace) = (launch.log.path.clone(), launch.stop_grace);
        let (mut launched, watch) = match launch.spawn().await {
            Ok(launched) => launched,
            Err(reason) => return drop(tell.send(Err(reason))),
        };
        let started = tokio::select! {
            started = launched.reports.started() => started,
            () = wanted(&mut self.stop) => Err("stopped while starting".to_owned()),
        };
        let worker = match started {
            Ok(worker) => worker,
            Err(reason) => {
                self.finish(launched.supervisor).await;
                return drop(tell.send(Err(reason)));
            }
        };
        let saved = Saved {
            boot: boot(),
            supervisor: launched.supervisor,
            worker,
            port: self.port.number,
            gpus: self.gpus.clone(),
            stop_grace,
            log,
        };
        if tell.send(Ok(saved)).is_err() {
            // Whoever asked for it has gone: nobody would ever stop it.
            return self.end(stop_grace, launched.supervisor, &watch).await;
        }
        let Launched {
            supervisor,
            reports,
        } = launched;
        self.follow(stop_grace, supervisor, watch, Source::Reports(reports))
            .await;
    }

    /// Takes over the worker of an earlier run; returns when nothing of it is left.
    pub(crate) async fn adopt(self, saved: Saved, supervisor: Watch, worker: Watch) {
        let (grace, id) = (saved.stop_grace, saved.supervisor);
        self.follow(grace, id, supervisor, Source::Adopted { worker, saved })
            .await;
    }

    async fn follow(
        mut self,
        grace: Duration,
        supervisor: Identity,
        watch: Watch,
        mut source: Source,
    ) {
        tokio::select! {
            reason = ended(&mut source, &watch) => self.tell(supervisor, reason),
            () = wanted(&mut self.stop) => {}
        }
        self.end(grace, supervisor, &watch).await;
    }

    fn tell(&self, supervisor: Identity, reason: Option<String>) {
        let reason = reason.unwrap_or_else(|| {
            let how = children::how_ended(supervisor);
            let how = how.map_or_else(String::new, |how| format!(" ({how})"));
            format!("its supervisor ended unexpectedly{how}")
        });
        let id = self.id.clone();
        // Nobody listens any more when control is ending.
        let _ = self.exits.send(WorkerExit { id, reason });
    }

    async fn end(&mut self, grace: Duration, supervisor: Identity, watch: &Watch) {
        // Does no harm when the supervisor is ending the worker already.
        watch.signal(Signal::TERM);
        // What the worker leaves behind, having had all its time, has as much again.
        let patience = grace.saturating_mul(2).saturating_add(SUPERVISOR_MARGIN);
        let ended = tokio::select! {
            ended = timeout(patience, watch.ended()) => ended,
            () = wanted(&mut self.hurry) => {
                watch.signal(Signal::QUIT);
                timeout(HURRIED_END, watch.ended()).await
            }
        };
        if ended.is_err() {
            tracing::warn!(worker = %self.id, "the worker's supervisor hangs and is ended");
        }
        self.finish(supervisor).await;
    }

    /// Ends what the supervisor did not, and the supervisor if it lives.
    async fn finish(&self, supervisor: Identity) {
        end::worker(&self.id.0, &self.installation, Some(supervisor)).await;
        children::reap(supervisor);
    }
}

/// Returns when it is asked for.
async fn wanted(asked: &mut watch::Receiver<bool>) {
    if asked.wait_for(|asked| *asked).await.is_err() {
        // The driver is gone, and this task will be too.
        std::future::pending().await
    }
}

/// Waits for the end of the worker; how it ended, if that is known.
async fn ended(source: &mut Source, supervisor: &Watch) -> Option<String> {
    match source {
        Source::Reports(reports) => loop {
            match reports.next().await {
                Some(Report::Exited(reason)) => return Some(reason),
                Some(_) => {}
                None => {
                    supervisor.ended().await;
                    return None;
                }
            }
        },
        Source::Adopted { worker, saved } => {
            tokio::select! {
                () = worker.ended() => {}
                () = supervisor.ended() => {}
            }
            let _ = timeout(NOTE_WAIT, supervisor.ended()).await;
            logs::exit_reason(&saved.log)
        }
    }
}
