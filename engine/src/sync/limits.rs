//! Caps and times of sync, each with its reason.

use std::time::Duration;

/// Records of one commit: what one request and one transaction at the server carry in a moment.
pub(crate) const BATCH_ENTRIES: usize = 1_024;

/// Plaintext bytes of one commit's records; sealing pads by at most a quarter on average.
pub(crate) const BATCH_BYTES: usize = 3 * 1024 * 1024;

/// Bytes of commits with their records in one request.
pub(crate) const PUSH_BYTES: usize = 16 * 1024 * 1024;

/// How long a commit waits for its chunks before it goes ahead of them.
pub(crate) const CHUNKS_FIRST: Duration = Duration::from_secs(2);

/// Commits between two roots over all heads, and the time between two.
pub(crate) const CHECKPOINT_COMMITS: u32 = 1_024;
/// See [`CHECKPOINT_COMMITS`].
pub(crate) const CHECKPOINT_SECONDS: u64 = 24 * 3_600;

/// The server is asked this often even when no event came.
pub(crate) const POLL: Duration = Duration::from_secs(60);

/// The tables are asked this often whether something changed: one lock and one number.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// Versions merged in one step: the tables are locked that long, a few milliseconds.
pub(crate) const APPLY_VERSIONS: usize = 4_096;

/// Bytes of sealed records merged in one step.
pub(crate) const APPLY_BYTES: usize = 16 * 1024 * 1024;
