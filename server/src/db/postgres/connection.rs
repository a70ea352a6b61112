//! Statements on a PostgreSQL connection.
//!
//! Transactions that write run `READ COMMITTED`: each statement sees what was committed before it
//! began, so whatever a later statement relies on is locked first. Rows are locked `FOR NO KEY
//! UPDATE`, the lock that an `UPDATE` of their numbers takes anyway: it keeps other writers out and
//! lets rows that refer to them in. What has no row to lock (whether any account exists, which node
//! comes next) has an advisory lock. No transaction waits for two locks that another takes the
//! other way round; should one ever, PostgreSQL ends it and it runs again.

use crate::db::StoreError;
use crate::db::sql::{self, Column, Lock, Row, Value};
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::{Arguments, Postgres, SqlSafeStr, SqlStr};

/// Rows in one statement. Bounds the arrays in memory; one text serves any number.
const ROWS_MAX: usize = 8_192;

/// Advisory locks, apart from those of other programs in the same database: `FHLD` and a number.
const REGISTRATION_LOCK: i64 = 0x4648_4c44_0000_0001;
/// See [`REGISTRATION_LOCK`].
const LAYOUT_LOCK: i64 = 0x4648_4c44_0000_0002;

impl sql::Connection for PgConnection {
    type Arguments = PgArguments;

    fn rows_at_once(left: usize) -> usize {
        left.min(ROWS_MAX)
    }

    fn arguments(values: Vec<Value<'_>>) -> Result<PgArguments, StoreError> {
        let mut arguments = PgArguments::default();
        sql::add::<Postgres>(&mut arguments, values)?;
        Ok(arguments)
    }

    /// One array for each column.
    fn add_rows(
        arguments: &mut PgArguments,
        columns: &[Column],
        values: Vec<Value<'_>>,
    ) -> Result<String, StoreError> {
        let mut lists = Vec::with_capacity(columns.len());
        for (place, column) in columns.iter().enumerate() {
            let of_column = values.iter().skip(place).step_by(columns.len());
            let (added, kind) = match column {
                Column::Bytes(_) => (arguments.add(of_column.map(bytes).collect::<Vec<_>>()), "bytea[]"),
                Column::Number(_) => (arguments.add(of_column.map(number).collect::<Vec<_>>()), "bigint[]"),
            };
            added.map_err(sqlx::Error::Encode)?;
            lists.push(format!("${}::{kind}", arguments.len()));
        }
        Ok(format!("SELECT * FROM unnest({})", lists.join(", ")))
    }

    async fn execute(&mut self, text: SqlStr, arguments: PgArguments) -> Result<u64, StoreError> {
        Ok(sqlx::query_with(text, arguments).execute(self).await?.rows_affected())
    }

    async fn fetch<O: Row>(&mut self, text: SqlStr, arguments: PgArguments) -> Result<Vec<O>, StoreError> {
        Ok(sqlx::query_as_with(text, arguments).fetch_all(self).await?)
    }

    async fn lock(&mut self, lock: Lock) -> Result<(), StoreError> {
        let advisory = "SELECT pg_advisory_xact_lock($1)";
        let (text, value) = match lock {
            Lock::Registration => (advisory, Value::from(REGISTRATION_LOCK)),
            Lock::Layout => (advisory, Value::from(LAYOUT_LOCK)),
            Lock::Account(account) => {
                ("SELECT FROM account WHERE id = $1 FOR NO KEY UPDATE", account.to_bytes().to_vec().into())
            }
            Lock::AccountLog(account) => {
                ("SELECT FROM account WHERE id = $1 FOR SHARE", account.to_bytes().to_vec().into())
            }
            Lock::Vault(vault) => {
                ("SELECT FROM vault WHERE id = $1 FOR NO KEY UPDATE", vault.to_bytes().to_vec().into())
            }
            Lock::Node(node) => {
                ("SELECT FROM node WHERE id = $1 FOR NO KEY UPDATE", node.to_bytes().to_vec().into())
            }
        };
        sql::Connection::execute(self, text.into_sql_str(), Self::arguments(vec![value])?).await?;
        Ok(())
    }
}

/// The bytes of a value in a column of bytes.
fn bytes<'a>(value: &'a Value<'_>) -> Option<&'a [u8]> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        Value::Number(_) | Value::NoBytes | Value::Text(_) => None,
    }
}

/// The number of a value in a column of numbers.
fn number(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Bytes(_) | Value::NoBytes | Value::Text(_) => None,
    }
}
