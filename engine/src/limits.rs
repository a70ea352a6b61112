//! The engine's caps, each with its reason.

use std::time::Duration;

/// Nodes in memory. At roughly 1 KiB a node this is the inode budget of a walking skeleton;
/// over it a create answers `ENOSPC`.
pub const NODES_MAX: usize = 2_000_000;

/// Largest file: what signed 64-bit offsets of the kernel hold.
pub const FILE_BYTES_MAX: u64 = i64::MAX as u64;

/// Largest file a hole may make: manifests count 256 KiB pieces in 32 bits.
pub const CONTENT_BYTES_MAX: u64 = 1 << 44;

/// Writes up to this stay in memory until the next flush and may go inline into the journal;
/// larger ones are sealed to staging at once.
pub const INLINE_WRITE_BYTES_MAX: usize = 64 * 1024;

/// One sealed piece of staging: a 4 KiB random read opens at most this much.
pub const PIECE_BYTES_MAX: usize = 128 * 1024;

/// Written bytes held in memory before a writer spills them to staging itself.
pub const UNFLUSHED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A flush with more piece bytes than this puts them in staging: two syncs cost less than a fat journal.
pub const FLUSH_INLINE_BYTES_MAX: usize = 256 * 1024;

/// Plaintext of opened pieces and chunk frames kept for the next read.
pub const PLAIN_CACHE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Opened manifest nodes kept, about 11 KiB each.
pub const MANIFEST_CACHE_NODES_MAX: usize = 1_024;

/// How long dirty state waits for a flush nobody asked for.
pub const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
