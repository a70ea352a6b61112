//! Every cap of the store, with its reason.

/// Bytes a node's segment may reach. A start re-reads the one open segment whole, so this bounds
/// the start of a node; a quarter of a gigabyte reads in well under a second.
pub(crate) const NODE_SEGMENT_BYTES: u64 = 256 * 1024 * 1024;

/// Bytes a cache's segment may reach. Eviction works by segment, so small ones evict precisely.
pub(crate) const CACHE_SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// Largest segment: offsets are 32-bit counts of 8 bytes, and far less is wise.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Bytes of one chunk; longer ones are refused with `TooLarge`.
pub(crate) const CHUNK_BYTES_MAX: usize = freehold_model::limits::CHUNK_SEALED_BYTES_MAX;

/// Bytes gathered into one group commit. One full request fits; more only adds latency.
pub(crate) const GROUP_BYTES: usize = freehold_model::limits::BATCH_BYTES_MAX;

/// Bytes buffered before they are handed to the disk in one write.
pub(crate) const WRITE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of disk allocated ahead of a node's writes, so that a group does not allocate.
pub(crate) const RESERVE_STEP_BYTES: u64 = 16 * 1024 * 1024;

/// Segment files held open for reading: 4 GiB of a cache that is read here and there. A quarter of the usual
/// limit of 1,024 descriptors.
pub(crate) const OPEN_FILES: usize = 256;

/// Share of the disk that is never filled: room for footers, marks and the machine itself.
pub(crate) const FREE_SHARE: u64 = 50;

/// Least bytes kept free, whatever the disk's size.
pub(crate) const FREE_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// Most bytes kept free: two per cent of a large disk would be waste.
pub(crate) const FREE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Marks a log may carry beyond twice its live ones before it is rewritten.
pub(crate) const MARKS_SLACK: usize = 4_096;

/// Share of the disk below which the cache gives way to other programs, however far its cap is.
pub(crate) const LOW_SHARE: u64 = 10;

/// Most bytes the cache leaves to other programs: a tenth of a large disk would be waste.
pub(crate) const LOW_BYTES_MAX: u64 = 10 * 1024 * 1024 * 1024;

/// Least bytes the cache leaves to other programs: more than what is never filled, so that the cache gives
/// way before it refuses.
pub(crate) const LOW_BYTES_MIN: u64 = 2 * FREE_BYTES_MIN;
