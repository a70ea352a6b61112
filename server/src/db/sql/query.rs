//! One statement with its values, and the connection it runs on.

use crate::db::StoreError;
use crate::db::sql::Column;
use freehold_model::{AccountId, NodeId, VaultId};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Arguments, Encode, FromRow, SqlSafeStr, SqlStr, Type};
use std::borrow::Cow;

/// A value of a statement.
#[derive(Clone, Debug)]
pub(in crate::db) enum Value<'q> {
    /// A counter, size, time or flag.
    Number(i64),
    /// An id, a hash, a key, ciphertext.
    Bytes(Cow<'q, [u8]>),
    /// Bytes that are not there.
    NoBytes,
    /// Text.
    Text(String),
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Number(i64::from(flag))
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Cow::Owned(bytes))
    }
}

impl<'q> From<&'q [u8]> for Value<'q> {
    fn from(bytes: &'q [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

impl<'q, const N: usize> From<&'q [u8; N]> for Value<'q> {
    fn from(bytes: &'q [u8; N]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

impl From<Option<Vec<u8>>> for Value<'_> {
    fn from(bytes: Option<Vec<u8>>) -> Self {
        bytes.map_or(Self::NoBytes, Self::from)
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A row as a tuple that both databases can give.
pub(in crate::db) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// What a transaction holds until it ends, so that it sees what it judges by stay as it is. On
/// SQLite the one write transaction holds everything.
#[derive(Clone, Copy, Debug)]
pub(in crate::db) enum Lock {
    /// The question whether an account may be created.
    Registration,
    /// An account's log and boxes, to change them.
    Account(AccountId),
    /// An account's log, to keep it as it is.
    AccountLog(AccountId),
    /// A vault: its numbers, versions, and what they wait for.
    Vault(VaultId),
    /// A storage node's row.
    Node(NodeId),
    /// The set of nodes and the layouts made of it.
    Layout,
}

/// A connection inside a transaction, or one that only reads.
pub(in crate::db) trait Connection: Send {
    /// Values ready to be sent.
    type Arguments: Arguments + Send;

    /// How many of the rows that are left one statement of a batch takes: at least one.
    fn rows_at_once(left: usize) -> usize;

    /// Makes values ready.
    fn arguments(values: Vec<Value<'_>>) -> Result<Self::Arguments, StoreError>;

    /// Adds the rows of a batch, `columns.len()` values each, and gives the text that lists them.
    fn add_rows(
        arguments: &mut Self::Arguments,
        columns: &[Column],
        values: Vec<Value<'_>>,
    ) -> Result<String, StoreError>;

    /// Runs a statement; the number of rows it changed.
    fn execute(
        &mut self,
        text: SqlStr,
        arguments: Self::Arguments,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Runs a statement and collects what it answers.
    fn fetch<O: Row>(
        &mut self,
        text: SqlStr,
        arguments: Self::Arguments,
    ) -> impl Future<Output = Result<Vec<O>, StoreError>> + Send;

    /// Waits for a lock and keeps it until the transaction ends.
    fn lock(&mut self, lock: Lock) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A statement on its way.
#[derive(Debug)]
pub(super) struct Query<'q> {
    text: &'static str,
    values: Vec<Value<'q>>,
}

/// A statement without values yet.
pub(super) const fn query<'q>(text: &'static str) -> Query<'q> {
    Query { text, values: Vec::new() }
}

impl<'q> Query<'q> {
    /// Gives the next parameter its value.
    pub(super) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it; the number of rows it changed.
    pub(super) async fn execute<C: Connection>(self, db: &mut C) -> Result<u64, StoreError> {
        db.execute(self.text.into_sql_str(), C::arguments(self.values)?).await
    }

    /// Runs it and collects every row.
    pub(super) async fn fetch_all<C: Connection, O: Row>(self, db: &mut C) -> Result<Vec<O>, StoreError> {
        db.fetch(self.text.into_sql_str(), C::arguments(self.values)?).await
    }

    /// Runs a statement that answers with at most one row.
    pub(super) async fn fetch_optional<C: Connection, O: Row>(
        self,
        db: &mut C,
    ) -> Result<Option<O>, StoreError> {
        Ok(self.fetch_all(db).await?.into_iter().next())
    }

    /// Runs a statement that answers with one row.
    pub(super) async fn fetch_one<C: Connection, O: Row>(self, db: &mut C) -> Result<O, StoreError> {
        self.fetch_optional(db).await?.ok_or(StoreError::Corrupt("set of rows: one is missing"))
    }
}

/// Adds values for the database `DB`, one parameter each.
pub(in crate::db) fn add<'q, DB: sqlx::Database>(
    arguments: &mut DB::Arguments,
    values: Vec<Value<'q>>,
) -> Result<(), StoreError>
where
    i64: Encode<'q, DB> + Type<DB>,
    &'q [u8]: Encode<'q, DB> + Type<DB>,
    Vec<u8>: Encode<'q, DB> + Type<DB>,
    Option<Vec<u8>>: Encode<'q, DB> + Type<DB>,
    String: Encode<'q, DB> + Type<DB>,
{
    for value in values {
        let added = match value {
            Value::Number(number) => arguments.add(number),
            Value::Bytes(Cow::Owned(bytes)) => arguments.add(bytes),
            Value::Bytes(Cow::Borrowed(bytes)) => arguments.add(bytes),
            Value::NoBytes => arguments.add(None::<Vec<u8>>),
            Value::Text(text) => arguments.add(text),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(())
}
