//! Statements on a SQLite connection.
//!
//! The rows of a batch are a list of `VALUES` with a parameter for each value.

use crate::db::StoreError;
use crate::db::sql::{self, Column, Lock, Row, Value};
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, SqlStr, Sqlite, SqliteConnection};

/// Rows in one statement. Beyond this the trip no longer shows; parameters stay far below the
/// 32,766 that SQLite takes.
const ROWS_MAX: usize = 128;

impl sql::Connection for SqliteConnection {
    type Arguments = SqliteArguments;

    /// A power of two, so that each statement has few texts to keep prepared.
    fn rows_at_once(left: usize) -> usize {
        left.min(ROWS_MAX).checked_ilog2().map_or(0, |exponent| 1 << exponent)
    }

    fn arguments(values: Vec<Value<'_>>) -> Result<SqliteArguments, StoreError> {
        let mut arguments = SqliteArguments::default();
        sql::add::<Sqlite>(&mut arguments, values)?;
        Ok(arguments)
    }

    fn add_rows(
        arguments: &mut SqliteArguments,
        columns: &[Column],
        values: Vec<Value<'_>>,
    ) -> Result<String, StoreError> {
        let list = values_list(arguments.len() + 1, columns.len(), values.len() / columns.len().max(1));
        sql::add::<Sqlite>(arguments, values)?;
        Ok(list)
    }

    async fn execute(&mut self, text: SqlStr, arguments: SqliteArguments) -> Result<u64, StoreError> {
        Ok(sqlx::query_with(text, arguments).execute(self).await?.rows_affected())
    }

    async fn fetch<O: Row>(
        &mut self,
        text: SqlStr,
        arguments: SqliteArguments,
    ) -> Result<Vec<O>, StoreError> {
        Ok(sqlx::query_as_with(text, arguments).fetch_all(self).await?)
    }

    /// `BEGIN IMMEDIATE` has locked all there is.
    async fn lock(&mut self, _: Lock) -> Result<(), StoreError> {
        Ok(())
    }
}

/// `VALUES ($3, $4), ($5, $6)`: so many rows of so many columns, numbered from `first`.
fn values_list(first: usize, columns: usize, rows: usize) -> String {
    let mut list = "VALUES ".to_owned();
    for row in 0..rows {
        list.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            list.push_str(if column == 0 { "$" } else { ", $" });
            list.push_str(&(first + row * columns + column).to_string());
        }
        list.push(')');
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use sql::Connection;

    #[test]
    fn rows_are_numbered_after_what_they_share() {
        assert_eq!(values_list(3, 2, 2), "VALUES ($3, $4), ($5, $6)");
    }

    #[test]
    fn statements_take_a_power_of_two_of_the_rows() {
        let at_once = [0, 1, 3, 127, 128, 300].map(SqliteConnection::rows_at_once);
        assert_eq!(at_once, [0, 1, 2, 64, 128, 128]);
    }
}
