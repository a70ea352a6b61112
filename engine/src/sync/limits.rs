//! Caps and times of sync, each with its reason.

use crate::history::Caps;
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

/// Versions that the commits a checkpoint covers may name: beyond it, about 50 MiB of memory and a second
/// of reading, no root is signed and none compared.
pub(crate) const CHECKPOINT_CHANGES_MAX: usize = 512 * 1024;

/// The server is asked this often even when no event came.
pub(crate) const POLL: Duration = Duration::from_secs(60);

/// The tables are asked this often whether something changed: one lock and one number.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// Versions merged in one step: the tables are locked that long, a few milliseconds.
pub(crate) const APPLY_VERSIONS: usize = 4_096;

/// Bytes of sealed records merged in one step.
pub(crate) const APPLY_BYTES: usize = 16 * 1024 * 1024;

/// What is kept for other devices: about 2.5 million changes, a million records, and the lists of 2 TiB of
/// contents.
pub(crate) const HISTORY: Caps =
    Caps { commit_bytes: 256 * 1024 * 1024, version_bytes: 512 * 1024 * 1024, list_bytes: 256 * 1024 * 1024 };

/// Bytes of commits in one answer to another device.
pub(crate) const ANSWER_COMMIT_BYTES: usize = 8 * 1024 * 1024;

/// Versions whose chunks are brought here in one step.
pub(crate) const BRING_VERSIONS: usize = 256;

/// Bytes of content brought here for versions that no node has yet; larger files wait for the nodes.
pub(crate) const BRING_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// A state that names more unfinished versions than this is not stored until there are fewer.
pub(crate) const STORED_UNFINISHED_MAX: usize = 4_096;

/// A source that failed is left alone for this long, then asked again.
pub(crate) const SOURCE_PAUSE_MS: u64 = 2_000;

/// How often the server's commits are read again from the first on because one was missing, before that is
/// called a gap. Being set back in the middle of a reading is no lie.
pub(crate) const GAPS_MAX: u8 = 3;

/// How long a server may deny a commit that a device has seen before that is called hiding.
pub(crate) const HIDING_MS: u64 = 10 * 60 * 1_000;

/// How long the server may lack what a storage node has seen before people are told: its author may just
/// be sending it.
pub(crate) const MISSING_MS: u64 = 10_000;

/// Storage nodes are asked this often what devices left there: as often as a device's chain may move unseen.
pub(crate) const WITNESS_EVERY: Duration = Duration::from_secs(300);

/// Once something has changed, what is known here is left at the nodes after this long.
pub(crate) const WITNESS_SOON: Duration = Duration::from_secs(15);

/// Commits of another device are brought to the server when their author has not done so meanwhile.
pub(crate) const RELAY_AFTER: Duration = Duration::from_secs(5);

/// Files one device may delete at once, or in a window, without being asked: a folder of photos or a
/// project's sources go unasked, a home directory does not.
pub(crate) const BRAKE_FILES: usize = 64;

/// In a large vault the share of the files shown that one device may delete unasked, in percent.
pub(crate) const BRAKE_PERCENT: usize = 30;

/// Deletions of one device count together for this long: longer than the commits of one `rm -r` are apart.
pub(crate) const BRAKE_WINDOW_MS: u64 = 60_000;

/// The list of held deletions is stored in parts of about this size, so that each step rewrites one.
pub(crate) const BRAKE_PART_BYTES: usize = 1024 * 1024;

/// A list of held deletions up to this long is looked through in every step for what deletes nothing any
/// more: each costs a trial merge, a few microseconds under the tables' lock.
pub(crate) const BRAKE_RECHECK: usize = 4_096;
