//! Opens the state file and makes its tables.

use std::{fs::OpenOptions, io, path::Path};

use rusqlite::{Connection, ErrorCode};

use super::{Remembered, StoreError, advice, demand, key, lock::beside, rows, starts};
use crate::{private, remembered::Table, secret::SecretKey};

/// Format of the file: how many of the [`STEPS`] it has gone through.
const FORMAT: u32 = STEPS.len() as u32;

/// Tells our files from other SQLite files: `PENS` in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x5045_4e53;

/// What makes a file of each format out of one of the format before. Never change a step that was
/// released; add another one.
pub(super) const STEPS: [&str; 12] = [
    TABLES,
    TRAFFIC,
    STARTS,
    RECORDS,
    PAUSES,
    STARTS_OF_WHAT,
    ADVICE,
    DEMAND,
    DIGESTS,
    DESIRED_BY_DEPLOYMENT,
    REVISIONS,
    SLEEP,
];

/// Workers that sleep, and how long waking takes.
const SLEEP: &str = "
    ALTER TABLE workers ADD COLUMN sleep TEXT NOT NULL DEFAULT '';
    ALTER TABLE starts ADD COLUMN woke INTEGER NOT NULL DEFAULT 0;
";

/// Revisions of what workers run, sealed, and what operators asked of workers.
const REVISIONS: &str = "
    CREATE TABLE revisions (
        service TEXT PRIMARY KEY,
        state TEXT NOT NULL
    ) WITHOUT ROWID;
";

/// The newest desired count of a deployment is kept for good, so it is looked for.
const DESIRED_BY_DEPLOYMENT: &str = "
    CREATE INDEX desired_by_deployment ON desired (service, deployment);
";

/// Counts of deployments whose scaling only advises.
const ADVICE: &str = "
    CREATE TABLE advice (
        service TEXT NOT NULL,
        deployment TEXT NOT NULL,
        kept INTEGER NOT NULL,
        advised INTEGER NOT NULL,
        PRIMARY KEY (service, deployment)
    );
";

/// Decisions with all that they were made from, as JSON; before, there were only lines of text.
const RECORDS: &str = "
    ALTER TABLE journal ADD COLUMN record TEXT;
";

/// What operators have stopped.
const PAUSES: &str = "
    CREATE TABLE pauses (
        service TEXT PRIMARY KEY,
        state TEXT NOT NULL
    ) WITHOUT ROWID;
";

/// The load of the last weeks.
const DEMAND: &str = "
    CREATE TABLE demand (
        service TEXT NOT NULL,
        deployment TEXT NOT NULL,
        day INTEGER NOT NULL,
        means BLOB NOT NULL,
        PRIMARY KEY (service, deployment, day)
    );
";

/// How long starts took.
const STARTS: &str = "
    CREATE TABLE starts (
        at_ms INTEGER NOT NULL,
        service TEXT NOT NULL,
        deployment TEXT NOT NULL,
        took_ms INTEGER NOT NULL
    );
    CREATE INDEX starts_by_deployment ON starts (service, deployment);
";

/// What the workers were that took so long to start. Of those that are known it is not.
const STARTS_OF_WHAT: &str = "
    ALTER TABLE starts ADD COLUMN revision TEXT NOT NULL DEFAULT '';
";

/// Revisions are digests. Before, they were commands and environments as they stand in the file, with
/// whatever secrets there are; those of static workers are addresses.
const DIGESTS: &str = "
    UPDATE workers SET revision = '' WHERE revision LIKE '{%';
    UPDATE starts SET revision = '' WHERE revision LIKE '{%';
";

/// Weights set by hand, and how far rollouts have come.
const TRAFFIC: &str = "
    CREATE TABLE traffic (
        service TEXT PRIMARY KEY,
        state TEXT NOT NULL
    ) WITHOUT ROWID;
";

