//! Caps and fixed sizes of the sealed formats.

use freehold_model::limits::{CHUNK_PLAIN_BYTES_MAX, CHUNK_SEALED_BYTES_MAX, RECORD_BYTES_MAX};

/// The one cipher suite: XChaCha20-Poly1305, BLAKE3, X-Wing, Ed25519, Argon2id, OPAQUE.
pub const SUITE: u8 = 0x01;

/// The generation of an account's or a vault's first key. Zero is never a generation.
pub const FIRST_GENERATION: u32 = 1;

/// Generations one keyring holds: a rotation a day for eleven years; bounds a hostile server.
pub const GENERATIONS_MAX: usize = 4_096;

/// Plaintext bytes of one frame of a chunk: opening one costs 7 µs, and 64 KiB frames would seal
/// the whole pipeline only 2 % faster.
pub const FRAME_LEN: usize = 16 * 1024;

/// Bytes of an authentication tag.
pub const TAG_LEN: usize = 16;

/// Bytes of a chunk's header.
pub const CHUNK_HEADER_LEN: usize = 12;

/// Body bytes of one chunk: the largest any profile cuts. Compression never grows it, because a
/// body that does not shrink is sealed as it is.
pub const CHUNK_BODY_BYTES_MAX: usize = CHUNK_PLAIN_BYTES_MAX;

/// Bytes of one sealed chunk that an opener looks at.
pub const CHUNK_BYTES_MAX: usize = CHUNK_SEALED_BYTES_MAX;

/// Body bytes of a root manifest: one tree node of about 128 entries is 11 KiB.
pub const ROOT_BODY_BYTES_MAX: usize = 64 * 1024;

/// Bytes a sealed record or commit body adds to its padded plaintext: magic, suite, generation,
/// nonce and tag.
pub const SEALED_OVERHEAD: usize = 4 + 1 + 4 + 24 + TAG_LEN;

/// Plaintext bytes of one record: what still fits [`RECORD_BYTES_MAX`] sealed and padded. Padmé's
/// classes are 16 KiB apart there.
pub const RECORD_PLAIN_BYTES_MAX: usize = RECORD_BYTES_MAX - 32 * 1024;

/// Plaintext bytes of one commit body.
pub const COMMIT_BODY_PLAIN_BYTES_MAX: usize = 512 * 1024;

/// Plaintext bytes of the heads that a device leaves at a node: 128 of 250 bytes.
pub const HEADS_PLAIN_BYTES_MAX: usize = 32 * 1024;

/// Bytes of a key box, which always wraps one 32-byte key.
pub const KEY_BOX_LEN: usize = 4 + 1 + 1 + 4 + 16 + 16 + 24 + 32 + 32 + TAG_LEN;

/// Bytes of an unlock box.
pub const UNLOCK_BOX_LEN: usize = 58 + XWING_CIPHERTEXT_LEN + 116 + TAG_LEN + 64;

/// Bytes of an X-Wing encapsulation (draft-connolly-cfrg-xwing-kem §5).
pub const XWING_CIPHERTEXT_LEN: usize = 1_120;

/// Bytes of a user name: the server's own limit.
pub const USER_NAME_BYTES_MAX: usize = 128;

/// Bytes of a sealed user name, whatever its length.
pub const USER_BOX_LEN: usize = 4 + 1 + 16 + 16 + 24 + 1 + USER_NAME_BYTES_MAX + TAG_LEN;

/// Words of a written recovery key: 256 bits and an 8-bit checksum, 11 bits a word.
pub const RECOVERY_WORDS: usize = 24;

/// Plaintext bytes of one local frame or row: the largest write plus its bookkeeping.
pub const LOCAL_PLAIN_BYTES_MAX: usize = 64 * 1024 * 1024;
