//! Reading single rows, while a transaction of the writer may be under way.
//!
//! A connection of its own sees what was committed last (sqlite.org/wal.html, "Concurrency"). Readers take
//! turns; each is done within the disk's time for a few pages.

use crate::index::db::OWN_PROCESS;
use crate::index::{IndexError, Table};
use crate::journal::Sealer;
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::path::Path;
use std::sync::Arc;

/// Reads rows of nodes.
pub(crate) struct Reader {
    connection: Mutex<Connection>,
    sealer: Arc<Sealer>,
}

impl Reader {
    /// Opens an index that is there.
    ///
    /// # Errors
    /// `Disk`, `Damaged`.
    pub(crate) fn open(path: &Path, sealer: Arc<Sealer>) -> Result<Self, IndexError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags_and_vfs(path, flags, OWN_PROCESS)?;
        connection.execute_batch("PRAGMA cache_size=-4096;")?;
        Ok(Self { connection: Mutex::new(connection), sealer })
    }

    /// The encoded images of nodes, those there are.
    ///
    /// # Errors
    /// `Disk`, `Damaged`.
    pub(crate) fn nodes(&self, keys: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, IndexError> {
        let mut found = Vec::new();
        if keys.is_empty() {
            return Ok(found);
        }
        let kind = Table::Nodes as u8;
        let mut connection = self.connection.lock();
        // One look at the file for all of them.
        let look = connection.transaction()?;
        let mut query = look.prepare_cached("SELECT sealed FROM row WHERE kind = ?1 AND key = ?2")?;
        for key in keys {
            let sealed: Option<Vec<u8>> = query.query_row(params![kind, key], |row| row.get(0)).optional()?;
            if let Some(sealed) = sealed {
                found.push(self.sealer.open_row(kind, key, &sealed).ok_or(IndexError::Damaged)?);
            }
        }
        Ok(found)
    }

    /// Does what cannot be done while somebody reads.
    pub(crate) fn while_idle<T>(&self, job: impl FnOnce() -> T) -> T {
        let _idle = self.connection.lock();
        job()
    }
}
