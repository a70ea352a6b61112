//! Many rows in one statement.
//!
//! A statement of sqlx goes to the connection's thread and back, about 50 µs whatever it does; a
//! commit of thousands of versions takes tens of thousands of them one by one. Here each statement
//! takes up to [`ROWS_MAX`] rows, as a list of row templates in plain SQL that PostgreSQL has too.

use crate::db::StoreError;
use sqlx::query::{Query, QueryAs};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, FromRow, Sqlite, SqliteConnection};

/// Rows in one statement. Beyond this the trip no longer shows; parameters stay far below the
/// 32,766 that SQLite takes.
const ROWS_MAX: usize = 128;

/// A statement over a list of rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    /// Text before the list.
    pub(super) head: &'static str,
    /// One row: `$1` and on are shared by all rows, each `@` is the row's own next parameter.
    pub(super) row: &'static str,
    /// Text after the list.
    pub(super) tail: &'static str,
    /// How many parameters are shared.
    pub(super) shared: usize,
}

type Bound = Query<'static, Sqlite, SqliteArguments>;
type BoundAs<O> = QueryAs<'static, Sqlite, O, SqliteArguments>;

impl Batch {
    /// Runs the statement over all rows. `shared` binds what all have in common, `own` one row.
    pub(super) async fn execute<T: Sync>(
        &self,
        db: &mut SqliteConnection,
        rows: &[T],
        shared: impl Fn(Bound) -> Bound + Send,
        own: impl Fn(Bound, &T) -> Bound + Send,
    ) -> Result<(), StoreError> {
        for rows in parts(rows) {
            let query = shared(sqlx::query(AssertSqlSafe(self.text(rows.len()))));
            rows.iter().fold(query, &own).execute(&mut *db).await?;
        }
        Ok(())
    }

    /// Runs the statement over all rows and collects what it answers.
    pub(super) async fn fetch<T: Sync, O>(
        &self,
        db: &mut SqliteConnection,
        rows: &[T],
        shared: impl Fn(BoundAs<O>) -> BoundAs<O> + Send,
        own: impl Fn(BoundAs<O>, &T) -> BoundAs<O> + Send,
    ) -> Result<Vec<O>, StoreError>
    where
        O: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let mut found = Vec::new();
        for rows in parts(rows) {
            let query = shared(sqlx::query_as(AssertSqlSafe(self.text(rows.len()))));
            found.append(&mut rows.iter().fold(query, &own).fetch_all(&mut *db).await?);
        }
        Ok(found)
    }

    /// The text for so many rows. Nothing in it comes from a caller's data.
    fn text(&self, rows: usize) -> String {
        let mut text = self.head.to_owned();
        let mut parameter = self.shared;
        for row in 0..rows {
            text.push_str(if row == 0 { "" } else { ", " });
            for part in self.row.split_inclusive('@') {
                match part.strip_suffix('@') {
                    None => text.push_str(part),
                    Some(part) => {
                        parameter += 1;
                        text.push_str(part);
                        text.push('$');
                        text.push_str(&parameter.to_string());
                    }
                }
            }
        }
        text.push_str(self.tail);
        text
    }
}

/// Cuts rows into parts of a power of two, so that each statement has few texts to keep prepared.
fn parts<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let len = (1..=rows.len().min(ROWS_MAX)).rev().find(|len| len.is_power_of_two())?;
        let (part, rest) = rows.split_at(len);
        rows = rest;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbered_after_what_they_share() {
        let batch = Batch { head: "VALUES ", row: "($1, @, $2, @)", tail: " END", shared: 2 };
        assert_eq!(batch.text(2), "VALUES ($1, $3, $2, $4), ($1, $5, $2, $6) END");
    }

    #[test]
    fn parts_are_powers_of_two_and_lose_nothing() {
        for len in [0, 1, 2, 3, 127, 128, 129, 300] {
            let rows: Vec<usize> = (0..len).collect();
            let cut: Vec<&[usize]> = parts(&rows).collect();
            assert_eq!(cut.concat(), rows);
            assert!(cut.iter().all(|part| part.len().is_power_of_two() && part.len() <= ROWS_MAX));
        }
    }
}
