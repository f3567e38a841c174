//! What control remembers across restarts, in one SQLite file: the journal of decisions, the
//! desired counts of the recent past and those that are only advised, the workers that run, how long
//! starts took, the load that forecasts are made from, weights that were set by hand, how far
//! rollouts have come, and what is paused.
//!
//! A thread of its own does the work, in batches: one transaction for all that has come in
//! meanwhile. The loop of control never waits for it.

mod advice;
mod changes;
mod demand;
mod health;
mod journal;
mod key;
mod lock;
mod open;
mod rows;
mod starts;
mod unwritten;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

pub(crate) use self::health::describe;
pub use self::{changes::ChangesQuery, journal::JournalQuery};
use self::{health::Health, lock::Lock, writer::Job};
pub use crate::remembered::{
    AdviceRow, DemandRow, DesiredRow, JournalEntry, Remembered, ServiceRow, StartRow, StateFailure,
    Table, WorkerRow,
};

/// Jobs waiting for the thread; what does not fit must wait or, if it is only a note, is dropped.
const JOBS_MAX: usize = 8192;

/// Why the state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("{}: another penstock process uses this state file", .0.display())]
    InUse(PathBuf),
    /// A newer penstock wrote it.
    #[error("{}: written by a newer penstock (format {found}, this one knows {known})", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format this program knows.
        known: u32,
    },
    /// It is something else, or damaged.
    #[error("{}: not a penstock state file, or damaged ({reason}); move it away to begin with an empty one", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// It cannot be read or written.
    #[error("{}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system or SQLite says.
        reason: String,
    },
    /// Something was not written, and will be as soon as it can be.
    #[error(
        "it is in force, but not in the state file, which cannot be written ({0}); it is tried again until it is there, and a restart before that forgets it"
    )]
    NotWritten(Arc<str>),
    /// The thread that works on it has ended.
    #[error("the state file was closed")]
    Closed,
}

/// The state file. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    /// Said once, not with every lost entry.
    losing: Arc<AtomicBool>,
    health: Health,
}

/// Tells what became of something that was to be written.
pub type Written = oneshot::Receiver<Result<(), Arc<str>>>;

impl Store {
    /// Opens the file, or makes it. Blocks for a moment.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn open(path: &Path) -> Result<(Self, Remembered), StoreError> {
        let lock = Lock::take(path)?;
        let (connection, remembered) = open::open(path)?;
        let (jobs, todo) = mpsc::channel(JOBS_MAX);
        let health = Health::default();
        let of_writer = health.clone();
        let name = path.to_owned();
        std::thread::Builder::new()
            .name("penstock-store".to_owned())
            .spawn(move || {
                let closing = writer::run(connection, todo, of_writer);
                // Only now may another process have the file.
                drop(lock);
                drop(closing);
            })
            .map_err(|error| StoreError::Unusable {
                path: name,
                reason: error.to_string(),
            })?;
        let losing = Arc::default();
        let store = Self {
            jobs,
            losing,
            health,
        };
        Ok((store, remembered))
    }

    /// Writes a line into the journal, soon. Dropped when the disk cannot keep up.
    pub fn note(&self, entry: JournalEntry) {
        self.try_send(Job::Note(entry));
    }

    /// Remembers a desired count, soon.
    pub fn desired(&self, row: DesiredRow) {
        self.try_send(Job::Desired(row));
    }

    /// Remembers how long a start took, soon.
    pub fn started(&self, row: StartRow) {
        self.try_send(Job::Started(row));
    }

    /// Remembers the counts of a deployment whose scaling only advises, soon.
    pub fn advice(&self, row: AdviceRow) {
        self.try_send(Job::Advice(row));
    }

    /// Remembers the load of a deployment on one day, soon.
    pub fn put_demand(&self, row: DemandRow) {
        self.try_send(Job::PutDemand(row));
    }

    /// Forgets the load and the desired counts of a deployment, soon.
    pub fn forget_demand(&self, service: String, deployment: String) {
        self.try_send(Job::ForgetDemand(service, deployment));
    }

    /// Why the file cannot be written, if so, and since when.
    pub fn failure(&self) -> Option<StateFailure> {
        self.health.failure()
    }

    /// Tries again what could not be written. To be called now and then.
    pub fn retry(&self) {
        if self.health.failure().is_some() {
            // When there is no room, others are about to try.
            drop(self.jobs.try_send(Job::Retry));
        }
    }

    /// Remembers a worker; returns when it is written, so that what is started afterwards will be
    /// found again whatever happens; or when it cannot be: it is tried again then.
    pub async fn put_worker(&self, row: WorkerRow) {
        self.send_row(|done| Job::PutWorker(row, done)).await;
    }

    /// Remembers whether a worker sleeps, if it is remembered itself; returns as `put_worker` does.
    pub async fn put_sleep(&self, id: String, sleep: String) {
        self.send_row(|done| Job::PutSleep(id, sleep, done)).await;
    }

    /// Forgets a worker; returns when it is written, or cannot be: it is tried again then.
    pub async fn forget_worker(&self, id: String) {
        self.send_row(|done| Job::ForgetWorker(id, done)).await;
    }

    /// Remembers what was done to a service, in the order of the calls. The receiver tells when it is
    /// written, or why it is not yet; `None` when the disk cannot keep up, and it must be tried again.
    pub fn put_service(&self, table: Table, row: ServiceRow) -> Option<Written> {
        let (done, written) = oneshot::channel();
        let queued = self.jobs.try_send(Job::PutService(table, row, done));
        queued.is_ok().then_some(written)
    }

    /// Reads from the journal, newest first.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub async fn journal(&self, query: JournalQuery) -> Result<Vec<JournalEntry>, StoreError> {
        self.read(|reply| Job::Journal(query, reply)).await
    }

    /// Reads the last changes of a deployment's count and what happened after each, newest first.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub async fn changes(&self, query: ChangesQuery) -> Result<Vec<JournalEntry>, StoreError> {
        self.read(|reply| Job::Changes(query, reply)).await
    }

    /// Returns when all that was written before is in the file.
    pub async fn flush(&self) {
        self.send(Job::Flush).await;
    }

    /// Closes the file for all handles; returns when another process may open it.
    pub async fn close(&self) {
        self.send(Job::Close).await;
    }

    async fn read<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let asked = self.jobs.send(job(reply)).await;
        asked.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    fn try_send(&self, job: Job) {
        let lost = self.jobs.try_send(job).is_err();
        if lost && !self.losing.swap(true, Ordering::Relaxed) {
            tracing::warn!("the state file cannot keep up; entries of the journal are lost");
        } else if !lost {
            self.losing.store(false, Ordering::Relaxed);
        }
    }

    async fn send_row(&self, job: impl FnOnce(oneshot::Sender<Result<(), Arc<str>>>) -> Job) {
        let (done, written) = oneshot::channel();
        if self.jobs.send(job(done)).await.is_ok() {
            // What went wrong shows in the log and in the status, and is tried again.
            drop(written.await);
        }
    }

    async fn send(&self, job: impl FnOnce(oneshot::Sender<()>) -> Job) {
        let (done, written) = oneshot::channel();
        if self.jobs.send(job(done)).await.is_ok() {
            // An error means that the thread has ended, and it has said why.
            let _ = written.await;
        }
    }
}

/// How long desired counts are kept: longer than any pace's period should be.
pub(crate) const DESIRED_KEPT: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests;
