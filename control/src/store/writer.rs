//! The thread that works on the state file.

use std::{collections::HashMap, sync::Arc};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    StoreError, advice,
    changes::{self, ChangesQuery},
    demand,
    health::{Health, Teller},
    journal::{self, JournalQuery},
    rows, starts,
    unwritten::{Unwritten, is_worth_another_try},
};
use crate::remembered::{
    AdviceRow, DemandRow, DesiredRow, JournalEntry, ServiceRow, StartRow, Table, WorkerRow,
};

/// Most jobs of one transaction.
const BATCH_MAX: usize = 512;

/// Entries of a deployment between two prunings of its journal: deleting each time would double
/// the work.
const PRUNE_EVERY: u32 = 100;

/// Where entries of the journal are sent that somebody asked for.
type Entries = oneshot::Sender<Result<Vec<JournalEntry>, StoreError>>;

/// Who waits for something to be written; an error says why it is not yet.
type Done = oneshot::Sender<Result<(), Arc<str>>>;

/// What there is to do. The senders are told when it is written.
#[derive(Debug)]
pub(super) enum Job {
    Note(JournalEntry),
    Desired(DesiredRow),
    Started(StartRow),
    Advice(AdviceRow),
    PutDemand(DemandRow),
    /// Of a deployment of a service.
    ForgetDemand(String, String),
    PutWorker(WorkerRow, Done),
    ForgetWorker(String, Done),
    /// Of the worker with this id.
    PutSleep(String, String, Done),
    PutService(Table, ServiceRow, Done),
    /// Nothing new, but what could not be written.
    Retry,
    Journal(JournalQuery, Entries),
    Changes(ChangesQuery, Entries),
    Flush(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// Works until it is told to close or nobody can send any more. Gives back what was waiting for
/// the end; whoever waits is released when it is dropped.
pub(super) fn run(mut db: Connection, mut jobs: mpsc::Receiver<Job>, health: Health) -> Vec<Job> {
    let mut closing = Vec::new();
    let mut writer = Writer::default();
    let teller = Teller::new(health);
    while let Some(first) = jobs.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX
            && let Ok(next) = jobs.try_recv()
        {
            batch.push(next);
        }
        let written = writer.write_all(&mut db, &batch, &teller);
        for job in batch {
            match job {
                Job::Close(_) => closing.push(job),
                other => reply(&db, other, &written),
            }
        }
        if !closing.is_empty() {
            break;
        }
    }
    if let Err((_, error)) = db.close() {
        tracing::warn!(%error, "closing the state file failed");
    }
    closing
}

#[derive(Default)]
struct Writer {
    /// Entries by deployment since its journal was last pruned. As many as there are deployments
    /// with news between two prunings of all.
    unpruned: HashMap<(String, String), u32>,
    written: u32,
    /// What failed before and is tried again with whatever comes next.
    unwritten: Unwritten,
}

impl Writer {
    /// Writes a batch and what is left of earlier ones; an error says why nothing was written.
    fn write_all(
        &mut self,
        db: &mut Connection,
        batch: &[Job],
        teller: &Teller,
    ) -> Result<(), Arc<str>> {
        let Err(error) = self.write(db, batch) else {
            self.unwritten = Unwritten::default();
            teller.well();
            return Ok(());
        };
        if is_worth_another_try(&error) {
            batch.iter().for_each(|job| self.unwritten.keep(job));
        } else {
            // Were it something kept, nothing could ever be written again.
            self.unwritten = Unwritten::default();
        }
        let reason: Arc<str> = error.to_string().into();
        teller.failed(Arc::clone(&reason), self.unwritten.len());
        Err(reason)
    }

    fn write(&mut self, db: &mut Connection, batch: &[Job]) -> rusqlite::Result<()> {
        let transaction = db.transaction()?;
        self.unwritten.write(&transaction)?;
        for job in batch {
            match job {
                Job::Note(entry) => self.note(&transaction, entry)?,
                Job::Desired(row) => {
                    rows::put_desired(&transaction, row)?;
                    rows::prune_desired(&transaction, row.at_ms)?;
                }
                Job::Started(row) => starts::put(&transaction, row)?,
                Job::Advice(row) => advice::put(&transaction, row)?,
                Job::PutDemand(row) => demand::put(&transaction, row)?,
                Job::ForgetDemand(service, deployment) => {
                    demand::forget(&transaction, service, deployment)?;
                    rows::forget_desired(&transaction, service, deployment)?;
                }
                Job::PutWorker(row, _) => rows::put_worker(&transaction, row)?,
                Job::ForgetWorker(id, _) => rows::forget_worker(&transaction, id)?,
                Job::PutSleep(id, sleep, _) => rows::put_sleep(&transaction, id, sleep)?,
                Job::PutService(table, row, _) => rows::put_service(&transaction, *table, row)?,
                Job::Journal(..)
                | Job::Changes(..)
                | Job::Retry
                | Job::Flush(_)
                | Job::Close(_) => {}
            }
        }
        transaction.commit()
    }

    fn note(&mut self, db: &Connection, entry: &JournalEntry) -> rusqlite::Result<()> {
        journal::append(db, entry)?;
        let key = (entry.service.clone(), entry.deployment.clone());
        let unpruned = self.unpruned.entry(key).or_insert(PRUNE_EVERY - 1);
        *unpruned += 1;
        if *unpruned >= PRUNE_EVERY {
            *unpruned = 0;
            journal::prune(db, &entry.service, &entry.deployment)?;
        }
        self.written += 1;
        if self.written >= 10 * PRUNE_EVERY {
            self.written = 0;
            self.unpruned.clear();
            journal::prune_all(db)?;
        }
        Ok(())
    }
}

/// Whoever does not wait any more needs no answer.
fn reply(db: &Connection, job: Job, written: &Result<(), Arc<str>>) {
    match job {
        Job::Note(_)
        | Job::Desired(_)
        | Job::Started(_)
        | Job::Advice(_)
        | Job::PutDemand(_)
        | Job::Retry
        | Job::ForgetDemand(..) => {}
        Job::PutWorker(_, done)
        | Job::ForgetWorker(_, done)
        | Job::PutSleep(_, _, done)
        | Job::PutService(_, _, done) => {
            let _ = done.send(written.clone());
        }
        Job::Flush(done) | Job::Close(done) => {
            let _ = done.send(());
        }
        Job::Journal(query, reply) => {
            let entries = journal::read(db, &query);
            let _ = reply.send(entries.map_err(|error| damaged(db, &error)));
        }
        Job::Changes(query, reply) => {
            let entries = changes::read(db, &query);
            let _ = reply.send(entries.map_err(|error| damaged(db, &error)));
        }
    }
}

fn damaged(db: &Connection, error: &rusqlite::Error) -> StoreError {
    StoreError::Damaged {
        path: db.path().unwrap_or_default().into(),
        reason: error.to_string(),
    }
}
