//! Many rows in one statement.
//!
//! A statement costs a trip whatever it does: about 50 µs to SQLite's thread and back, a network
//! round trip to PostgreSQL; a commit of thousands of versions takes tens of thousands of them one
//! by one. Here each statement finds its rows in the table `item`, which stands before it as a
//! `WITH`: a list of `VALUES` for SQLite, arrays through `UNNEST` for PostgreSQL, where one text
//! serves any number of rows.

use super::query::{Connection, Row, Value};
use crate::db::StoreError;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// A statement over a list of rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    /// The statement. Its `$1` and on are shared by all rows; it reads the rows from `item`.
    pub(super) text: &'static str,
    /// The columns of `item`.
    pub(super) columns: &'static [Column],
}

/// A column of `item`.
#[derive(Clone, Copy, Debug)]
pub(in crate::db) enum Column {
    /// Byte strings, under this name.
    Bytes(&'static str),
    /// Numbers, under this name.
    Number(&'static str),
}

impl Column {
    const fn name(self) -> &'static str {
        match self {
            Self::Bytes(name) | Self::Number(name) => name,
        }
    }
}

impl Batch {
    /// Runs the statement over all rows; the number of rows it changed. `shared` is what all have in common, `own` gives the
    /// values of one row.
    pub(super) async fn execute<C: Connection, T: Sync, const N: usize>(
        &self,
        db: &mut C,
        rows: &[T],
        shared: &[Value<'_>],
        own: impl for<'a> Fn(&'a T) -> [Value<'a>; N] + Send,
    ) -> Result<u64, StoreError> {
        let mut changed = 0;
        for rows in parts(rows, C::rows_at_once) {
            let (text, arguments) = self.prepare::<C, T, N>(rows, shared, &own)?;
            changed += db.execute(text, arguments).await?;
        }
        Ok(changed)
    }

    /// Runs the statement over all rows and collects what it answers.
    pub(super) async fn fetch<C: Connection, T: Sync, O: Row, const N: usize>(
        &self,
        db: &mut C,
        rows: &[T],
        shared: &[Value<'_>],
        own: impl for<'a> Fn(&'a T) -> [Value<'a>; N] + Send,
    ) -> Result<Vec<O>, StoreError> {
        let mut found = Vec::new();
        for rows in parts(rows, C::rows_at_once) {
            let (text, arguments) = self.prepare::<C, T, N>(rows, shared, &own)?;
            found.append(&mut db.fetch(text, arguments).await?);
        }
        Ok(found)
    }

    /// Text and values for these rows. Nothing in the text comes from a caller's data.
    fn prepare<C: Connection, T, const N: usize>(
        &self,
        rows: &[T],
        shared: &[Value<'_>],
        own: impl for<'a> Fn(&'a T) -> [Value<'a>; N],
    ) -> Result<(SqlStr, C::Arguments), StoreError> {
        debug_assert_eq!(N, self.columns.len(), "a value for each column");
        let values = rows.iter().flat_map(own).collect();
        let mut arguments = C::arguments(shared.to_vec())?;
        let list = C::add_rows(&mut arguments, self.columns, values)?;
        let names: Vec<&str> = self.columns.iter().map(|column| column.name()).collect();
        let text = format!("WITH item ({}) AS ({list}) {}", names.join(", "), self.text);
        Ok((AssertSqlSafe(text).into_sql_str(), arguments))
    }
}

/// Cuts rows into what each statement takes.
pub(in crate::db) fn parts<T>(
    mut rows: &[T],
    rows_at_once: impl Fn(usize) -> usize,
) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let (part, rest) = rows.split_at_checked(rows_at_once(rows.len()))?;
        rows = rest;
        (!part.is_empty()).then_some(part)
    })
}
