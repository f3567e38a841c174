//! Takes over the containers of an earlier run.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    ContainerDriver, create,
    engine::Trouble,
    in_time,
    life::Here,
    output::Log,
    saved::{Reach, Saved},
    title,
};
use crate::driver::{NewWorker, StartedWorker};

/// How long it is read what a container has said while nobody listened.
const LAST_WORDS: Duration = Duration::from_secs(5);

impl ContainerDriver {
    /// Takes over the container of a worker, or ends what is left of it.
    pub(super) async fn adopt_or_end(
        &self,
        worker: &NewWorker,
        saved: &str,
    ) -> Option<StartedWorker> {
        let shared = &self.shared;
        let found = in_time(self.find(worker, saved)).await;
        let log = Log::go_on(shared.log_of(worker)).await;
        let adopted = match (found, log) {
            (Ok(Some((container, saved))), Ok(log)) => {
                self.adopt_known(worker, container, saved, log).await
            }
            (Err(Trouble::Away(reason)), Ok(log)) => self.adopt_unseen(worker, saved, log, &reason),
            (_, Err(reason)) | (Err(Trouble::Refused(reason)), _) => {
                tracing::warn!(
                    worker = title(worker),
                    reason,
                    "a worker of an earlier run cannot be taken over"
                );
                None
            }
            (Ok(None) | Err(Trouble::NotThere(_)), _) => None,
        };
        {
            let mut spared = shared.spared.lock();
            spared.waiting.remove(&worker.id);
            spared.tried.insert(worker.id.clone());
        }
        if adopted.is_none() {
            shared.sweep_later();
        }
        adopted
    }

    async fn adopt_known(
        &self,
        worker: &NewWorker,
        container: String,
        saved: Saved,
        log: Arc<Log>,
    ) -> Option<StartedWorker> {
        let address = self.shared.address(&container, &saved.reach).await.ok()?;
        let started = StartedWorker {
            address,
            processes: None,
            gpus: saved.gpus.clone(),
            saved: saved.to_text(),
        };
        self.take_over(worker, container, saved, log);
        Some(started)
    }

    /// The engine cannot be asked, but its containers may serve all the same: the probes will tell.
    fn adopt_unseen(
        &self,
        worker: &NewWorker,
        saved: &str,
        log: Arc<Log>,
        reason: &str,
    ) -> Option<StartedWorker> {
        let saved = Saved::from_text(saved)?;
        let Reach::Loopback(port) = saved.reach else {
            // Its address is known to the engine alone.
            return None;
        };
        tracing::warn!(
            worker = title(worker),
            reason,
            "a container of an earlier run is taken over unseen"
        );
        let started = StartedWorker {
            address: ([127, 0, 0, 1], port).into(),
            processes: None,
            gpus: saved.gpus.clone(),
            saved: saved.to_text(),
        };
        let name = create::name(&worker.id);
        self.take_over(worker, name, saved, log);
        Some(started)
    }

    /// The container of a worker of an earlier run, if it runs; what is left of it otherwise is removed.
    async fn find(
        &self,
        worker: &NewWorker,
        saved: &str,
    ) -> Result<Option<(String, Saved)>, Trouble> {
        let shared = &self.shared;
        let found = shared
            .engine
            .containers(&shared.installation, Some(&worker.id.0));
        let mut living = None;
        for (container, _) in found.await? {
            match shared.living(&container, saved).await? {
                Some(saved) if living.is_none() => living = Some((container, saved)),
                _ => {
                    self.last_words(worker, &container).await;
                    shared.engine.remove(&container).await?;
                }
            }
        }
        Ok(living)
    }

    /// Writes down what a container that has ended said while nobody listened.
    async fn last_words(&self, worker: &NewWorker, container: &str) {
        if let Ok(log) = Log::go_on(self.shared.log_of(worker)).await {
            let copied = log.copy(&self.shared.engine, container);
            let _ = timeout(LAST_WORDS, copied).await;
            log.close();
        }
    }

    fn take_over(&self, worker: &NewWorker, container: String, saved: Saved, log: Arc<Log>) {
        let shared = &self.shared;
        let here = Here {
            port: shared.ports.reclaim(saved.port),
            container,
            log,
            saved,
        };
        self.follow(worker, here.saved.stop_grace, |life| life.follow(here));
    }
}
