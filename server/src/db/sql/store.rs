//! [`MetaStore`] over either database: each method one transaction around the statements.

use super::query::Connection;
use super::{account, addresses, boxes, commit, log, meta, node, placement, session, vault};
use crate::db::rows::{
    AppendOutcome, AppendRow, CommitOutcome, CommitRow, CreateOutcome, DeviceRow, Heard, HeartbeatRow,
    JoinOutcome, LayoutRow, LoginRow, NewAccount, NodeRow, PlacedChunk, RecoveryId, Secret, SessionRow,
    StoredLog, TokenHash,
};
use crate::db::{MakeLayout, MetaStore, StoreError, StoreFuture};
use freehold_api::bulk::{CommitPage, VersionsResponse};
use freehold_api::{AccountBoxes, ChainState, VaultState, VaultSummary};
use freehold_model::{AccountId, DeviceId, NodeId, VaultId, VersionHash};
use sqlx::Transaction;
use sqlx::pool::PoolConnection;

/// Tries of a transaction that another one got in the way of, before the caller hears of it.
const TRIES: usize = 5;

/// A database with its connections.
pub(in crate::db) trait Backend: Send + Sync {
    /// Which database.
    type Database: sqlx::Database<Connection: Connection>;

    /// A transaction that may write. What it locks stays locked until it ends.
    fn write(&self) -> impl Future<Output = Result<Transaction<'static, Self::Database>, StoreError>> + Send;

    /// A connection for one statement that reads.
    fn read(&self) -> impl Future<Output = Result<PoolConnection<Self::Database>, StoreError>> + Send;

    /// A transaction that reads one state throughout.
    fn snapshot(
        &self,
    ) -> impl Future<Output = Result<Transaction<'static, Self::Database>, StoreError>> + Send;
}

/// Ends a write transaction: commits what is to be kept, takes everything else back.
async fn finish<DB: sqlx::Database, T>(
    transaction: Transaction<'_, DB>,
    result: Result<T, StoreError>,
    keep: impl FnOnce(&T) -> bool + Send,
) -> Result<T, StoreError> {
    // Dropping a transaction rolls it back.
    let value = result?;
    if keep(&value) {
        transaction.commit().await?;
    } else {
        transaction.rollback().await?;
    }
    Ok(value)
}

/// Runs `$body` with a write transaction and commits it, or only when `$keep` says so. It runs
/// again when another transaction got in the way.
macro_rules! write {
    ($self:ident, |$tx:ident| $body:expr) => {
        write!($self, |$tx| $body, |_| true)
    };
    ($self:ident, |$tx:ident| $body:expr, $keep:expr) => {
        Box::pin(async move {
            let mut tries = 1;
            loop {
                let mut transaction = Backend::write($self).await?;
                let $tx = &mut *transaction;
                let result = $body.await;
                match finish(transaction, result, $keep).await {
                    Err(StoreError::Raced) if tries < TRIES => tries += 1,
                    ended => return ended,
                }
            }
        })
    };
}

/// Runs `$body` with a connection that reads.
macro_rules! read {
    ($self:ident, |$conn:ident| $body:expr) => {
        Box::pin(async move {
            let mut connection = Backend::read($self).await?;
            let $conn = &mut *connection;
            $body.await
        })
    };
}

/// Runs `$body` with a transaction that sees one state throughout.
macro_rules! snapshot {
    ($self:ident, |$conn:ident| $body:expr) => {
        Box::pin(async move {
            let mut transaction = Backend::snapshot($self).await?;
            let $conn = &mut *transaction;
            let value = $body.await?;
            transaction.rollback().await?;
            Ok(value)
        })
    };
}

impl<B: Backend> MetaStore for B {
    fn ping(&self) -> StoreFuture<'_, ()> {
        read!(self, |db| meta::ping(db))
    }

    fn server_incarnation(&self) -> StoreFuture<'_, u64> {
        read!(self, |db| meta::server_incarnation(db))
    }

    fn key_fingerprint(&self) -> StoreFuture<'_, Option<i64>> {
        read!(self, |db| meta::key_fingerprint(db))
    }

    fn put_key_fingerprint(&self, fingerprint: i64) -> StoreFuture<'_, ()> {
        write!(self, |db| meta::put_key_fingerprint(db, fingerprint))
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
        write!(self, |db| account::create(db, &account), |outcome| *outcome == CreateOutcome::Created)
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
        write!(self, |db| log::append(db, &row), |outcome| *outcome == AppendOutcome::Appended)
    }

    fn boxes(&self, account: AccountId) -> StoreFuture<'_, AccountBoxes> {
        snapshot!(self, |db| boxes::all(db, account))
    }

    fn device(&self, device: DeviceId) -> StoreFuture<'_, Option<DeviceRow>> {
        read!(self, |db| account::device(db, device))
    }

    fn put_addresses(&self, device: DeviceId, time: i64, statement: Vec<u8>) -> StoreFuture<'_, bool> {
        write!(self, |db| addresses::put(db, device, time, &statement))
    }

    fn addresses(&self, account: AccountId) -> StoreFuture<'_, Vec<Vec<u8>>> {
        read!(self, |db| addresses::list(db, account))
    }

    fn put_session(&self, token: TokenHash, session: SessionRow) -> StoreFuture<'_, ()> {
        write!(self, |db| session::put(db, token, session))
    }

    fn open_session(&self, token: TokenHash, session: SessionRow, secret: Secret) -> StoreFuture<'_, bool> {
        write!(self, |db| session::open(db, token, session, &secret))
    }

    fn session(&self, token: TokenHash) -> StoreFuture<'_, Option<SessionRow>> {
        read!(self, |db| session::find(db, token))
    }

    fn end_session(&self, token: TokenHash) -> StoreFuture<'_, ()> {
        write!(self, |db| session::end(db, token))
    }

    fn spend(&self, token: TokenHash, expires: i64) -> StoreFuture<'_, bool> {
        write!(self, |db| session::spend(db, token, expires))
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

    fn chain(&self, vault: VaultId, device: DeviceId) -> StoreFuture<'_, ChainState> {
        snapshot!(self, |db| commit::chain(db, vault, device))
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
        write!(self, |db| node::join(db, token, &node, make_layout, now))
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
