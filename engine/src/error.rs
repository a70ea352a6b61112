//! What can go wrong below the mount, as decisions for the caller.
//!
//! [`FsError`] has one variant per answer the mount gives, so that the errno table in `vfs` is a
//! plain match. [`OpenError`] is for the programs that open a volume. Neither names a path, a file
//! name or content.

use crate::Ino;
use std::sync::Arc;

/// Why an operation on the tree was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FsError {
    /// No such node, name or attribute owner (`ENOENT`).
    #[error("there is no such entry")]
    NotFound,
    /// The name is taken (`EEXIST`).
    #[error("the name is taken")]
    Exists,
    /// A directory was needed (`ENOTDIR`).
    #[error("not a directory")]
    NotDir,
    /// A directory cannot serve here (`EISDIR`).
    #[error("is a directory")]
    IsDir,
    /// The directory still has entries (`ENOTEMPTY`).
    #[error("the directory is not empty")]
    NotEmpty,
    /// Over 255 bytes (`ENAMETOOLONG`).
    #[error("the name is too long")]
    NameTooLong,
    /// Empty, `.`, `..`, or with a slash or zero byte; or a directory moved below itself (`EINVAL`).
    #[error("the argument makes no sense here")]
    Invalid,
    /// Refused for this kind of node, such as a hard link to a directory (`EPERM`).
    #[error("not permitted for this kind of node")]
    NotPermitted,
    /// As many hard links as a record carries (`EMLINK`).
    #[error("the file has as many names as it can have")]
    TooManyLinks,
    /// No such extended attribute (`ENODATA`).
    #[error("there is no such extended attribute")]
    NoXattr,
    /// The attribute exists (`EEXIST`), asked for by `XATTR_CREATE`.
    #[error("the extended attribute exists")]
    XattrExists,
    /// An attribute name, value or their sum is over its limit (`E2BIG`/`ENOSPC`).
    #[error("the extended attribute is over its limit")]
    XattrTooBig,
    /// Beyond the largest file (`EFBIG`).
    #[error("beyond the largest file this vault holds")]
    FileTooBig,
    /// The disk's reservation or a table cap is used up (`ENOSPC`). Reads and deletes still work.
    #[error("the disk below is full; free space there")]
    NoSpace,
    /// Content is on no reachable node, and the deadline passed (`EIO`).
    #[error("the content is not on this device and no node that has it could be reached in time")]
    Unreachable,
    /// Stored bytes failed their seal or are gone (`EIO`).
    #[error("stored bytes are damaged")]
    Damaged,
    /// The disk refused a read, write or flush (`EIO`).
    #[error("the disk below failed")]
    Io,
    /// The volume was closed (`EIO`).
    #[error("the volume is closed")]
    Closed,
}

/// Why a volume could not be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory or file could not be made, listed or read.
    #[error(
        "cannot open the local state of the vault: {what}: {source}; check the disk and the directory's owner"
    )]
    Disk {
        /// What was attempted.
        what: &'static str,
        /// The operating system's answer.
        source: Arc<std::io::Error>,
    },
    /// Another process holds the state directory.
    #[error("another process uses the local state of this vault; stop it first")]
    Busy,
    /// The local key opens none of what is there.
    #[error("the local state of the vault was sealed with another device's key; move it away to start again")]
    WrongKey,
    /// More nodes than this build keeps in memory.
    #[error("the vault has {count} nodes, more than the {max} this build loads")]
    TooManyNodes {
        /// Nodes found.
        count: usize,
        /// Nodes allowed.
        max: usize,
    },
}

/// Why a chunk could not be brought here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No node that has it answered in time, or none is reachable.
    #[error("no node that has the chunk could be reached in time")]
    Unreachable,
    /// Every node that was asked delivered bytes that are not the chunk.
    #[error("the nodes deliver bytes that are not the chunk")]
    Damaged,
}

impl From<FetchError> for FsError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Unreachable => Self::Unreachable,
            FetchError::Damaged => Self::Damaged,
        }
    }
}

/// What opening a volume found wrong and worked around.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The index was missing, older than the journal or unreadable: what the server has numbered
    /// must be loaded again from its heads.
    pub heads_needed: bool,
    /// Bytes cut off the end of the journal: an unacknowledged frame the crash tore.
    pub torn_bytes: u64,
    /// Journal segments with damage in the middle; copies are in `quarantine/`.
    pub damaged_segments: Vec<u64>,
    /// Files whose content lost writes with those frames; reads of them fail until overwritten.
    pub damaged_files: Vec<Ino>,
}
