//! How a database fails, as decisions a caller makes.

use std::path::PathBuf;

/// A statement failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full: refuse writes with 507, keep reading.
    #[error("the database has no space left")]
    NoSpace,
    /// The database did not answer in time: try again.
    #[error("the database is busy")]
    Busy,
    /// A row is not what this program writes.
    #[error("the database holds a malformed {0}")]
    Corrupt(&'static str),
    /// What was asked for is over a limit.
    #[error("{0}")]
    OverLimit(&'static str),
    /// Anything else.
    #[error("the database failed: {0}")]
    Database(#[source] sqlx::Error),
}

/// The database cannot be opened. Each text is the one line the program ends with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A later version of this program has changed the schema.
    #[error(
        "the database {path} was written by a newer freehold-server; run that version, or restore a backup"
    )]
    NewerSchema {
        /// The database file.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("there is no space left for the database {path}; free some and start again")]
    NoSpace {
        /// The database file.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot open the database {path}: {reason}")]
    Other {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        reason: String,
    },
}

/// SQLite result codes (sqlite.org/rescode.html) that mean a full disk: `SQLITE_FULL`, and
/// `SQLITE_IOERR_SHMSIZE`, which extending the shared index of the WAL answers on a full disk.
const NO_SPACE_CODES: [&str; 2] = ["13", "4874"];

/// `SQLITE_BUSY` and its snapshot form.
const BUSY_CODES: [&str; 2] = ["5", "517"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Busy;
        }
        let code = error.as_database_error().and_then(|database| database.code());
        match code.as_deref() {
            Some(code) if NO_SPACE_CODES.contains(&code) => Self::NoSpace,
            Some(code) if BUSY_CODES.contains(&code) => Self::Busy,
            _ => Self::Database(error),
        }
    }
}
