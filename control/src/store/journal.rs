//! The journal: what was decided and what happened, and why.

use rusqlite::{Connection, Result, Row, params, params_from_iter, types::Value};

use crate::remembered::JournalEntry;

/// Entries kept per deployment.
const PER_DEPLOYMENT_MAX: i64 = 1_000;

/// Entries kept at all.
const TOTAL_MAX: i64 = 100_000;

/// Which entries to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalQuery {
    /// Only of this service.
    pub service: Option<String>,
    /// Only of deployments with this name.
    pub deployment: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// What [`entry`] reads, in its order.
pub(super) const COLUMNS: &str =
    "at_ms, service, deployment, kind, text, before, desired, detail, record";

pub(super) fn append(db: &Connection, entry: &JournalEntry) -> Result<()> {
    let sql =
        "INSERT INTO journal (at_ms, service, deployment, kind, text, before, desired, detail, record)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let at_ms = i64::try_from(entry.at_ms).unwrap_or(i64::MAX);
    // It is made of numbers and texts, which can always be written.
    let record = entry.record.as_ref();
    let record = record.and_then(|record| serde_json::to_string(record).ok());
    db.prepare_cached(sql)?.execute(params![
        at_ms,
        entry.service,
        entry.deployment,
        entry.kind,
        entry.text,
        entry.before,
        entry.desired,
        entry.details.join("\n"),
        record,
    ])?;
    Ok(())
}

/// Keeps the newest entries of a deployment.
pub(super) fn prune(db: &Connection, service: &str, deployment: &str) -> Result<()> {
    let sql = "DELETE FROM journal WHERE service = ?1 AND deployment = ?2 AND id <=
               (SELECT id FROM journal WHERE service = ?1 AND deployment = ?2
                ORDER BY id DESC LIMIT 1 OFFSET ?3)";
    db.prepare_cached(sql)?
        .execute(params![service, deployment, PER_DEPLOYMENT_MAX])?;
    Ok(())
}

/// Keeps the newest entries of all.
pub(super) fn prune_all(db: &Connection) -> Result<()> {
    let sql = "DELETE FROM journal WHERE id <= (SELECT id FROM journal ORDER BY id DESC LIMIT 1 OFFSET ?)";
    db.prepare_cached(sql)?.execute([TOTAL_MAX])?;
    Ok(())
}

/// Newest first.
pub(super) fn read(db: &Connection, query: &JournalQuery) -> Result<Vec<JournalEntry>> {
    let mut sql = format!("SELECT {COLUMNS} FROM journal WHERE 1");
    let mut values: Vec<Value> = Vec::new();
    if let Some(service) = &query.service {
        sql.push_str(" AND service = ?");
        values.push(service.clone().into());
    }
    if let Some(deployment) = &query.deployment {
        sql.push_str(" AND deployment = ?");
        values.push(deployment.clone().into());
    }
    sql.push_str(" ORDER BY id DESC LIMIT ?");
    values.push(i64::from(query.limit).into());
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), entry)?;
    rows.collect()
}

/// One row.
pub(super) fn entry(row: &Row<'_>) -> Result<JournalEntry> {
    let at_ms: i64 = row.get(0)?;
    let details: String = row.get(7)?;
    let record: Option<String> = row.get(8)?;
    Ok(JournalEntry {
        at_ms: u64::try_from(at_ms).unwrap_or(0),
        service: row.get(1)?,
        deployment: row.get(2)?,
        kind: row.get(3)?,
        text: row.get(4)?,
        before: row.get(5)?,
        desired: row.get(6)?,
        // One that cannot be read has lost its details, not its place.
        record: record.and_then(|record| serde_json::from_str(&record).ok()),
        details: details.lines().map(str::to_owned).collect(),
    })
}
