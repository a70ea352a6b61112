//! STATFS: what the disk below can still take.

use freehold_engine::StatFs;

use super::Filesystem;

impl Filesystem {
    /// Totals for df. Free space is what a write can use, after the engine's own reservation.
    pub(crate) fn statfs(&self) -> StatFs {
        self.volume.statfs()
    }
}
