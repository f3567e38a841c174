//! Follows one container from its start to its end.

use std::{sync::Arc, time::Duration};

use bollard::{
    errors::Error,
    models::ContainerInspectResponse,
    query_parameters::{CreateContainerOptions, KillContainerOptions, StopContainerOptions},
};
use futures_util::StreamExt as _;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{Shared, create::Plan, engine::Trouble, exit, image, output::Log, saved::Saved};
use crate::driver::{
    NewWorker, StartError, StartedWorker, WorkerExit,
    numa::Numa,
    process::{EXIT_NOTE, LogOrder, near, port::Port},
};

/// How long is waited before an engine that went away is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// How long the end of a container waits for its last output.
const LAST_OUTPUT: Duration = Duration::from_secs(5);

/// What the engine may take longer than the grace that it is told to give.
const ENGINE_MARGIN: Duration = Duration::from_secs(60);

/// One worker that is to be, or is.
pub(super) struct Life {
    pub(super) shared: Arc<Shared>,
    pub(super) worker: NewWorker,
    /// Becomes true when the worker is to end.
    pub(super) stop: watch::Receiver<bool>,
    /// Becomes true when it has no time left to end by itself.
    pub(super) hurry: watch::Receiver<bool>,
}

/// A container that exists.
pub(super) struct Here {
    pub(super) container: String,
    pub(super) saved: Saved,
    pub(super) log: Arc<Log>,
    /// Held as long as the container is.
    pub(super) port: Port,
}

/// How a container was found to have ended.
enum Ended {
    /// It is there and does not run any more.
    Exited(Box<ContainerInspectResponse>),
    /// Somebody has removed it.
    Removed,
}

