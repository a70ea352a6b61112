//! The SQLite store: one writer connection, a pool of readers, everything durable at commit.
//!
//! WAL with `synchronous=FULL` makes a committed transaction survive power loss. Every write begins
//! `IMMEDIATE`, because a deferred transaction that turns into a writer fails at once instead of
//! waiting (sqlite.org/isolation.html); the single writer connection makes writers queue inside
//! this process, the busy timeout makes them wait for the admin commands of another.

mod connection;

use super::error::OpenFailure;
use super::sql::Backend;
use super::{OpenError, StoreError, sql};
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Sqlite, Transaction};
use std::path::Path;
use std::time::Duration;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/sqlite");

/// How long a write waits for a writer of another process, and a request for a connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Readers. Reads are short; more would only contend for two cores.
const READERS: u32 = 4;

/// The metadata store on one SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, creates it when absent, and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`], whose text is fit to end the program with.
    pub async fn open(path: &Path, now: i64) -> Result<Self, OpenError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        Self::open_with(options, now).await.map_err(|error| error.of(&path.display()))
    }

    /// A connection that still counts a transaction is replaced before use: on a full disk SQLite
    /// rolls back by itself (sqlite.org/lang_transaction.html §2.3), which sqlx does not notice.
    async fn open_with(options: SqliteConnectOptions, now: i64) -> Result<Self, OpenFailure> {
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(BUSY_TIMEOUT)
                .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        MIGRATIONS.run(&writer).await?;
        let readers = pool(READERS).connect_with(options).await?;
        sql::init(&mut *writer.acquire().await?, now).await?;
        Ok(Self { writer, readers })
    }

    /// Lets tests reach the file underneath: to shrink it, to damage it.
    ///
    /// # Errors
    /// As the statement fails.
    pub async fn execute_raw(&self, statement: &'static str) -> Result<(), StoreError> {
        let mut writer = self.writer.acquire().await?;
        sqlx::query(statement).execute(&mut *writer).await?;
        Ok(())
    }
}

impl Backend for SqliteStore {
    type Database = Sqlite;

    async fn write(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn read(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    /// A deferred transaction: several reads of one state.
    async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.readers.begin().await?)
    }
}
