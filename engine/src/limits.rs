//! The engine's caps, each with its reason.

use std::time::Duration;

/// Nodes of a vault, about 150 bytes each in memory while they sleep; over it a create answers `ENOSPC`.
pub const NODES_MAX: usize = 2_000_000;

/// Nodes that stay open, about 2 KiB each, however long nobody asks for them: opening one takes microseconds.
pub const NODES_OPEN: usize = if cfg!(test) { 2 } else { 2_048 };

/// Nodes that stay in memory, packed, about 0.5 KiB each, however long nobody looks at them, where nothing
/// else is said. The other files sleep: whoever asks for one waits for its row.
pub const FILES_IN_MEMORY: usize = if cfg!(test) { 0 } else { 32_768 };

/// Files woken with one that somebody came to in the order of a directory: one read of the index for all.
pub const WOKEN_AHEAD: usize = if cfg!(test) { 1 } else { 64 };

/// Files woken for the next part of a listing: about what the kernel takes in one answer.
pub const LISTED_AHEAD: usize = if cfg!(test) { 2 } else { 512 };

/// Files woken in one go when many must be, about two milliseconds under the lock.
pub const WOKEN_AT_ONCE: usize = 512;

/// Nodes looked at in one round of the flush thread to be put to sleep, in about a second.
pub const RESTED_PER_ROUND: usize = 262_144;

/// Open nodes looked at in one go for packing, about a quarter of a millisecond under the lock.
pub const PACKED_AT_ONCE: usize = 128;

/// Largest file: what signed 64-bit offsets of the kernel hold.
pub const FILE_BYTES_MAX: u64 = i64::MAX as u64;

/// Largest file a hole may make: manifests count 256 KiB pieces in 32 bits.
pub const CONTENT_BYTES_MAX: u64 = 1 << 44;

/// Writes up to this stay in memory until the next flush and may go inline into the journal;
/// larger ones are sealed to staging at once.
pub const INLINE_WRITE_BYTES_MAX: usize = 64 * 1024;

/// One sealed piece of staging: a 4 KiB random read opens at most this much.
pub const PIECE_BYTES_MAX: usize = 128 * 1024;

/// Written bytes held in memory from which on the flush thread does not wait for its hour.
pub const UNFLUSHED_BYTES_SOFT: usize = 4 * 1024 * 1024;

/// Written bytes held in memory before a writer flushes itself: the disk is slower than the programs.
pub const UNFLUSHED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Sealed pieces handed to the disk in one write.
pub const STAGING_WRITE_BYTES: usize = 1024 * 1024 + 64 * 1024;

/// A flush with more piece bytes than this puts them in staging: two syncs cost less than a fat journal.
pub const FLUSH_INLINE_BYTES_MAX: usize = 256 * 1024;

/// Plaintext of opened pieces and chunk frames kept for the next read.
pub const PLAIN_CACHE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Opened manifest nodes kept, about 11 KiB each.
pub const MANIFEST_CACHE_NODES_MAX: usize = 1_024;

/// How long dirty state waits for a flush nobody asked for.
pub const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// A sealed piece: the largest piece, nonce and tag, with room for a later header.
pub const SEALED_PIECE_BYTES_MAX: usize = PIECE_BYTES_MAX + 256;

/// Items of one state frame: a batch larger than this is cut into parts.
pub const FRAME_ITEMS_BYTES: usize = 1024 * 1024;

/// A sealed frame a reader accepts: one part, overshot by the largest single item.
pub const FRAME_BYTES_MAX: usize = 48 * 1024 * 1024;

/// A journal segment is followed by the next from this size on.
pub const JOURNAL_SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// Zeroes a journal segment has after a start: about fifty flushes of one small write each.
pub const SPARE_BYTES_MIN: u64 = 256 * 1024;

/// The segment after one that small flushes have filled has so many times its zeroes, up to
/// [`JOURNAL_SEGMENT_BYTES`]: who flushes little takes little of the disk.
pub const SPARE_GROWTH: u64 = 4;

/// Zeroes written at a time: a flush that comes meanwhile waits for a millisecond of the disk.
pub const SPARE_STEP_BYTES: u64 = 1024 * 1024;

/// Batches that are larger on average take longer to write than a file takes to grow.
pub const SPARE_BATCH_BYTES: u64 = 64 * 1024;

/// A spare takes at most this share of the room that writers have.
pub const SPARE_SHARE: u64 = 8;

/// Journal segments kept before the oldest is compacted: what is still live in it is written again.
pub const JOURNAL_SEGMENTS_MAX: usize = 8;

/// A staging segment is followed by the next from this size on.
pub const STAGING_SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// The reservation is 2 % of the disk, within these bounds.
pub const RESERVE_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// See [`RESERVE_BYTES_MIN`].
pub const RESERVE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Room beside the reservation that a write must leave.
pub const RESERVE_MARGIN_BYTES: u64 = 1024 * 1024;

/// Admitted bytes after which the disk is asked again how much is free.
pub const SPACE_SAMPLE_BYTES: u64 = 8 * 1024 * 1024;

/// What one namespace or attribute change may cost on disk, for its admission.
pub const CHANGE_BYTES: u64 = 4 * 1024;

/// Operations of one body item; longer lists continue in the next item of the batch.
pub const BODY_OPS_PER_ITEM: usize = 16 * 1024;