impl Life {
    /// Makes the container, tells where it is or why it could not be made, and returns when nothing of
    /// it is left.
    pub(super) async fn start(
        mut self,
        log: LogOrder,
        tell: oneshot::Sender<Result<StartedWorker, StartError>>,
    ) {
        let mut stop = self.stop.clone();
        let begun = tokio::select! {
            begun = self.begin(log) => begun,
            () = wanted(&mut stop) => Err(StartError::Failed("stopped while starting".to_owned())),
        };
        let (here, started) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                // What was asked for last may have been done all the same.
                self.remove_all().await;
                return drop(tell.send(Err(error)));
            }
        };
        if tell.send(Ok(started)).is_err() {
            // Whoever asked for it has gone: nobody would ever stop it.
            return self.end(here, None).await;
        }
        self.follow(here).await;
    }

    /// Has the image brought, and tells when it is there.
    pub(super) async fn prepare(self, tell: oneshot::Sender<Result<(), StartError>>) {
        let mut stop = self.stop.clone();
        let pulled = tokio::select! {
            pulled = self.pull() => pulled,
            () = wanted(&mut stop) => Err(StartError::Failed("stopped while starting".to_owned())),
        };
        drop(tell.send(pulled));
    }

    async fn pull(&self) -> Result<(), StartError> {
        let shared = &self.shared;
        let spec = super::container_spec(&self.worker)?;
        let tell = |text| shared.tell_progress(&self.worker.id, text);
        let pulled = image::ensure(&shared.engine, &shared.pulls, spec, tell);
        pulled.await.map_err(failed)
    }

    async fn begin(&self, order: LogOrder) -> Result<(Here, StartedWorker), StartError> {
        let shared = &self.shared;
        let spec = super::container_spec(&self.worker)?;
        self.pull().await?;
        let port = shared.claim_port()?;
        let gpus = self.worker.gpus.as_deref().unwrap_or_default();
        let near = match spec.numa {
            true => Some(near(&Numa::default(), &self.worker, gpus).await),
            false => None,
        };
        let plan = Plan {
            worker: &self.worker,
            spec,
            installation: &shared.installation,
            port: port.number,
            gpus,
            near: near.as_ref().and_then(|near| near.as_ref().ok()).cloned(),
        };
        let docker = shared.engine.client().await.map_err(failed)?;
        let options = CreateContainerOptions {
            name: Some(plan.name()),
            ..Default::default()
        };
        let made = docker.create_container(Some(options), plan.body(std::env::vars_os()));
        let container = made.await.map_err(|error| self.refused(&error))?.id;
        let log = Log::open(order).await.map_err(StartError::Failed)?;
        log.note(&format!(
            "starts as container {container:.12} of image {}",
            spec.image
        ));
        match &near {
            Some(Ok(near)) => log.note(&format!(
                "runs on CPUs {}, near its GPUs (NUMA node {})",
                near.cpu_list(),
                near.node_list()
            )),
            Some(Err(why)) => log.note(&format!("numa = true: runs on all CPUs, because {why}")),
            None => {}
        }
        let begun = docker.start_container(&container, None).await;
        begun.map_err(|error| self.refused(&error))?;
        let saved = plan.saved();
        let address = shared.address(&container, &saved.reach).await?;
        let started = StartedWorker {
            address,
            processes: None,
            gpus: saved.gpus.clone(),
            saved: saved.to_text(),
        };
        let here = Here {
            container,
            saved,
            log,
            port,
        };
        Ok((here, started))
    }

    fn refused(&self, error: &Error) -> StartError {
        failed(self.shared.engine.trouble(error))
    }

    /// Returns when nothing of the container is left.
    pub(super) async fn follow(mut self, here: Here) {
        let (shared, log) = (Arc::clone(&self.shared), Arc::clone(&here.log));
        let container = here.container.clone();
        let copied = tokio::spawn(async move { log.copy(&shared.engine, &container).await });
        let mut stop = self.stop.clone();
        tokio::select! {
            ended = self.ended(&here.container) => {
                let copied = finished(copied).await;
                self.tell(&here, &ended);
                self.end(here, copied).await;
            }
            () = wanted(&mut stop) => self.end(here, Some(copied)).await,
        }
    }

    /// Waits until the container does not run any more, however often the engine goes away meanwhile.
    async fn ended(&self, container: &str) -> Ended {
        let mut away = false;
        loop {
            let asked = match self.wait(container).await {
                Ok(()) => self.exited(container).await,
                Err(trouble) => Err(trouble),
            };
            match asked {
                Ok(Some(ended)) => return ended,
                Ok(None) => away = false,
                Err(trouble) => {
                    if !std::mem::replace(&mut away, true) {
                        tracing::warn!(
                            worker = super::title(&self.worker), reason = %trouble,
                            "a worker is served on, but nobody sees whether its container ends; the engine is asked again every second"
                        );
                    }
                }
            }
            sleep(AGAIN).await;
        }
    }

    /// Returns when the engine says that the container has ended, or that it is not there.
    async fn wait(&self, container: &str) -> Result<(), Trouble> {
        let docker = self.shared.engine.patient_client().await?;
        let mut answers = std::pin::pin!(docker.wait_container(container, None));
        match answers.next().await {
            // The status that it ended with is an error in this library.
            Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) | None => Ok(()),
            Some(Err(error)) => match self.shared.engine.trouble(&error) {
                Trouble::NotThere(_) => Ok(()),
                other => Err(other),
            },
        }
    }

    /// How the container ended; `None` while it runs.
    async fn exited(&self, container: &str) -> Result<Option<Ended>, Trouble> {
        let docker = self.shared.engine.client().await?;
        match docker.inspect_container(container, None).await {
            Ok(found) => {
                let state = found.state.as_ref();
                let runs = state.and_then(|state| state.running) == Some(true);
                Ok((!runs).then(|| Ended::Exited(Box::new(found))))
            }
            Err(error) => match self.shared.engine.trouble(&error) {
                Trouble::NotThere(_) => Ok(Some(Ended::Removed)),
                other => Err(other),
            },
        }
    }

    fn tell(&self, here: &Here, ended: &Ended) {
        let reason = match ended {
            Ended::Exited(found) => exit::reason(found, here.log.last_error().as_deref()),
            Ended::Removed => "its container was removed by somebody else".to_owned(),
        };
        here.log.note(&format!("{EXIT_NOTE}{reason}"));
        let id = self.worker.id.clone();
        // Nobody listens any more when control is ending.
        let _ = self.shared.exits.send(WorkerExit { id, reason });
    }

    /// Ends the container if it runs, lets its last words be written and removes it.
    async fn end(&mut self, here: Here, copied: Option<JoinHandle<()>>) {
        let title = super::title(&self.worker);
        let mut told = false;
        while let Err(trouble) = self.ask_to_end(&here).await {
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(worker = title, reason = %trouble, "a container cannot be stopped now; it is tried again");
            }
            sleep(AGAIN).await;
        }
        if let Some(copied) = copied {
            finished(copied).await;
        }
        here.log.close();
        while let Err(trouble) = self.shared.engine.remove(&here.container).await {
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(worker = title, reason = %trouble, "a container cannot be removed now; it is tried again");
            }
            sleep(AGAIN).await;
        }
        drop(here.port);
    }

    /// Has the engine end the container: by its stop signal, and by SIGKILL after the grace, or at once
    /// when there is no time.
    async fn ask_to_end(&mut self, here: &Here) -> Result<(), Trouble> {
        let grace = here.saved.stop_grace;
        let docker = self.shared.engine.client().await?;
        let docker = docker.with_timeout(grace + ENGINE_MARGIN);
        let options = StopContainerOptions {
            // A part of a second is rounded up; 0 kills at once.
            t: i32::try_from(grace.as_millis().div_ceil(1000)).ok(),
            ..Default::default()
        };
        let stopped = tokio::select! {
            stopped = docker.stop_container(&here.container, Some(options)) => stopped,
            () = wanted(&mut self.hurry) => {
                let kill = KillContainerOptions { signal: "SIGKILL".to_owned() };
                docker.kill_container(&here.container, Some(kill)).await
            }
        };
        match stopped {
            Ok(()) => Ok(()),
            Err(error) => match self.shared.engine.trouble(&error) {
                away @ Trouble::Away(_) => Err(away),
                // Not there, or not running: its removal is next, which kills whatever is left.
                _ => Ok(()),
            },
        }
    }

    /// Removes whatever there is of this worker, if the engine can be asked; else whoever sweeps does.
    async fn remove_all(&self) {
        let (engine, installation) = (&self.shared.engine, &self.shared.installation);
        let found = engine
            .containers(installation, Some(&self.worker.id.0))
            .await;
        for (container, _) in found.unwrap_or_default() {
            if engine.remove(&container).await.is_err() {
                self.shared.sweep_later();
            }
        }
    }
}

/// Waits, not for ever, until the last output was read; gives the task back when it was not.
async fn finished(mut copied: JoinHandle<()>) -> Option<JoinHandle<()>> {
    if timeout(LAST_OUTPUT, &mut copied).await.is_err() {
        copied.abort();
    }
    None
}

pub(super) fn failed(trouble: Trouble) -> StartError {
    StartError::Failed(trouble.to_string())
}

/// Returns when it is asked for.
pub(super) async fn wanted(asked: &mut watch::Receiver<bool>) {
    if asked.wait_for(|asked| *asked).await.is_err() {
        // The driver is gone, and this task will be too.
        std::future::pending().await
    }
}
