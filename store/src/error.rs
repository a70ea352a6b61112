//! What can go wrong, one variant for each decision a caller makes.

use std::io;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is as full as the store lets it become; free space or lower the cap.
    #[error("the disk has no room for this chunk: free space or move the store")]
    NoSpace,
    /// A write or flush failed earlier, so nothing more is written; check the disk, then restart.
    #[error("the store is read-only since a write failed: check the disk, then restart")]
    ReadOnly,
    /// The bytes on disk are not the chunk any more; they are kept and set aside.
    #[error("the stored chunk is damaged: fetch it from another copy")]
    Damaged,
    /// The chunk is longer than any chunk can be.
    #[error("the chunk is longer than the format allows")]
    TooLarge,
    /// Another process has the directory.
    #[error("the store's directory is in use by another process")]
    InUse,
    /// The directory holds something this build does not read.
    #[error("cannot read {0}: it was written by another version or is no chunk store")]
    Format(&'static str),
    /// The operating system refused.
    #[error("could not {attempt}: {source}")]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without anyone repairing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::NoSpace)
    }

    /// Whether a read that failed so says something about the bytes on disk, and not about this
    /// process (out of descriptors, out of memory), which must not cost a good chunk its place.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged => true,
            Self::Io { source, .. } => {
                source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
                    || matches!(source.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound)
            }
            _ => false,
        }
    }

    /// Sorts a system error: a full disk is a decision of its own.
    pub(crate) fn io(attempt: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::Io { attempt, source },
        }
    }
}
