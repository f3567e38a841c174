//! What could not be written, to be tried again: the newest state of each service and worker, so that
//! it never is more than there is of those.

use std::collections::BTreeMap;

use rusqlite::{Connection, ErrorCode};

use super::{rows, writer::Job};
use crate::remembered::{ServiceRow, Table, WorkerRow};

/// The newest state that is not in the file.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    services: BTreeMap<(Table, String), ServiceRow>,
    /// By id; `None`: it is to be forgotten.
    workers: BTreeMap<String, Option<WorkerRow>>,
    /// Whether they sleep, by id. Of those that are not in `workers` the rest is in the file.
    sleeps: BTreeMap<String, String>,
}

impl Unwritten {
    /// Keeps what a job wanted to write, if it must not be lost.
    pub(super) fn keep(&mut self, job: &Job) {
        match job {
            Job::PutService(table, row, _) => {
                let key = (*table, row.service.clone());
                self.services.insert(key, row.clone());
            }
            Job::PutWorker(row, _) => {
                self.sleeps.remove(&row.id);
                self.workers.insert(row.id.clone(), Some(row.clone()));
            }
            Job::ForgetWorker(id, _) => {
                self.sleeps.remove(id);
                self.workers.insert(id.clone(), None);
            }
            Job::PutSleep(id, sleep, _) => {
                self.sleeps.insert(id.clone(), sleep.clone());
            }
            _ => {}
        }
    }

    /// Writes it; before whatever is newer.
    pub(super) fn write(&self, db: &Connection) -> rusqlite::Result<()> {
        for ((table, _), row) in &self.services {
            rows::put_service(db, *table, row)?;
        }
        for (id, worker) in &self.workers {
            match worker {
                Some(row) => rows::put_worker(db, row)?,
                None => rows::forget_worker(db, id)?,
            }
        }
        for (id, sleep) in &self.sleeps {
            rows::put_sleep(db, id, sleep)?;
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        let asleep = self.sleeps.keys();
        let only_asleep = asleep.filter(|id| !self.workers.contains_key(*id));
        self.services.len() + self.workers.len() + only_asleep.count()
    }
}

/// Whether the same can be written at another time: the trouble is with the disk, not with the data.
pub(super) fn is_worth_another_try(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
                | ErrorCode::PermissionDenied
        )
    )
}
