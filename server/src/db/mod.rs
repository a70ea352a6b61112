//! What the server keeps, behind one trait, in SQLite or PostgreSQL.
//!
//! [`MetaStore`] is object-safe, so the rest of the server names no database. Each method is one
//! transaction. The numbering of commits (`vault_seq`) comes from the vault's row under its lock,
//! in the transaction that stores the commit, so a cursor never skips a number that becomes
//! visible later. Every implementation must pass the suite in `tests/contract`.

mod error;
mod judge;
mod location;
mod postgres;
mod rows;
mod sql;
mod sqlite;

pub use error::{OpenError, StoreError};
pub use location::{Location, LocationError, Opened};
pub use postgres::{Notice, Notices, PostgresStore, PostgresUrl, UrlError};
pub use rows::{
    AppendOutcome, AppendRow, Boxes, CommitOutcome, CommitRow, CreateOutcome, DeviceRow, EntryEffect,
    EntryRow, Heard, HeartbeatRow, JoinOutcome, LayoutRow, LoginRow, NewAccount, NodeRow, PlacedChunk,
    RecoveryId, Secret, SessionRow, StoredLog, TokenHash,
};
pub use sqlite::SqliteStore;

use freehold_api::bulk::{CommitPage, VersionsResponse};
use freehold_api::{AccountBoxes, ChainState, VaultState, VaultSummary};
use freehold_model::{AccountId, DeviceId, NodeId, VaultId, VersionHash};
use std::pin::Pin;

/// A boxed future, so that the trait can be a trait object.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Builds and signs the layout of an epoch from all nodes, inside the joining transaction.
pub type MakeLayout<'a> = &'a (dyn Fn(u64, &[NodeRow]) -> Result<LayoutRow, StoreError> + Send + Sync);

/// The server's memory. Times are microseconds since 1970 by the server's clock.
pub trait MetaStore: Send + Sync {
    /// Whether the database answers.
    fn ping(&self) -> StoreFuture<'_, ()>;
    /// A number that changes when the numbering of commits starts over.
    fn server_incarnation(&self) -> StoreFuture<'_, u64>;
    /// The fingerprint of the keys this database belongs to, once a server has put it.
    fn key_fingerprint(&self) -> StoreFuture<'_, Option<i64>>;
    /// Ties the database to a server's keys. The first fingerprint stays.
    fn put_key_fingerprint(&self, fingerprint: i64) -> StoreFuture<'_, ()>;
    /// Drops sessions, tokens and invites that have ended.
    fn sweep(&self, now: i64) -> StoreFuture<'_, ()>;

    /// Whether anybody has registered.
    fn has_accounts(&self) -> StoreFuture<'_, bool>;
    /// Stores an invite.
    fn put_invite(&self, code: TokenHash, expires: i64) -> StoreFuture<'_, ()>;
    /// Whether an invite is unused and has not ended.
    fn invite_is_good(&self, code: TokenHash, now: i64) -> StoreFuture<'_, bool>;
    /// Creates account, first device, first vault and a session at once. The first account needs
    /// no invite; later ones spend theirs.
    fn create_account(&self, account: NewAccount) -> StoreFuture<'_, CreateOutcome>;
    /// The login record of a name.
    fn login(&self, login_hash: TokenHash) -> StoreFuture<'_, Option<LoginRow>>;
    /// The account whose recovery key in force has this path id.
    fn account_by_recovery(&self, recovery_id: RecoveryId) -> StoreFuture<'_, Option<AccountId>>;

    /// An account's log.
    fn log(&self, account: AccountId) -> StoreFuture<'_, Option<StoredLog>>;
    /// Appends entries, all or none, when the log still has the length they were judged at.
    fn append_entries(&self, row: AppendRow) -> StoreFuture<'_, AppendOutcome>;
    /// An account's boxes.
    fn boxes(&self, account: AccountId) -> StoreFuture<'_, AccountBoxes>;
    /// A device, live or revoked.
    fn device(&self, device: DeviceId) -> StoreFuture<'_, Option<DeviceRow>>;

    /// Keeps where a device says it can be reached, unless what is kept is as late; whether it was.
    fn put_addresses(&self, device: DeviceId, time: i64, statement: Vec<u8>) -> StoreFuture<'_, bool>;
    /// What the live devices of an account said last.
    fn addresses(&self, account: AccountId) -> StoreFuture<'_, Vec<Vec<u8>>>;

    /// Starts a session of a device.
    fn put_session(&self, token: TokenHash, session: SessionRow) -> StoreFuture<'_, ()>;
    /// Starts a session that a secret opened, unless the secret was replaced meanwhile; whether it
    /// did.
    fn open_session(&self, token: TokenHash, session: SessionRow, secret: Secret) -> StoreFuture<'_, bool>;
    /// The session of a token, ended ones included until they are swept. None of a revoked device.
    fn session(&self, token: TokenHash) -> StoreFuture<'_, Option<SessionRow>>;
    /// Ends a session.
    fn end_session(&self, token: TokenHash) -> StoreFuture<'_, ()>;

    /// Marks a token as used until it has ended anyway; whether it was not used before.
    fn spend(&self, token: TokenHash, expires: i64) -> StoreFuture<'_, bool>;

    /// The vaults an account may open.
    fn vaults(&self, account: AccountId) -> StoreFuture<'_, Vec<VaultSummary>>;
    /// The owner of a vault.
    fn vault_owner(&self, vault: VaultId) -> StoreFuture<'_, Option<AccountId>>;
    /// Judges chain and numbers commits, in order and each on its own, in one transaction. The
    /// caller has verified signatures against a log of `log_len` entries; nothing when the log has
    /// grown since, and the caller judges again.
    fn append_commits<'a>(
        &'a self,
        vault: VaultId,
        log_len: u64,
        commits: &'a [CommitRow],
        now: i64,
    ) -> StoreFuture<'a, Option<Vec<CommitOutcome>>>;
    /// Commits after a number.
    fn commit_page(&self, vault: VaultId, after: u64, limit: usize) -> StoreFuture<'_, CommitPage>;
    /// Versions by hash.
    fn versions<'a>(&'a self, vault: VaultId, hashes: &'a [VersionHash])
    -> StoreFuture<'a, VersionsResponse>;
    /// Books verified receipts; the number of versions that became placed.
    fn book_receipts<'a>(
        &'a self,
        vault: VaultId,
        chunks: &'a [PlacedChunk],
        now: i64,
    ) -> StoreFuture<'a, u64>;
    /// Cursor and what is not placed yet.
    fn vault_state(&self, vault: VaultId) -> StoreFuture<'_, VaultState>;
    /// The newest commit of a device, with what proves it.
    fn chain(&self, vault: VaultId, device: DeviceId) -> StoreFuture<'_, ChainState>;

    /// Stores a join token.
    fn put_join_token(&self, token: TokenHash, expires: i64) -> StoreFuture<'_, ()>;
    /// Admits a node for a join token and makes the next layout. A node whose signing key is known
    /// keeps its id and certificate; repeating a join with the token it used answers as before.
    fn join_node<'a>(
        &'a self,
        token: TokenHash,
        node: NodeRow,
        make_layout: MakeLayout<'a>,
        now: i64,
    ) -> StoreFuture<'a, JoinOutcome>;
    /// Books a verified heartbeat.
    fn heartbeat(&self, node: NodeId, beat: HeartbeatRow) -> StoreFuture<'_, Heard>;
    /// Every node.
    fn nodes(&self) -> StoreFuture<'_, Vec<NodeRow>>;
    /// The newest layout.
    fn layout(&self) -> StoreFuture<'_, Option<LayoutRow>>;
}
