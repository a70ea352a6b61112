//! How a database fails, as decisions a caller makes.

use sqlx::migrate::MigrateError;
use std::fmt::Display;

/// A statement failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full: refuse writes with 507, keep reading.
    #[error("the database has no space left")]
    NoSpace,
    /// The database did not answer in time: try again.
    #[error("the database is busy")]
    Busy,
    /// The database is restarting, out of connections or gone: try again.
    #[error("the database cannot be reached: {0}")]
    Unreachable(#[source] sqlx::Error),
    /// Another transaction got in the way and nothing was changed: run the transaction again.
    #[error("the database is busy: other transactions kept getting in the way")]
    Raced,
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

/// The database cannot be opened. Each text is the one line the program ends with. The name of a
/// database is its file, or host, port and name; no text holds a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A later version of this program has changed the schema.
    #[error(
        "the database {name} was written by a newer freehold-server; run that version, or restore a backup"
    )]
    NewerSchema {
        /// The database.
        name: String,
    },
    /// The disk is full.
    #[error("there is no space left for the database {name}; free some and start again")]
    NoSpace {
        /// The database.
        name: String,
    },
    /// It would lose what it has acknowledged.
    #[error(
        "the database {name} runs with {setting} = off and would lose acknowledged commits in a crash; turn it on"
    )]
    Forgetful {
        /// The database.
        name: String,
        /// The setting of PostgreSQL.
        setting: &'static str,
    },
    /// Anything else.
    #[error("cannot open the database {name}: {reason}")]
    Other {
        /// The database.
        name: String,
        /// What the database said.
        reason: String,
    },
}

/// Why opening failed, before the database is named.
#[derive(Debug)]
pub(super) enum OpenFailure {
    Newer,
    Forgetful(&'static str),
    Store(StoreError),
    Other(String),
}

impl OpenFailure {
    /// The failure of the database of this name.
    pub(super) fn of(self, name: &dyn Display) -> OpenError {
        let name = name.to_string();
        match self {
            Self::Newer => OpenError::NewerSchema { name },
            Self::Forgetful(setting) => OpenError::Forgetful { name, setting },
            Self::Store(StoreError::NoSpace) => OpenError::NoSpace { name },
            Self::Store(error) => OpenError::Other { name, reason: error.to_string() },
            Self::Other(reason) => OpenError::Other { name, reason },
        }
    }
}

impl From<StoreError> for OpenFailure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<sqlx::Error> for OpenFailure {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<MigrateError> for OpenFailure {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => Self::Newer,
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            other => Self::Other(other.to_string()),
        }
    }
}

/// Result codes that mean a full disk. SQLite (sqlite.org/rescode.html): `SQLITE_FULL`, and
/// `SQLITE_IOERR_SHMSIZE`, which extending the shared index of the WAL answers on a full disk.
/// PostgreSQL (its manual, appendix A): `disk_full`.
const NO_SPACE_CODES: [&str; 3] = ["13", "4874", "53100"];

/// `SQLITE_BUSY` and its snapshot form; PostgreSQL's `lock_not_available`.
const BUSY_CODES: [&str; 3] = ["5", "517", "55P03"];

/// PostgreSQL's `serialization_failure` and `deadlock_detected`, and `unique_violation`: another
/// transaction wrote the row between our look and our insert, which a second look sees.
const RACED_CODES: [&str; 3] = ["40001", "40P01", "23505"];

/// PostgreSQL's `too_many_connections`, `admin_shutdown`, `crash_shutdown`, `cannot_connect_now`,
/// `idle_in_transaction_session_timeout`.
const UNREACHABLE_CODES: [&str; 5] = ["53300", "57P01", "57P02", "57P03", "25P03"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => return Self::Busy,
            sqlx::Error::Io(_) => return Self::Unreachable(error),
            _ => {}
        }
        let code = error.as_database_error().and_then(|database| database.code());
        match code.as_deref() {
            Some(code) if NO_SPACE_CODES.contains(&code) => Self::NoSpace,
            Some(code) if BUSY_CODES.contains(&code) => Self::Busy,
            Some(code) if RACED_CODES.contains(&code) => Self::Raced,
            Some(code) if UNREACHABLE_CODES.contains(&code) => Self::Unreachable(error),
            _ => Self::Database(error),
        }
    }
}
