//! Caps and times of transfers, each with its reason.

use std::time::Duration;

/// Bytes of one upload batch. Smaller than a node takes, so that the batches in flight stay within
/// the 32 MiB the engine may use for the network.
pub(crate) const UPLOAD_BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Upload batches in flight.
pub(crate) const UPLOADS_IN_FLIGHT: usize = 3;

/// Time for one batch: 8 MiB at 1 Mbit/s, and some.
pub(crate) const BATCH_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes a node may answer to one download request.
pub(crate) const DOWNLOAD_BYTES_MAX: usize = freehold_model::limits::BATCH_BYTES_MAX;

/// Bytes another device may answer to one request: several requests are open at once, and small answers
/// keep both sides' memory small and busy at the same time.
pub(crate) const DEVICE_ANSWER_BYTES_MAX: usize = 6 * 1024 * 1024;
const _: () = assert!(
    DEVICE_ANSWER_BYTES_MAX > freehold_model::limits::CHUNK_SEALED_BYTES_MAX,
    "the largest chunk fits"
);

/// Time for one download request before the next node is asked: slow is not gone, but somebody
/// may be waiting in `read(2)`.
pub(crate) const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(20);

/// Time for a device to begin its answer before the next holder is asked: it is near, or of no use.
pub(crate) const DEVICE_HEAD_TIMEOUT: Duration = Duration::from_secs(3);

/// Time to bring the content of a batch of versions from wherever it is, and the bytes for which
/// each second more is given.
pub(crate) const BRING_TIMEOUT: Duration = Duration::from_secs(60);
/// See [`BRING_TIMEOUT`].
pub(crate) const BRING_BYTES_PER_SECOND: u64 = 256 * 1024;

/// Pause before all nodes are asked again for a chunk that none had.
pub(crate) const DOWNLOAD_RETRY: Duration = Duration::from_secs(1);

/// Rounds in a row in which every node and every connected device must deny a chunk before nobody waits for
/// it any longer: whoever is just bringing it has that time.
pub(crate) const ABSENT_ROUNDS: u32 = 4;

/// Chunks on their way here at once; later ones wait.
pub(crate) const DOWNLOADS_MAX: usize = 4_096;

/// A capability is renewed this long before it ends.
pub(crate) const CAPABILITY_MARGIN: Duration = Duration::from_secs(600);

/// A node whose disk is full is offered nothing for this long.
pub(crate) const FULL_NODE_PAUSE: Duration = Duration::from_secs(30);
