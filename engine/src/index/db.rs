//! The SQLite side: schema, pragmas, one transaction per round.
//!
//! WAL with `synchronous=NORMAL`: a power cut may lose the last transactions, never corrupt the
//! file, and the journal still has them; before a journal segment goes, the WAL is checkpointed.
//! No name, size or relation stands in clear: keys are record ids and hashes, rows are sealed.

use crate::index::scan::scan;
use crate::index::{Loaded, RowKey, Rows};
use crate::journal::Sealer;
use rusqlite::{Connection, OpenFlags, params};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::path::Path;
use std::sync::Arc;

/// The file belongs to this process, whose connections share the WAL's index in memory: a full disk has no
/// room for a file of it (sqlite.org/vfs.html, "unix-excl").
pub(super) const OWN_PROCESS: &CStr = c"unix-excl";

const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE row (kind INTEGER NOT NULL, key BLOB NOT NULL, sealed BLOB NOT NULL,
                      PRIMARY KEY (kind, key)) WITHOUT ROWID;
    CREATE TABLE applied (id INTEGER PRIMARY KEY CHECK (id = 0), batch INTEGER NOT NULL);
    INSERT INTO applied VALUES (0, 0);
";

/// The index could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IndexError {
    /// The disk or SQLite refused.
    #[error("the index cannot be read or written")]
    Disk,
    /// Not a database of this schema, or rows this key does not open.
    #[error("the index is damaged")]
    Damaged,
}

impl From<rusqlite::Error> for IndexError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => Self::Damaged,
            _ => Self::Disk,
        }
    }
}

/// The open database.
pub(crate) struct Db {
    connection: Connection,
    sealer: Arc<Sealer>,
}

impl Db {
    /// Opens the file and hands over every row; a damaged file is set aside and replaced by an empty one.
    pub(crate) fn open_or_replace(
        path: &Path,
        sealer: Arc<Sealer>,
        rows: &mut dyn Rows,
    ) -> Result<(Self, Loaded), IndexError> {
        match Self::open(path, Arc::clone(&sealer), rows) {
            Err(IndexError::Damaged) => {
                for suffix in ["", "-wal", "-shm"] {
                    let from = with_suffix(path, suffix);
                    if from.exists() {
                        std::fs::rename(&from, with_suffix(path, &format!("{suffix}.damaged")))
                            .map_err(|_| IndexError::Disk)?;
                    }
                }
                rows.restart();
                Self::open(path, sealer, rows)
            }
            done => done,
        }
    }

    fn open(path: &Path, sealer: Arc<Sealer>, rows: &mut dyn Rows) -> Result<(Self, Loaded), IndexError> {
        let is_new = !path.exists();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags_and_vfs(path, flags, OWN_PROCESS)?;
        connection.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;
             PRAGMA cache_size=-16384; PRAGMA temp_store=FILE; PRAGMA journal_size_limit=16777216;",
        )?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match version {
            0 => {
                connection.execute_batch(&format!(
                    "BEGIN; {SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
                ))?;
            }
            SCHEMA_VERSION => {}
            _ => return Err(IndexError::Damaged),
        }
        let db = Self { connection, sealer };
        let applied: i64 = db.connection.query_row("SELECT batch FROM applied", [], |row| row.get(0))?;
        let applied = u64::try_from(applied).map_err(|_| IndexError::Damaged)?;
        rows.begin(applied);
        scan(&db.connection, &db.sealer, rows)?;
        // Going over all rows filled the page cache, which the writer has little use for.
        db.connection.execute_batch("PRAGMA shrink_memory")?;
        Ok((db, Loaded { applied, is_new: is_new || version == 0 }))
    }

    /// Writes rows and the batch they belong to, all or nothing.
    pub(crate) fn apply(
        &mut self,
        rows: &BTreeMap<RowKey, Option<Vec<u8>>>,
        batch: u64,
    ) -> Result<(), IndexError> {
        let transaction = self.connection.transaction()?;
        {
            let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO row VALUES (?1, ?2, ?3)")?;
            let mut remove = transaction.prepare_cached("DELETE FROM row WHERE kind = ?1 AND key = ?2")?;
            for ((table, key), row) in rows {
                let kind = *table as u8;
                match row {
                    Some(plain) => put.execute(params![kind, key, self.sealer.seal_row(kind, key, plain)])?,
                    None => remove.execute(params![kind, key])?,
                };
            }
            let batch = i64::try_from(batch).map_err(|_| IndexError::Damaged)?;
            transaction.execute("UPDATE applied SET batch = max(batch, ?1)", params![batch])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Moves what it can of the WAL into the database file, whoever reads meanwhile.
    pub(crate) fn fold(&self) -> Result<(), IndexError> {
        Ok(self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?)
    }

    /// Moves the WAL into the database file and makes both durable.
    pub(crate) fn checkpoint(&self) -> Result<(), IndexError> {
        let busy: i64 = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy == 0 { Ok(()) } else { Err(IndexError::Disk) }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
