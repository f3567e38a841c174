//! The load of the last weeks, a row for each day, so that forecasts go on after a restart.

use rusqlite::{Connection, Result, params};

use crate::remembered::DemandRow;

/// Days kept of each deployment, by when they were begun and not by their dates: a clock that was
/// wrong for a while costs no more than the days it made up.
const DAYS_MAX: u32 = 32;

/// Writes down a day, in place of what was known of it, and forgets the deployment's oldest.
pub(super) fn put(db: &Connection, row: &DemandRow) -> Result<()> {
    let sql = "INSERT INTO demand (service, deployment, day, means) VALUES (?, ?, ?, ?)
               ON CONFLICT (service, deployment, day) DO UPDATE SET means = excluded.means";
    let day = i64::try_from(row.day).unwrap_or(i64::MAX);
    db.prepare_cached(sql)?
        .execute(params![row.service, row.deployment, day, row.means])?;
    let sql = "DELETE FROM demand WHERE service = ?1 AND deployment = ?2 AND rowid <=
               (SELECT rowid FROM demand WHERE service = ?1 AND deployment = ?2
                ORDER BY rowid DESC LIMIT 1 OFFSET ?3)";
    db.prepare_cached(sql)?
        .execute(params![row.service, row.deployment, DAYS_MAX])?;
    Ok(())
}

/// Forgets a deployment.
pub(super) fn forget(db: &Connection, service: &str, deployment: &str) -> Result<()> {
    db.prepare_cached("DELETE FROM demand WHERE service = ? AND deployment = ?")?
        .execute([service, deployment])?;
    Ok(())
}

/// All days of all deployments.
pub(super) fn read(db: &Connection) -> Result<Vec<DemandRow>> {
    let sql = "SELECT service, deployment, day, means FROM demand ORDER BY rowid";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let day: i64 = row.get(2)?;
        Ok(DemandRow {
            service: row.get(0)?,
            deployment: row.get(1)?,
            day: u64::try_from(day).unwrap_or(0),
            means: row.get(3)?,
        })
    })?;
    rows.collect()
}
