//! What is kept besides the journal.

use std::time::Duration;

use rusqlite::{Connection, Result, params};

use super::DESIRED_KEPT;
use crate::remembered::{DesiredRow, ServiceRow, Table, WorkerRow};

pub(super) fn put_worker(db: &Connection, row: &WorkerRow) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO workers (id, service, deployment, slot, revision, saved, sleep) VALUES (?, ?, ?, ?, ?, ?, ?)";
    let mut statement = db.prepare_cached(sql)?;
    statement.execute(params![
        row.id,
        row.service,
        row.deployment,
        row.slot,
        row.revision,
        row.saved,
        row.sleep
    ])?;
    Ok(())
}

pub(super) fn put_sleep(db: &Connection, id: &str, sleep: &str) -> Result<()> {
    db.prepare_cached("UPDATE workers SET sleep = ? WHERE id = ?")?
        .execute([sleep, id])?;
    Ok(())
}

pub(super) fn forget_worker(db: &Connection, id: &str) -> Result<()> {
    db.prepare_cached("DELETE FROM workers WHERE id = ?")?
        .execute([id])?;
    Ok(())
}

pub(super) fn workers(db: &Connection) -> Result<Vec<WorkerRow>> {
    let sql =
        "SELECT id, service, deployment, slot, revision, saved, sleep FROM workers ORDER BY id";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        Ok(WorkerRow {
            id: row.get(0)?,
            service: row.get(1)?,
            deployment: row.get(2)?,
            slot: row.get(3)?,
            revision: row.get(4)?,
            saved: row.get(5)?,
            sleep: row.get(6)?,
        })
    })?;
    rows.collect()
}

pub(super) fn put_desired(db: &Connection, row: &DesiredRow) -> Result<()> {
    let sql = "INSERT INTO desired (at_ms, service, deployment, desired) VALUES (?, ?, ?, ?)";
    let at_ms = i64::try_from(row.at_ms).unwrap_or(i64::MAX);
    db.prepare_cached(sql)?
        .execute(params![at_ms, row.service, row.deployment, row.desired])?;
    Ok(())
}

/// Forgets desired counts that are too old to matter. The newest of a deployment always does: the next
/// run begins with it.
pub(super) fn prune_desired(db: &Connection, newest_ms: u64) -> Result<()> {
    let kept = u64::try_from(DESIRED_KEPT.as_millis()).unwrap_or(u64::MAX);
    let before = i64::try_from(newest_ms.saturating_sub(kept)).unwrap_or(i64::MAX);
    let sql = "DELETE FROM desired WHERE at_ms < ? AND EXISTS (
                   SELECT 1 FROM desired AS later WHERE later.service = desired.service
                   AND later.deployment = desired.deployment AND later.rowid > desired.rowid)";
    db.prepare_cached(sql)?.execute([before])?;
    Ok(())
}

/// Forgets the desired counts of a deployment.
pub(super) fn forget_desired(db: &Connection, service: &str, deployment: &str) -> Result<()> {
    db.prepare_cached("DELETE FROM desired WHERE service = ? AND deployment = ?")?
        .execute([service, deployment])?;
    Ok(())
}

pub(super) fn desired(db: &Connection) -> Result<Vec<DesiredRow>> {
    let mut statement = db
        .prepare("SELECT at_ms, service, deployment, desired FROM desired ORDER BY at_ms, rowid")?;
    let rows = statement.query_map([], |row| {
        let at_ms: i64 = row.get(0)?;
        Ok(DesiredRow {
            at_ms: u64::try_from(at_ms).unwrap_or(0),
            service: row.get(1)?,
            deployment: row.get(2)?,
            desired: row.get(3)?,
        })
    })?;
    rows.collect()
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Traffic => "traffic",
            Self::Pauses => "pauses",
            Self::Revisions => "revisions",
        }
    }
}

pub(super) fn put_service(db: &Connection, table: Table, row: &ServiceRow) -> Result<()> {
    let table = table.name();
    let put = format!("INSERT OR REPLACE INTO {table} (service, state) VALUES (?, ?)");
    let forget = format!("DELETE FROM {table} WHERE service = ?");
    match &row.state {
        Some(state) => db.prepare_cached(&put)?.execute([&row.service, state])?,
        None => db.prepare_cached(&forget)?.execute([&row.service])?,
    };
    Ok(())
}

pub(super) fn services(db: &Connection, table: Table) -> Result<Vec<ServiceRow>> {
    let table = table.name();
    let mut statement = db.prepare(&format!(
        "SELECT service, state FROM {table} ORDER BY service"
    ))?;
    let rows = statement.query_map([], |row| {
        Ok(ServiceRow {
            service: row.get(0)?,
            state: Some(row.get(1)?),
        })
    })?;
    rows.collect()
}

/// Waiting for another connection (a curious `sqlite3`) at most this long.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(2);
