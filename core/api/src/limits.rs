//! Caps on the messages of this crate, with their reasons.
//!
//! A server refuses what is over a cap with `too_large` before it allocates for it.

/// Bytes of a login name (UTF-8).
pub const USER_BYTES_MAX: usize = 128;

/// Bytes of a JSON request body. The largest is a rotation: 258 boxes of about 1.4 KiB each, base64
/// on top.
pub const JSON_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of one push: a commit of 4,096 entries with 4 MiB of records, and the chunk ids of new
/// manifests (32 bytes for each 256 KiB of file, so 256 GiB of new files a push).
pub const PUSH_BYTES_MAX: usize = 40 * 1024 * 1024;

/// Commits in one push: a device's outbox after a time offline is pushed in several requests.
pub const PUSH_COMMITS_MAX: usize = 256;

/// Bytes of one encoded commit: 4,096 entries and their signature, with sealed body.
pub const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Chunks a version names directly: its root manifest node, or a few for formats to come.
pub const VERSION_REFS_MAX: usize = 64;

/// Ids one manifest node names. Nodes hold about 128 entries, at most a few times that.
pub const MANIFEST_REFS_MAX: usize = 4_096;

/// Manifest nodes announced with one commit: [`PUSH_BYTES_MAX`] in nodes of one id.
pub const COMMIT_MANIFESTS_MAX: usize = 512 * 1024;

/// Depth of a manifest tree the server follows. 128^6 chunks of 256 KiB is over an exabyte.
pub const MANIFEST_DEPTH_MAX: usize = 8;

/// Commits in one page.
pub const PAGE_COMMITS_MAX: usize = 1_000;

/// Commits in one page when the caller names no limit.
pub const PAGE_COMMITS_DEFAULT: usize = 200;

/// Bytes of commits in one page: the page ends early, never empty.
pub const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Version hashes in one request.
pub const VERSIONS_MAX: usize = 1_024;

/// Bytes of ciphertext in one answer to a version request: the answer ends early, never empty.
pub const VERSIONS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Receipts in one request, each of up to [`BATCH_ITEMS_MAX`](freehold_model::limits::BATCH_ITEMS_MAX) chunks.
pub const RECEIPTS_MAX: usize = 4;

/// Bytes of one encoded receipt: 36 for each chunk, and what names node, vault and time.
pub const RECEIPT_BYTES_MAX: usize = 256 + 36 * freehold_model::limits::BATCH_ITEMS_MAX;

/// Boxes in one message: one for each of 256 live devices, the password and the recovery key.
pub const BOXES_MAX: usize = 258;

/// Log entries in one message: the changes of one wish and the rotation behind them.
pub const APPEND_ENTRIES_MAX: usize = 8;

/// Bytes of one box: an X-Wing ciphertext is 1,120 bytes, the payload about 200.
pub const BOX_BYTES_MAX: usize = 4 * 1024;

/// Bytes of one encoded account log entry: genesis holds two X-Wing public keys and a certificate.
pub const LOG_ENTRY_BYTES_MAX: usize = 64 * 1024;

/// Entries of one account log.
pub const LOG_ENTRIES_MAX: usize = 10_000;

/// Removals in one message between devices: as many as an account has devices.
pub const REMOVALS_MAX: usize = 256;

/// Bytes that one client leaves in a vault at a node: the signed heads of 128 devices, sealed.
pub const WITNESS_BYTES_MAX: usize = 40 * 1024;

/// Clients that leave something in one vault at a node: an account's devices over many years.
pub const WITNESSES_MAX: usize = 256;

/// Device chains in one message between devices. A head of the link holds 1,092 of them; an account
/// has at most 256 live devices, and heads of the rest never change.
pub const HEADS_MAX: usize = 1_024;
