//! Caps of the plaintext formats, each with its reason.
//!
//! Two kinds: what an author may write (the mutators refuse more) and what a decoder accepts.
//! The second is wider, because a merge of honest records may hold several values per register.

pub use freehold_model::limits::{
    LINKS_MAX, NAME_BYTES_MAX, SYMLINK_BYTES_MAX, VECTOR_ENTRIES_MAX, XATTR_NAME_BYTES_MAX,
    XATTR_TOTAL_BYTES_MAX, XATTR_VALUE_BYTES_MAX,
};

/// Bytes of one record's plaintext: what still fits the sealed limit of 1 MiB after padding.
pub const RECORD_PLAIN_BYTES_MAX: usize = 896 * 1024;

/// File bytes kept inside the record: below this a chunk would cost more than its content.
pub const INLINE_BYTES_MAX: usize = 2 * 1024;

/// Inline bytes a decoder accepts: room for a later, larger inline profile.
pub const INLINE_BYTES_DECODE_MAX: usize = 16 * 1024;

/// Files up to this size are one chunk.
pub const SINGLE_CHUNK_BYTES_MAX: u64 = 64 * 1024;

/// Bytes of one block of the fixed profile.
pub const FIXED_BLOCK_BYTES: u64 = 256 * 1024;

/// Files up to this size are cut small: one piece of 74 KiB in the mean is little to send.
pub const SMALL_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Files up to this size are cut medium: a one-byte insert sends 153 KiB in the mean, a manifest is 0.06 %.
pub const MEDIUM_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// A file cut large stays so above this size, an eighth of what makes one large.
pub const LARGE_BYTES_KEPT: u64 = MEDIUM_BYTES_MAX / 8;

/// Historic parents a directory keeps; a move drops the oldest. Cycles are broken with them.
pub const PARENTS_MAX: usize = 16;

/// Elements of one observed-remove set a decoder or a merge accepts (links, attributes, contents,
/// parents): an author writes at most [`LINKS_MAX`], and concurrent authors add up.
pub const ELEMENTS_MAX: usize = 16_384;

/// Bytes of one file. Keeps every offset sum far from overflow: 2^60, an exbibyte.
pub const FILE_BYTES_MAX: u64 = 1 << 60;

/// Entries of a manifest node that is not the last of its level: 84 bytes each in a leaf, so that even short
/// nodes are few.
pub const NODE_ENTRIES_MIN: usize = 64;

/// From here on a node ends easily. With [`NODE_ENTRIES_MIN`] that makes 139 entries in the mean: a leaf is
/// about 11 KiB, and an edit rewrites one.
pub const NODE_ENTRIES_NORMAL: usize = 112;

/// Entries of any manifest node: a file of equal pieces has nothing that tells its nodes apart.
pub const NODE_ENTRIES_MAX: usize = 512;

/// Levels above the leaves. 64^7 blocks of 256 KiB are [`FILE_BYTES_MAX`].
pub const NODE_LEVEL_MAX: u8 = 8;

/// Devices in one commit body's `seen` vector.
pub const SEEN_MAX: usize = VECTOR_ENTRIES_MAX;

/// Bytes of a device label inside a conflict name; certificates allow 64.
pub const LABEL_BYTES_MAX: usize = 64;

/// Bytes of the part after a name's last dot that still count as an extension.
pub const EXTENSION_BYTES_MAX: usize = 16;
