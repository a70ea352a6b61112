//! The SQLite store: one writer connection, a pool of readers, everything durable at commit.
//!
//! WAL with `synchronous=FULL` makes a committed transaction survive power loss. Every write begins
//! `IMMEDIATE`, because a deferred transaction that turns into a writer fails at once instead of
//! waiting (sqlite.org/isolation.html); the single writer connection makes writers queue inside
//! this process, the busy timeout makes them wait for the admin commands of another.
//! Statements use `$n` and plain types only, so the PostgreSQL store can share their text.

mod account;
mod batch;
mod boxes;
mod commit;
mod convert;
mod log;
mod node;
mod placement;
mod reach;
mod session;
mod vault;
mod version;

use super::rows::{
    AppendOutcome, AppendRow, CommitOutcome, CommitRow, CreateOutcome, DeviceRow, Heard, HeartbeatRow,
    JoinOutcome, LayoutRow, LoginRow, NewAccount, NodeRow, PlacedChunk, RecoveryId, SessionRow, StoredLog,
    TokenHash,
};
use super::{MakeLayout, MetaStore, OpenError, StoreError, StoreFuture};
use freehold_api::bulk::{CommitPage, VersionsResponse};
use freehold_api::{AccountBoxes, ChainHead, VaultState, VaultSummary};
use freehold_model::{AccountId, DeviceId, NodeId, VaultId, VersionHash};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};
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
        Self::open_with(options, now).await.map_err(|error| error.at(path))
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
        sqlx::query(
            "INSERT INTO meta (key, value) VALUES ('server_incarnation', $1) ON CONFLICT (key) DO NOTHING",
        )
        .bind(now)
        .execute(&writer)
        .await?;
        Ok(Self { writer, readers })
    }

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

/// Why opening failed, before the path is known.
enum OpenFailure {
    Newer,
    Store(StoreError),
    Other(String),
}

impl OpenFailure {
    fn at(self, path: &Path) -> OpenError {
        let path = path.to_owned();
        match self {
            Self::Newer => OpenError::NewerSchema { path },
            Self::Store(StoreError::NoSpace) => OpenError::NoSpace { path },
            Self::Store(error) => OpenError::Other { path, reason: error.to_string() },
            Self::Other(reason) => OpenError::Other { path, reason },
        }
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

/// Runs `$body` with a write transaction and commits it.
macro_rules! write {
    ($self:ident, |$tx:ident| $body:expr) => {
        Box::pin(async move {
            let mut transaction = $self.write().await?;
            let $tx: &mut SqliteConnection = &mut transaction;
            let value = $body.await?;
            transaction.commit().await?;
            Ok(value)
        })
    };
}

/// Runs `$body` with a reader.
macro_rules! read {
    ($self:ident, |$conn:ident| $body:expr) => {
        Box::pin(async move {
            let mut connection = $self.read().await?;
            let $conn: &mut SqliteConnection = &mut connection;
            $body.await
        })
    };
}

/// Runs `$body` with a reader that sees one state throughout.
macro_rules! snapshot {
    ($self:ident, |$conn:ident| $body:expr) => {
        Box::pin(async move {
            let mut transaction = $self.snapshot().await?;
            let $conn: &mut SqliteConnection = &mut transaction;
            let value = $body.await?;
            transaction.rollback().await?;
            Ok(value)
        })
    };
}

impl MetaStore for SqliteStore {
    fn ping(&self) -> StoreFuture<'_, ()> {
        read!(self, |db| session::ping(db))
    }

    fn server_incarnation(&self) -> StoreFuture<'_, u64> {
        read!(self, |db| vault::server_incarnation(db))
    }

