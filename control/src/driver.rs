//! What starts and stops workers.
//!
//! A driver only acts. Whether a worker is wanted is decided by `scale` and `plan`, whether it is
//! ready by `probe`; the `shell` alone calls a driver.

pub mod container;
pub mod fixed;
pub mod numa;
pub mod process;
#[cfg(test)]
pub(crate) mod testing;

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use penstock_config::fleet::WorkerId;
use tokio::sync::mpsc;

use self::process::ProcessTree;
pub use crate::core::{NewWorker, StartError, WorkerExit};

/// Starts, stops and finds again the workers of deployments with one kind of source.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Brings whatever a worker needs before it is started that takes a while, but no GPU: its image.
    async fn prepare(&self, _worker: &NewWorker) -> Result<(), StartError> {
        Ok(())
    }

    /// Starts a worker and returns as soon as it exists, long before it is ready. When it ends by
    /// itself later, a [`WorkerExit`] is sent.
    async fn start(&self, worker: &NewWorker) -> Result<StartedWorker, StartError>;

    /// Ends a worker and everything it started: asks first, forces after the grace of its
    /// deployment. Returns when nothing of it is left. Ending one that is gone already is fine.
    async fn stop(&self, id: &WorkerId);

    /// A start that is under way is not wanted any more: it is to fail soon. One that takes no time to
    /// speak of may go on.
    fn call_off(&self, _id: &WorkerId) {}

    /// Where it reports how far starts are that take a while.
    fn tell_progress(&self, _to: ProgressSender) {}

    /// From now on no worker is given time to end, not even one that is being stopped already.
    fn hurry(&self) {}

    /// Takes over a worker that an earlier run of control started. `None` when it is not there any
    /// more; whatever was left of it has been ended then.
    async fn adopt(&self, worker: &NewWorker, saved: &str) -> Option<StartedWorker>;

    /// Ends every worker of this installation that an earlier run started and that is neither
    /// among `known` nor started or adopted since; gives their ids. A driver whose workers end
    /// with control, or are not its own, has nothing to do.
    async fn sweep(&self, _known: &[WorkerId]) -> Vec<WorkerId> {
        Vec::new()
    }
}

/// A worker that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedWorker {
    /// Where it will listen.
    pub address: SocketAddr,
    /// Where its processes are found; `None` when it is made of none that the driver started.
    pub processes: Option<ProcessTree>,
    /// Its GPUs.
    pub gpus: Vec<String>,
    /// What the driver needs to find it again after a restart of control; opaque to everyone else.
    pub saved: String,
}

/// Takes in how far the start of a worker is, for people.
pub type ProgressSender = Arc<dyn Fn(WorkerId, String) + Send + Sync>;

/// Where drivers report exits.
pub type ExitSender = mpsc::UnboundedSender<WorkerExit>;
