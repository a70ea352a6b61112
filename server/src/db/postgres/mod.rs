//! The PostgreSQL store, for one server or several over one database.
//!
//! Everything that orders writers is a lock in the database ([`connection`]), so any number of
//! servers may write at once. Reads of several statements run `REPEATABLE READ` on one snapshot.
//! A transaction that another one got in the way of runs again.

mod connection;
mod notices;
mod url;

pub use notices::{Notice, Notices};
pub use url::{PostgresUrl, UrlError};

use super::error::OpenFailure;
use super::sql::Backend;
use super::{OpenError, StoreError, sql};
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection, Postgres, Transaction};
use std::time::Duration;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/postgres");

/// How long a request waits for a connection, and a statement for a lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections of one server; one more listens. PostgreSQL lets 100 in by default: four servers.
const CONNECTIONS: u32 = 20;

/// What each connection asks for: a lock within [`BUSY_TIMEOUT`], and that a server which hangs in
/// the middle of a transaction does not keep its locks for ever.
const SESSION: [(&str, &str); 2] = [("lock_timeout", "10s"), ("idle_in_transaction_session_timeout", "60s")];

/// The metadata store on a PostgreSQL database.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    pool: PgPool,
}

impl PostgresStore {
    /// Connects, and brings the schema up to date. Servers that start at once do so one after
    /// another: the migrator holds an advisory lock.
    ///
    /// # Errors
    /// [`OpenError`], whose text is fit to end the program with.
    pub async fn open(url: &PostgresUrl, now: i64) -> Result<Self, OpenError> {
        let failed = |error: OpenFailure| error.of(url);
        let options = url.options().map_err(|error| failed(OpenFailure::Other(error.to_string())))?;
        Self::open_with(options.options(SESSION), now).await.map_err(failed)
    }

    async fn open_with(options: PgConnectOptions, now: i64) -> Result<Self, OpenFailure> {
        // A first connection of its own: a pool would keep trying until its time is over and hide why.
        let mut first = PgConnection::connect_with(&options).await?;
        for setting in ["fsync", "synchronous_commit"] {
            let text = "SELECT current_setting($1)";
            let (value,): (String,) = sqlx::query_as(text).bind(setting).fetch_one(&mut first).await?;
            if value == "off" {
                return Err(OpenFailure::Forgetful(setting));
            }
        }
        first.close().await?;
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(BUSY_TIMEOUT);
        let pool = pool.connect_lazy_with(options);
        MIGRATIONS.run(&pool).await?;
        sql::init(&mut *pool.acquire().await?, now).await?;
        Ok(Self { pool })
    }

    /// Starts to hear what the servers over this database tell each other.
    ///
    /// # Errors
    /// [`StoreError`] when no connection can be had.
    pub async fn notices(&self) -> Result<Notices, StoreError> {
        Notices::connect(&self.pool).await
    }

    /// Tells all servers over this database.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not take it.
    pub async fn say(&self, texts: &[String]) -> Result<(), StoreError> {
        notices::say(&self.pool, texts).await
    }

    /// Lets tests reach the database underneath: to damage it, to cut its connections.
    ///
    /// # Errors
    /// As the statement fails.
    pub async fn execute_raw(&self, statement: &'static str) -> Result<(), StoreError> {
        sqlx::query(statement).execute(&self.pool).await?;
        Ok(())
    }
}

impl Backend for PostgresStore {
    type Database = Postgres;

    async fn write(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        Ok(self.pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?)
    }

    async fn read(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        Ok(self.pool.acquire().await?)
    }

    async fn snapshot(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        Ok(self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }
}
