//! Small questions of the sync loop about what is on its way.

use crate::tables::Tables;
use freehold_model::VersionHash;

impl Tables {
    /// Rises with every change, local or remote.
    pub(crate) const fn changes(&self) -> u64 {
        self.op
    }

    /// Whether a signed commit has no number yet.
    pub(crate) const fn has_outbox(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Own versions that are not known to be numbered and placed, in no order.
    pub(crate) fn unplaced_versions(&self) -> impl Iterator<Item = VersionHash> + '_ {
        self.by_version.keys().copied()
    }
}