    fn sweep(&self, now: i64) -> StoreFuture<'_, ()> {
        write!(self, |db| session::sweep(db, now))
    }

    fn has_accounts(&self) -> StoreFuture<'_, bool> {
        read!(self, |db| account::has_accounts(db))
    }

    fn put_invite(&self, code: TokenHash, expires: i64) -> StoreFuture<'_, ()> {
        write!(self, |db| session::put_invite(db, code, expires))
    }

    fn invite_is_good(&self, code: TokenHash, now: i64) -> StoreFuture<'_, bool> {
        read!(self, |db| session::invite_is_good(db, &code, now))
    }

    fn create_account(&self, account: NewAccount) -> StoreFuture<'_, CreateOutcome> {
        Box::pin(async move {
            let mut transaction = self.write().await?;
            let outcome = account::create(&mut transaction, &account).await?;
            if outcome == CreateOutcome::Created {
                transaction.commit().await?;
            } else {
                transaction.rollback().await?;
            }
            Ok(outcome)
        })
    }

    fn login(&self, login_hash: TokenHash) -> StoreFuture<'_, Option<LoginRow>> {
        read!(self, |db| account::login(db, &login_hash))
    }

    fn account_by_recovery(&self, recovery_id: RecoveryId) -> StoreFuture<'_, Option<AccountId>> {
        read!(self, |db| account::by_recovery(db, recovery_id))
    }

    fn log(&self, account: AccountId) -> StoreFuture<'_, Option<StoredLog>> {
        read!(self, |db| log::log(db, account))
    }

    fn append_entries(&self, row: AppendRow) -> StoreFuture<'_, AppendOutcome> {
        Box::pin(async move {
            let mut transaction = self.write().await?;
            let outcome = log::append(&mut transaction, &row).await?;
            if outcome == AppendOutcome::Appended {
                transaction.commit().await?;
            } else {
                transaction.rollback().await?;
            }
            Ok(outcome)
        })
    }

    fn boxes(&self, account: AccountId) -> StoreFuture<'_, AccountBoxes> {
        snapshot!(self, |db| boxes::all(db, account))
    }

    fn device(&self, device: DeviceId) -> StoreFuture<'_, Option<DeviceRow>> {
        read!(self, |db| account::device(db, device))
    }

    fn put_session(&self, token: TokenHash, session: SessionRow) -> StoreFuture<'_, ()> {
        write!(self, |db| session::put(db, token, session))
    }

    fn session(&self, token: TokenHash) -> StoreFuture<'_, Option<SessionRow>> {
        read!(self, |db| session::find(db, token))
    }

    fn end_session(&self, token: TokenHash) -> StoreFuture<'_, ()> {
        write!(self, |db| session::end(db, token))
    }

    fn vaults(&self, account: AccountId) -> StoreFuture<'_, Vec<VaultSummary>> {
        snapshot!(self, |db| vault::list(db, account))
    }

    fn vault_owner(&self, vault: VaultId) -> StoreFuture<'_, Option<AccountId>> {
        read!(self, |db| vault::owner(db, vault))
    }

    fn append_commits<'a>(
        &'a self,
        vault: VaultId,
        log_len: u64,
        commits: &'a [CommitRow],
        now: i64,
    ) -> StoreFuture<'a, Option<Vec<CommitOutcome>>> {
        write!(self, |db| commit::append_all(db, vault, log_len, commits, now))
    }

    fn commit_page(&self, vault: VaultId, after: u64, limit: usize) -> StoreFuture<'_, CommitPage> {
        snapshot!(self, |db| vault::commit_page(db, vault, after, limit))
    }

    fn versions<'a>(
        &'a self,
        vault: VaultId,
        hashes: &'a [VersionHash],
    ) -> StoreFuture<'a, VersionsResponse> {
        snapshot!(self, |db| vault::versions(db, vault, hashes))
    }

    fn book_receipts<'a>(
        &'a self,
        vault: VaultId,
        chunks: &'a [PlacedChunk],
        now: i64,
    ) -> StoreFuture<'a, u64> {
        write!(self, |db| placement::book(db, vault, chunks, now))
    }

    fn vault_state(&self, vault: VaultId) -> StoreFuture<'_, VaultState> {
        snapshot!(self, |db| vault::state(db, vault))
    }

    fn chain_head(&self, vault: VaultId, device: DeviceId) -> StoreFuture<'_, Option<ChainHead>> {
        read!(self, |db| commit::chain_head(db, vault, device))
    }

    fn put_join_token(&self, token: TokenHash, expires: i64) -> StoreFuture<'_, ()> {
        write!(self, |db| node::put_token(db, token, expires))
    }

    fn join_node<'a>(
        &'a self,
        token: TokenHash,
        node: NodeRow,
        make_layout: MakeLayout<'a>,
        now: i64,
    ) -> StoreFuture<'a, JoinOutcome> {
        write!(self, |db| node::join(db, token, node, make_layout, now))
    }

    fn heartbeat(&self, node: NodeId, beat: HeartbeatRow) -> StoreFuture<'_, Heard> {
        write!(self, |db| node::heartbeat(db, node, &beat))
    }

    fn nodes(&self) -> StoreFuture<'_, Vec<NodeRow>> {
        read!(self, |db| node::all(db))
    }

    fn layout(&self) -> StoreFuture<'_, Option<LayoutRow>> {
        read!(self, |db| node::layout(db))
    }
}
