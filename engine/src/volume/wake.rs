//! Bringing buried deletions back before somebody speaks of their files.
//!
//! Their rows are read with no lock held; until the [`Awake`] is dropped nothing is buried again.

use crate::FsError;
use crate::volume::Volume;
use crate::volume::load::node_of;
use freehold_model::{FileId, VersionHash};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Keeps what was woken from being buried.
#[must_use]
pub(crate) struct Awake(Arc<AtomicUsize>);

impl Awake {
    fn new(volume: &Volume) -> Self {
        let awake = Arc::clone(&volume.tables.lock().buried.awake);
        awake.fetch_add(1, Ordering::SeqCst);
        Self(awake)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Volume {
    /// Brings these files back into the tables, as far as they are buried. Blocks.
    ///
    /// # Errors
    /// `Io` when a row cannot be read; whoever needs the files tries again later.
    pub(crate) fn wake<'a>(&self, files: impl Iterator<Item = &'a FileId>) -> Result<Awake, FsError> {
        let awake = Awake::new(self);
        let buried = self.tables.lock().buried.among(files);
        self.unbury(&buried)?;
        Ok(awake)
    }

    /// As [`Self::wake`], for the files that show one of these versions.
    ///
    /// # Errors
    /// As [`Self::wake`].
    pub(crate) fn wake_showing(&self, versions: &BTreeSet<VersionHash>) -> Result<Awake, FsError> {
        let awake = Awake::new(self);
        let buried = self.tables.lock().buried.showing(versions);
        self.unbury(&buried)?;
        Ok(awake)
    }

    fn unbury(&self, files: &BTreeSet<FileId>) -> Result<(), FsError> {
        if files.is_empty() {
            return Ok(());
        }
        let index = self.local.as_ref().and_then(|local| local.index.as_ref()).ok_or(FsError::Io)?;
        let images = index.nodes(files).map_err(|error| {
            tracing::error!(%error, "deleted files that are spoken of again could not be read from the index");
            FsError::Io
        })?;
        let mut tables = self.tables.lock();
        let now = tables.now;
        let nodes = images.into_iter().filter_map(|image| node_of(image, 0, now));
        nodes.for_each(|node| tables.unbury(node));
        if tables.buried.among(files.iter()).is_empty() { Ok(()) } else { Err(FsError::Io) }
    }
}