const TABLES: &str = "
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms INTEGER NOT NULL,
        service TEXT NOT NULL,
        deployment TEXT NOT NULL,
        kind TEXT NOT NULL,
        text TEXT NOT NULL,
        before INTEGER,
        desired INTEGER,
        detail TEXT NOT NULL
    );
    CREATE INDEX journal_by_deployment ON journal (service, deployment, id);
    CREATE TABLE desired (
        at_ms INTEGER NOT NULL,
        service TEXT NOT NULL,
        deployment TEXT NOT NULL,
        desired INTEGER NOT NULL
    );
    CREATE INDEX desired_by_time ON desired (at_ms);
    CREATE TABLE workers (
        id TEXT PRIMARY KEY,
        service TEXT NOT NULL,
        deployment TEXT NOT NULL,
        slot INTEGER NOT NULL,
        revision TEXT NOT NULL,
        saved TEXT NOT NULL
    ) WITHOUT ROWID;
";

pub(super) fn open(path: &Path) -> Result<(Connection, Remembered), StoreError> {
    let failed = |error: rusqlite::Error| describe(path, &error);
    let unusable = |path: &Path, error: io::Error| StoreError::Unusable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    close_to_others(path).map_err(|error| unusable(path, error))?;
    let key_file = beside(path, ".key");
    let key = key::open(&key_file).map_err(|error| unusable(&key_file, error))?;
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(rows::BUSY_WAIT).map_err(failed)?;
    let format = migrate(&connection).map_err(failed)?;
    match format {
        Format::Known => {}
        Format::Newer(found) => {
            return Err(StoreError::Newer {
                path: path.to_owned(),
                found,
                known: FORMAT,
            });
        }
        Format::Foreign => {
            let reason = "it belongs to another program".to_owned();
            return Err(StoreError::Damaged {
                path: path.to_owned(),
                reason,
            });
        }
    }
    let remembered = read(&connection).map_err(failed)?;
    Ok((connection, Remembered { key, ..remembered }))
}

/// Makes the file readable by us alone; SQLite gives the files that it makes beside it the same mode.
fn close_to_others(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    private::open(path, options.clone().create(true).truncate(false))?;
    for ending in ["-wal", "-shm"] {
        match private::open(&beside(path, ending), &mut options) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

enum Format {
    Known,
    Newer(u32),
    Foreign,
}

fn migrate(connection: &Connection) -> rusqlite::Result<Format> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let application: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if tables > 0 && application != APPLICATION_ID {
        return Ok(Format::Foreign);
    }
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > FORMAT {
        return Ok(Format::Newer(found));
    }
    // Survives a crash of the process; a crash of the machine may cost the last moments, and the
    // workers are gone then anyway.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // What is deleted or written over does not stay behind in the file.
    connection.pragma_update(None, "secure_delete", "ON")?;
    let done = if tables == 0 { 0 } else { found };
    let missing = STEPS.get(done as usize..).unwrap_or_default().concat();
    if !missing.is_empty() {
        let make = format!(
            "BEGIN; {missing} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;"
        );
        connection.execute_batch(&make)?;
        if done > 0 {
            // Neither does what was deleted or written over before.
            connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
        }
    }
    Ok(Format::Known)
}

fn read(connection: &Connection) -> rusqlite::Result<Remembered> {
    let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if sound != "ok" {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        return Err(rusqlite::Error::SqliteFailure(code, Some(sound)));
    }
    Ok(Remembered {
        workers: rows::workers(connection)?,
        desired: rows::desired(connection)?,
        traffic: rows::services(connection, Table::Traffic)?,
        pauses: rows::services(connection, Table::Pauses)?,
        revisions: rows::services(connection, Table::Revisions)?,
        starts: starts::read(connection)?,
        advice: advice::read(connection)?,
        demand: demand::read(connection)?,
        key: SecretKey::default(),
    })
}

fn describe(path: &Path, error: &rusqlite::Error) -> StoreError {
    let (path, reason) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::DiskFull,
        ) => StoreError::Unusable { path, reason },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse(path),
        _ => StoreError::Damaged { path, reason },
    }
}
