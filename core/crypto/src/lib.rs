//! Key hierarchy and sealing: the only crate that names a content cipher.
//!
//! The hierarchy runs downwards, each arrow a sealed box or a derivation:
//!
//! ```text
//! password, recovery key, device secret        UnlockKeys, DeviceSecret: an X-Wing pair each
//!    └─ UnlockBox (HPKE, signed) ─> AccountRoot, one per generation
//!          └─ KeyBox (committing) ─> VaultKey, one per generation  ─> VaultKeyring
//!                ├─ records, commit bodies     synthetic nonce, bound to their place
//!                │     └─ Cek ─> root manifest
//!                └─ chunks                     key from a keyed hash of what is sealed
//! ```
//!
//! Everything is suite `0x01`: XChaCha20-Poly1305, BLAKE3, X-Wing in HPKE base mode; only what waits on one
//! device's disk to be sealed may be AES-256-GCM (`local.rs`, ADR 22). There is no
//! negotiation and no second parser. The crate is pure: randomness comes in as
//! [`freehold_model::Entropy`], nothing reads a clock, a file or a socket, and it builds for
//! wasm32. Byte layouts are drawn in `docs/format.md`, the flows in `docs/crypto.md`.

#![forbid(unsafe_code)]

mod account;
mod aead;
mod cek;
mod chunk;
mod device;
mod error;
mod kdf;
mod keybox;
mod keyring;
mod labels;
pub mod limits;
#[cfg(not(target_arch = "wasm32"))]
mod local;
#[cfg(not(target_arch = "wasm32"))]
pub mod measure;
mod padded;
mod recovery;
mod secret;
mod siv;
mod stream;
#[cfg(test)]
mod testing;
mod unlock;
mod unlock_box;
mod user_box;
mod vault_key;
mod xwing;

pub use account::{AccountKeyring, AccountRoot};
pub use cek::{Cek, RootKey, RootSalt, SealedRoot};
pub use chunk::{ChunkKey, ChunkOpener, ChunkPayload, Compression, SealedChunk, open_chunk};
pub use device::DeviceSecret;
pub use error::{KeyringError, OpenError, RecoveryWordsError};
pub use keybox::{KeyBoxHeader, KeyBoxKind};
pub use keyring::{CommitContext, ContentHasher, VaultKeyring};
#[cfg(not(target_arch = "wasm32"))]
pub use local::{LocalCipher, LocalKey, LocalPurpose};
pub use recovery::RecoveryKey;
pub use secret::{Secret32, SecretBytes};
pub use unlock::UnlockKeys;
pub use unlock_box::{UnlockBox, UnlockContent};
pub use user_box::{open_user, seal_user};
pub use vault_key::VaultKey;
pub use xwing::{BadPublicKey, XWingPair};
