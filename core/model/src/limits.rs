//! Every cap that more than one crate must agree on, with its reason.
//!
//! Caps that only one crate knows live in that crate's own `limits.rs`.

/// Bytes of a name, as POSIX file systems have it (`NAME_MAX`).
pub const NAME_BYTES_MAX: usize = 255;

/// Bytes of a symlink's target: `PATH_MAX` less the terminating zero.
pub const SYMLINK_BYTES_MAX: usize = 4_095;

/// Bytes of an extended attribute's name (Linux `XATTR_NAME_MAX`).
pub const XATTR_NAME_BYTES_MAX: usize = 255;

/// Bytes of one extended attribute's value. Linux allows 64 KiB; records travel whole, so less.
pub const XATTR_VALUE_BYTES_MAX: usize = 16 * 1024;

/// Bytes of all extended attributes of one file, names included.
pub const XATTR_TOTAL_BYTES_MAX: usize = 64 * 1024;

/// Names (hard links) of one file. ext4 stops at 65,000; the map travels whole with its record.
pub const LINKS_MAX: usize = 1_000;

/// Device lives in one version vector. Far above any real fleet, it bounds a hostile record.
pub const VECTOR_ENTRIES_MAX: usize = 4_096;

/// Entries of one commit.
pub const COMMIT_ENTRIES_MAX: usize = 4_096;

/// Bytes of the records one commit carries.
pub const COMMIT_RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of one sealed record.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of one chunk's plaintext: the largest chunk any profile cuts.
pub const CHUNK_PLAIN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of one sealed chunk: plaintext, length field, Padmé (at most 12 %), tags and header.
pub const CHUNK_SEALED_BYTES_MAX: usize = CHUNK_PLAIN_BYTES_MAX + CHUNK_PLAIN_BYTES_MAX / 8 + 64 * 1024;

/// Items of one batched chunk request.
pub const BATCH_ITEMS_MAX: usize = 1_024;

/// Bytes of one batched chunk request.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Storage nodes in one layout.
pub const LAYOUT_NODES_MAX: usize = 256;
