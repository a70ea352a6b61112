//! Every cap of the signed statements, with its reason.
//!
//! A decoder checks its cap before it allocates and answers `DecodeError::TooLong`.

/// Bytes of an X-Wing public key (draft-connolly-cfrg-xwing-kem: ML-KEM-768 1,184 + X25519 32).
pub const XWING_PUBLIC_BYTES: usize = 1_216;

/// Bytes of a device's display name. The server sees it, so it stays a label and not a document.
pub const DEVICE_NAME_BYTES_MAX: usize = 64;

/// Bytes of one account log entry. Genesis, the largest fixed one, has about 4 KiB; a revocation
/// with all its cuts has 28 KiB.
pub const LOG_ENTRY_BYTES_MAX: usize = 64 * 1024;

/// Entries of one account log. A reader verifies all of them, about 0.1 ms each.
pub const LOG_ENTRIES_MAX: usize = 16_384;

/// Devices alive in one account, browser profiles included. Each costs one box per rotation.
pub const DEVICES_LIVE_MAX: usize = 256;

/// Chains one revocation cuts: (vault, incarnation) pairs the revoker has seen of the device.
pub const REVOKE_CUTS_MAX: usize = 1_024;

/// Boxes one rotation names: every live device, the password and the recovery key.
pub const ROTATE_BOXES_MAX: usize = DEVICES_LIVE_MAX + 2;

/// Bytes of one encoded commit.
pub const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a commit's sealed body. A `seen` vector of every device life the model allows
/// (4,096 × 68 bytes) fits.
pub const COMMIT_BODY_BYTES_MAX: usize = 512 * 1024;

/// Bytes of a commit's entries: what the header, the signature and the largest body leave.
pub const COMMIT_ENTRIES_BYTES_MAX: usize = COMMIT_BYTES_MAX - COMMIT_BODY_BYTES_MAX - 1024;

/// Versions one commit entry replaces: the concurrent heads its author merged.
pub const COMMIT_SUPERSEDES_MAX: usize = 64;

/// Bytes of one encoded capability, which rides in the first packet of a link.
pub const CAPABILITY_BYTES_MAX: usize = 200;

/// Longest life of a capability: the 24 h class for devices.
pub const CAPABILITY_SECONDS_MAX: u64 = 24 * 3_600;

/// Copies a layout may ask for. More only costs writes.
pub const LAYOUT_COPIES_MAX: u8 = 16;

/// Addresses one node announces: a few interfaces in two families, and a name.
pub const NODE_ADDRESSES_MAX: usize = 16;

/// Bytes of one announced address: a DNS name (253) with a port.
pub const NODE_ADDRESS_BYTES_MAX: usize = 260;

/// Addresses one device announces: a few interfaces in two families.
pub const DEVICE_ADDRESSES_MAX: usize = 16;

/// Lowest Argon2id memory a client accepts, whatever the server says: 64 MiB.
pub const KDF_MEMORY_KIB_MIN: u32 = 64 * 1024;

/// Highest Argon2id memory a client accepts: 1 GiB, above it the reply is a memory attack.
pub const KDF_MEMORY_KIB_MAX: u32 = 1024 * 1024;

/// Lowest Argon2id pass count a client accepts.
pub const KDF_PASSES_MIN: u32 = 3;

/// Highest Argon2id pass count a client accepts.
pub const KDF_PASSES_MAX: u32 = 10;

/// Highest Argon2id lane count a client accepts. Lanes beyond the cores only cost the owner.
pub const KDF_LANES_MAX: u32 = 16;

/// Bytes of a password. OPAQUE hashes its input; this only bounds a hostile caller.
pub const PASSWORD_BYTES_MAX: usize = 4 * 1024;

/// Bytes of a user name as OPAQUE's client identity.
pub const USER_BYTES_MAX: usize = 255;
