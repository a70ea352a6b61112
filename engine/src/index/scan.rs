//! Reading every row at a start.
//!
//! Rows of nodes come after all others, so that whatever else is said of a node is known by then. One
//! thread reads the file and takes the rows in, another opens them in between: of a million rows each is
//! busy for about half of the time.

use crate::index::{IndexError, Rows};
use crate::journal::Sealer;
use crate::journal::item::Item;
use crate::limits;
use freehold_model::codec::from_slice;
use rusqlite::{Connection, Row};
use std::sync::mpsc;

/// A row as it lies in the file.
struct SealedRow {
    kind: u8,
    key: Vec<u8>,
    sealed: Vec<u8>,
}

/// Hands over every row.
///
/// # Errors
/// `Disk`; `Damaged` for rows that this key does not open.
pub(crate) fn scan(connection: &Connection, sealer: &Sealer, rows: &mut dyn Rows) -> Result<(), IndexError> {
    let mut query = connection.prepare("SELECT kind, key, sealed FROM row ORDER BY kind DESC")?;
    let mut found = query.query([])?;
    let mut next = || -> Result<Vec<SealedRow>, IndexError> {
        let mut batch = Vec::with_capacity(limits::SCANNED_AT_ONCE);
        while batch.len() < limits::SCANNED_AT_ONCE
            && let Some(row) = found.next()?
        {
            batch.push(SealedRow { kind: row.get(0)?, key: blob(row, 1)?, sealed: blob(row, 2)? });
        }
        Ok(batch)
    };
    std::thread::scope(|scope| {
        let (to_open, sealed) = mpsc::channel::<Vec<SealedRow>>();
        let (to_take, opened) = mpsc::channel();
        scope.spawn(move || {
            // Whoever takes them in may have given up.
            sealed.into_iter().map(|batch| open(sealer, &batch)).try_for_each(|items| to_take.send(items))
        });
        let mut under_way = 0;
        loop {
            let batch = next()?;
            let is_last = batch.is_empty();
            if !is_last && to_open.send(batch).is_ok() {
                under_way += 1;
            }
            while under_way > if is_last { 0 } else { limits::SCANS_UNDER_WAY } {
                // It answers each batch; a panic of it is one of the scope.
                opened.recv().map_err(|_| IndexError::Damaged)??.into_iter().for_each(|item| rows.row(item));
                under_way -= 1;
            }
            if is_last {
                return Ok(());
            }
        }
    })
}

fn open(sealer: &Sealer, batch: &[SealedRow]) -> Result<Vec<Item>, IndexError> {
    let item = |row: &SealedRow| {
        let plain = sealer.open_row(row.kind, &row.key, &row.sealed).ok_or(IndexError::Damaged)?;
        from_slice(&plain).map_err(|_| IndexError::Damaged)
    };
    batch.iter().map(item).collect()
}

fn blob(row: &Row<'_>, column: usize) -> Result<Vec<u8>, IndexError> {
    Ok(row.get_ref(column)?.as_blob().map_err(|_| IndexError::Damaged)?.to_vec())
}
