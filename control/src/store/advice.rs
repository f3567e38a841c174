//! Counts of deployments whose scaling only advises, so that the next run keeps them.

use rusqlite::{Connection, Result, params};

use crate::remembered::AdviceRow;

/// Deployments of which something is kept. Those that are configured no more are the first to go,
/// for they are not written any more.
const ROWS_MAX: u32 = 20_000;

pub(super) fn put(db: &Connection, row: &AdviceRow) -> Result<()> {
    // Replacing gives a new rowid: the order is that of the last change.
    let sql =
        "INSERT OR REPLACE INTO advice (service, deployment, kept, advised) VALUES (?, ?, ?, ?)";
    db.prepare_cached(sql)?
        .execute(params![row.service, row.deployment, row.kept, row.advised])?;
    let sql = "DELETE FROM advice WHERE rowid <=
               (SELECT rowid FROM advice ORDER BY rowid DESC LIMIT 1 OFFSET ?)";
    db.prepare_cached(sql)?.execute([ROWS_MAX])?;
    Ok(())
}

pub(super) fn read(db: &Connection) -> Result<Vec<AdviceRow>> {
    let mut statement = db.prepare("SELECT service, deployment, kept, advised FROM advice")?;
    let rows = statement.query_map([], |row| {
        Ok(AdviceRow {
            service: row.get(0)?,
            deployment: row.get(1)?,
            kept: row.get(2)?,
            advised: row.get(3)?,
        })
    })?;
    rows.collect()
}
