//! The changes of one deployment's count, with what happened after each.

use rusqlite::{Connection, Result, params};

use super::journal::{COLUMNS, entry};
use crate::remembered::JournalEntry;

/// Most entries of one answer: a worker that crashes over and over fills the journal too.
const ENTRIES_MAX: u32 = 2_000;

/// Which entries to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangesQuery {
    /// The service.
    pub service: String,
    /// The deployment.
    pub deployment: String,
    /// The last so many decisions.
    pub changes: u32,
    /// None that is older than this: milliseconds since 1970.
    pub since_ms: u64,
}

/// Newest first.
pub(super) fn read(db: &Connection, query: &ChangesQuery) -> Result<Vec<JournalEntry>> {
    let Some(skipped) = query.changes.checked_sub(1) else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM journal
         WHERE service = ?1 AND deployment = ?2 AND at_ms >= ?4 AND id >= coalesce(
             (SELECT id FROM journal WHERE service = ?1 AND deployment = ?2 AND desired IS NOT NULL
              ORDER BY id DESC LIMIT 1 OFFSET ?3), 0)
         ORDER BY id DESC LIMIT {ENTRIES_MAX}"
    );
    let since_ms = i64::try_from(query.since_ms).unwrap_or(i64::MAX);
    let mut statement = db.prepare_cached(&sql)?;
    let wanted = params![query.service, query.deployment, skipped, since_ms];
    statement.query_map(wanted, entry)?.collect()
}
