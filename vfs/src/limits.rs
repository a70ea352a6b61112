//! The limits of the mount, with the reason beside each number.
//!
//! Limits of names, symlink targets and extended attributes are the format's and live in
//! `freehold_model::limits`.

use std::time::Duration;

/// How long the kernel may keep a name, its absence or attributes without asking again. Every
/// change that the kernel does not make itself is told to it, so the value only has to be finite
/// and large.
pub const CACHE_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a READ may wait for the network before it answers `EIO`. FUSE requests cannot be
/// interrupted, so a caller is stuck for at most this long.
pub const READ_DEADLINE: Duration = Duration::from_secs(30);

/// Largest WRITE or READ request, in bytes. Measured: 8 times fewer requests than 128 KiB; 2 and 4
/// MiB gain nothing.
pub const MAX_REQUEST_BYTES: u32 = 1024 * 1024;

/// How far the kernel reads ahead in a file, in KiB, where we may say so: one request of the largest size.
pub const READ_AHEAD_KIB: u32 = MAX_REQUEST_BYTES / 1024;

/// Requests (readahead, writeback) the kernel may have in flight in the background; beyond that nobody
/// reads ahead, which is nearly every read. READs that wait for the network count, so this many of
/// them stop local reads. The default of 16 stalls readahead; without privileges the kernel allows what
/// `/sys/module/fuse/parameters/max_user_bgreq` says.
pub const MAX_BACKGROUND: u16 = 256;

/// Background requests at which the kernel calls the mount congested: three quarters of
/// [`MAX_BACKGROUND`].
pub const CONGESTION_THRESHOLD: u16 = 192;

/// Event loops on the classic device. One may sit in an fsync while the other answers; a third costs 0.3 µs per request
/// and gains nothing on 2 cores.
pub const EVENT_LOOPS: usize = 2;

/// Lanes of a mount: one a processor that runs, and one for all other queues of the kernel.
pub const MAX_LANES: usize = 64;

/// Entries that a queue in use keeps waiting: everything the kernel may send in the background at a
/// time, and some programs beside it. A request that finds none waits until one is answered, which may
/// be a READ that waits for the network.
pub const ENTRIES_WAITING_MIN: usize = MAX_BACKGROUND as usize + 16;

/// Entries a queue is filled up to when it has fewer than [`ENTRIES_WAITING_MIN`].
pub const ENTRIES_WAITING_MAX: usize = ENTRIES_WAITING_MIN + 64;

/// Entries of a queue that nothing has come through yet. The kernel wants one.
pub const ENTRIES_WAITING_UNUSED: usize = 2;

/// Entries of one queue in all, so READs that may wait for the network at a time through it. Each is a
/// MiB of address space, of which only what was used is memory.
pub const MAX_ENTRIES_PER_QUEUE: usize = 2048;

/// Memory that the entries of a lane may keep: a sequential read at full speed has four of a MiB in use.
pub const MAX_ENTRY_MEMORY: usize = 8 * 1024 * 1024;

/// Threads of a lane that wait for the disk in an fsync. One group commit serves all of them.
pub const MAX_WAITERS_PER_LANE: usize = 2;

/// Threads that read and write large requests. Sealing and opening is done on them; more than there
/// are processors gain nothing.
pub const MAX_BULK_WORKERS: usize = 4;

/// Renames the invalidation queue remembers, so that a notice for the old name also reaches the new
/// one. A notice follows its publication within milliseconds; this many renames take more than 10
/// ms at the kernel's best rate.
pub const MAX_RENAME_TRAIL: usize = 1024;

/// Dead mounts stacked on one mount point that are cleaned before mounting. More means that
/// something else is wrong.
pub const MAX_STALE_MOUNTS: usize = 8;

/// How long a foreign mount may take to answer `statfs` before it counts as alive and in use.
pub const PROBE_DEADLINE: Duration = Duration::from_secs(2);

/// How long between two looks at a mount whose daemon is just ending.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(10);
