//! How long starts took, so that the next run knows it too.

use std::time::Duration;

use rusqlite::{Connection, Result, params};

use crate::{plan::TIMES_MAX, remembered::StartRow};

/// Of deployments that have started nothing for so long, nothing is kept: most do not exist any more.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// Adds one, and forgets the deployment's oldest, and whatever is too old.
pub(super) fn put(db: &Connection, row: &StartRow) -> Result<()> {
    let at_ms = integer(row.at_ms);
    let sql = "INSERT INTO starts (at_ms, service, deployment, revision, took_ms, woke) VALUES (?, ?, ?, ?, ?, ?)";
    db.prepare_cached(sql)?.execute(params![
        at_ms,
        row.service,
        row.deployment,
        row.revision,
        integer(row.took_ms),
        row.woke
    ])?;
    let sql = "DELETE FROM starts WHERE service = ?1 AND deployment = ?2 AND woke = ?4 AND rowid <=
               (SELECT rowid FROM starts WHERE service = ?1 AND deployment = ?2 AND woke = ?4
                ORDER BY rowid DESC LIMIT 1 OFFSET ?3)";
    db.prepare_cached(sql)?
        .execute(params![row.service, row.deployment, TIMES_MAX, row.woke])?;
    let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    db.prepare_cached("DELETE FROM starts WHERE at_ms < ?")?
        .execute([at_ms.saturating_sub(kept)])?;
    Ok(())
}

/// All of them, oldest first.
pub(super) fn read(db: &Connection) -> Result<Vec<StartRow>> {
    let sql =
        "SELECT at_ms, service, deployment, revision, took_ms, woke FROM starts ORDER BY rowid";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let (at_ms, took_ms): (i64, i64) = (row.get(0)?, row.get(4)?);
        Ok(StartRow {
            at_ms: u64::try_from(at_ms).unwrap_or(0),
            service: row.get(1)?,
            deployment: row.get(2)?,
            revision: row.get(3)?,
            took_ms: u64::try_from(took_ms).unwrap_or(0),
            woke: row.get(5)?,
        })
    })?;
    rows.collect()
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