/// Bytes of one outbox entry or value of sync state: a commit with everything that travels with it.
pub const VALUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Rows that cannot be read after which whoever wakes many gives up.
pub const UNREADABLE_MAX: usize = 16;

/// How long the index writer lets rows gather before a transaction.
pub const INDEX_GATHER: Duration = Duration::from_millis(200);

/// Rows of the index that are opened in one go at a start, and how many such goes are under way.
pub const SCANNED_AT_ONCE: usize = 256;
/// See [`SCANNED_AT_ONCE`].
pub const SCANS_UNDER_WAY: usize = 8;

/// How long the index writer waits after a failure before it tries again.
pub const INDEX_RETRY: Duration = Duration::from_secs(5);

/// A body is cut this long after its last write.
pub const CUT_QUIET: Duration = Duration::from_secs(2);

/// One of a flood of closed files is cut this long after its last write, though the flood goes on: until then
/// the processors are the program's.
pub const CUT_FLOOD: Duration = Duration::from_secs(10);

/// A body that is never quiet is cut this long after its first unsent write.
pub const CUT_BUSY: Duration = Duration::from_secs(30);

/// Files closed shortly after one another that are cut at once each.
pub const BURST_FILES: u64 = 64;

/// How long until one more is, in milliseconds: 50 a second are still saved one by one.
pub const BURST_CREDIT_MS: u64 = 20;

/// No close for so long, in milliseconds, and a burst is over.
pub const BURST_QUIET_MS: u64 = 200;

/// How often one read may find chunks missing: levels of a manifest, and evictions meanwhile.
pub const READ_ATTEMPTS: u32 = 16;

/// Bytes of paths in one list of conflicts. Escaped for JSON each may take six; the control API's answer
/// has room for that.
pub const CONFLICTS_BYTES: usize = 128 * 1024;

/// What one conflict takes in the answer beside its paths, a sixth of it.
pub const CONFLICT_BYTES: usize = 128;

/// How long ending a conflict waits until files that were just written are cut.
pub const KEEP_PATIENCE: Duration = Duration::from_secs(10);

/// How far ahead of a reader chunks are fetched at first; each time it comes as far it is twice as far.
pub const READAHEAD_BYTES_MIN: u64 = 512 * 1024;

/// How far at most: an eighth of a second at a gigabit.
pub const READAHEAD_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Chunks asked for in one go.
pub const READAHEAD_CHUNKS: usize = 256;

/// Files that readers go through at the same time.
pub const READAHEAD_FILES: usize = 256;

/// A read this far from the one before still goes on with it: the kernel sends a few out of order.
pub const READAHEAD_SLACK_BYTES: u64 = 1024 * 1024;

/// Files up to this are fetched whole, wherever the first read is.
pub const READAHEAD_WHOLE_BYTES: u64 = 1024 * 1024;

/// Of smaller chunks no parts are fetched: the round trip costs more than the rest.
pub const PART_OF_BYTES: u32 = 256 * 1024;

/// Chunks of which a part was read that are remembered.
pub const PARTLY_READ_MAX: usize = 1_024;

/// Expanded chunk keys kept, about 250 bytes each: those of 2 GiB that are read here and there.
pub const OPENERS_MAX: usize = 16_384;

/// How far behind the furthest written byte: a program may still patch what it has just written, and
/// the kernel sends a few writes out of order.
pub const AHEAD_LAG_BYTES: u64 = 2 * 1024 * 1024;

/// Bytes sealed in one go, between two looks at what is due for cutting; twice the longest piece where that is more.
pub const AHEAD_JOB_BYTES: u64 = 4 * 1024 * 1024;

/// Pieces sealed ahead of one body: 8 GiB of it, in about 8 MiB.
pub const AHEAD_PIECES_MAX: usize = 65_536;

/// Pieces sealed in vain after which a body is left to its cut.
pub const AHEAD_WASTED_MAX: usize = 32;

/// Sealing ahead needs the disk to have this many times the file's size left: it takes room that the
/// program may still want, a twentieth of the disk at most.
pub const AHEAD_ROOM_TIMES: u64 = 16;

/// Bytes sealed ahead after which the cache is flushed, so that the flush at the cut is short.
pub const AHEAD_SYNC_BYTES: u64 = 64 * 1024 * 1024;

/// Nodes with a wish of their own about being kept here: people pin folders. The list is written whole.
pub const PINS_MAX: usize = 16_384;

/// Files up to this are one chunk, which comes with the manifest that names it.
pub const SMALL_FILE_BYTES: u64 = 64 * 1024;

/// Files that wait to have their chunks counted; the others are counted when they are next asked about.
pub const UNSURE_MAX: usize = 65_536;

/// Files whose chunks are counted in one round of the flush thread, and how long it may take for that.
pub const COUNTED_AT_ONCE: usize = 256;
/// See [`COUNTED_AT_ONCE`].
pub const COUNTING_TIME: Duration = Duration::from_millis(50);

/// Nodes looked at in one go after an eviction, about a millisecond.
pub const SWEPT_AT_ONCE: u64 = 512;

/// Such slices in one round of the flush thread.
pub const SWEPT_SLICES: u32 = 16;

/// Chunks given up in one go.
pub const FORGET_CHUNKS: usize = 4_096;
