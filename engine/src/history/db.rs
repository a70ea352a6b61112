//! The SQLite file of kept commits: schema, pragmas, replacement when damaged.

use super::HistoryError;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};

const SCHEMA_VERSION: i64 = 2;

/// `refs` and `ids` are concatenated chunk ids. A commit whose bytes are gone keeps its hash.
const SCHEMA: &str = "
    CREATE TABLE kept_commit (device BLOB NOT NULL, incarnation INTEGER NOT NULL, seq INTEGER NOT NULL,
                              hash BLOB NOT NULL, bytes BLOB, numbered INTEGER NOT NULL,
                              PRIMARY KEY (device, incarnation, seq)) WITHOUT ROWID;
    CREATE INDEX unnumbered ON kept_commit (device) WHERE numbered = 0;
    CREATE TABLE kept_version (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, record BLOB NOT NULL,
                               ciphertext BLOB NOT NULL, refs BLOB NOT NULL);
    CREATE TABLE kept_manifest (id INTEGER PRIMARY KEY, node BLOB NOT NULL UNIQUE, ids BLOB NOT NULL);
";

/// From version 1, whose lists had no order by which the oldest could go.
const FROM_1: &str = "
    BEGIN;
    ALTER TABLE kept_manifest RENAME TO unordered;
    CREATE TABLE kept_manifest (id INTEGER PRIMARY KEY, node BLOB NOT NULL UNIQUE, ids BLOB NOT NULL);
    INSERT INTO kept_manifest (node, ids) SELECT node, ids FROM unordered;
    DROP TABLE unordered;
    PRAGMA user_version=2;
    COMMIT;
";

impl From<rusqlite::Error> for HistoryError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => Self::Damaged,
            _ => Self::Disk,
        }
    }
}

/// Opens the file; a damaged one is set aside and replaced by an empty one.
pub(super) fn open_or_replace(path: &Path) -> Result<Connection, HistoryError> {
    match open(path) {
        Err(HistoryError::Damaged) => {
            tracing::warn!("the kept commits are damaged; they are set aside and fetched again when needed");
            for suffix in ["", "-wal", "-shm"] {
                let from = with_suffix(path, suffix);
                if from.exists() {
                    std::fs::rename(&from, with_suffix(path, &format!("{suffix}.damaged")))
                        .map_err(|_| HistoryError::Disk)?;
                }
            }
            open(path)
        }
        done => done,
    }
}

fn open(path: &Path) -> Result<Connection, HistoryError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.execute_batch(
        "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         PRAGMA cache_size=-2048; PRAGMA temp_store=FILE; PRAGMA journal_size_limit=16777216;",
    )?;
    prepare(db)
}

/// A database without a file.
#[cfg(test)]
pub(super) fn in_memory() -> Result<Connection, HistoryError> {
    prepare(Connection::open_in_memory()?)
}

fn prepare(db: Connection) -> Result<Connection, HistoryError> {
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        0 => db.execute_batch(&format!("BEGIN; {SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"))?,
        1 => db.execute_batch(FROM_1)?,
        SCHEMA_VERSION => {}
        _ => return Err(HistoryError::Damaged),
    }
    Ok(db)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_kept_by_the_first_version_stay() {
        let db = Connection::open_in_memory().expect("SQLite has memory");
        db.execute_batch(
            "CREATE TABLE kept_manifest (node BLOB PRIMARY KEY, ids BLOB NOT NULL) WITHOUT ROWID;
             INSERT INTO kept_manifest VALUES (x'01', x'0203'); PRAGMA user_version=1;",
        )
        .expect("a small database");
        let db = prepare(prepare(db).expect("taken over")).expect("as it is");
        let kept: (i64, Vec<u8>) = db
            .query_row("SELECT id, ids FROM kept_manifest WHERE node = x'01'", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .expect("kept");
        assert_eq!(kept, (1, vec![2, 3]));
    }
}
