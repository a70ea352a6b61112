//! Commits and versions kept as they were signed and sealed, for whoever lacks them.
//!
//! Other devices fetch from here what they have not seen, and a server that was set back to an older
//! copy gets again what it lost. Everything kept was verified before; it is ciphertext and signed
//! headers, the same bytes the server has, and no key. What is lost here can be fetched again, so a
//! damaged file is set aside and an empty one takes its place.
//!
//! Hashes of commits stay for ever: they are what a second history of a device is compared with.
//! Bytes of commits that the server has numbered, and versions that nothing names any more, go when
//! the store is over its cap.

mod db;
mod keep;
mod serve;
#[cfg(test)]
mod tests;

use freehold_api::bulk::PushVersion;
use freehold_model::{ChunkId, CommitHash, DeviceId};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::atomic::AtomicUsize;

pub(crate) use keep::Caps;
pub(crate) use serve::Unnumbered;

/// The store could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HistoryError {
    /// The disk or SQLite refused.
    #[error("the kept commits cannot be read or written")]
    Disk,
    /// Not a database of this schema.
    #[error("the kept commits are damaged")]
    Damaged,
}

/// Where a commit stands in its device's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChainPlace {
    pub(crate) device: DeviceId,
    pub(crate) incarnation: u32,
    pub(crate) seq: u64,
}

/// A commit to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptCommit {
    pub(crate) place: ChainPlace,
    pub(crate) hash: CommitHash,
    /// As signed.
    pub(crate) bytes: Vec<u8>,
    /// Whether the server has numbered it.
    pub(crate) numbered: bool,
}

/// What is to be kept in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keep {
    pub(crate) commits: Vec<KeptCommit>,
    pub(crate) versions: Vec<PushVersion>,
    /// Commits kept before that the server has numbered since.
    pub(crate) numbered: Vec<ChainPlace>,
    /// The server's numbering started over: what it does not show again, it does not have.
    pub(crate) forget_numbers: bool,
}

/// A list of the chunks that one manifest node names.
pub(crate) type ManifestList = (ChunkId, Vec<ChunkId>);

/// The store. Its calls block on the disk: use it beside the runtime.
#[derive(Debug)]
pub(crate) struct History {
    /// SQLite serialises anyway; the connection is used for one statement or transaction at a time.
    db: Mutex<rusqlite::Connection>,
    /// Bytes kept since the caps were looked at.
    untrimmed_bytes: AtomicUsize,
}

impl History {
    /// Opens or creates the store in a vault's folder.
    ///
    /// # Errors
    /// `Disk` when the file can be neither read nor replaced.
    pub(crate) fn open(dir: &Path) -> Result<Self, HistoryError> {
        db::open_or_replace(&dir.join("history.db")).map(Self::on)
    }

    /// What an earlier run left is looked at with the first that is kept.
    const fn on(db: rusqlite::Connection) -> Self {
        Self { db: Mutex::new(db), untrimmed_bytes: AtomicUsize::new(usize::MAX / 2) }
    }

    /// A store that lives as long as the value.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        Self::on(db::in_memory().expect("SQLite has memory"))
    }

    /// Another store with the same in it.
    #[cfg(test)]
    pub(crate) fn copy(&self) -> Self {
        let mut copy = rusqlite::Connection::open_in_memory().expect("SQLite has memory");
        {
            let from = self.db.lock();
            let backup = rusqlite::backup::Backup::new(&from, &mut copy).expect("two databases");
            backup.run_to_completion(1_000, std::time::Duration::ZERO, None).expect("memory to memory");
        }
        Self::on(copy)
    }
}

impl crate::sync::chains::KnownCommits for History {
    fn hash_at(&self, place: &ChainPlace) -> Option<CommitHash> {
        Self::hash_at(self, place).unwrap_or_else(|error| {
            tracing::warn!(%error, "a commit could not be compared with what was followed before");
            None
        })
    }
}

impl Keep {
    pub(crate) fn is_empty(&self) -> bool {
        self.commits.is_empty()
            && self.versions.is_empty()
            && self.numbered.is_empty()
            && !self.forget_numbers
    }
}
