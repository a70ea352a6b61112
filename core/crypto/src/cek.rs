//! A file's own key, and the root manifests sealed under it.
//!
//! A root manifest is a chunk like any other to a storage node. Only its key differs: it is
//! `KDF("root", CEK, root_salt)`, so a link to one version hands over that key and nothing else.
//! The salt is a keyed hash of what is sealed, under a key of the CEK: two different roots of a
//! file never share a key, and no caller can make them.

use crate::chunk::{ChunkKey, Compression, Encoding, open_chunk};
use crate::error::OpenError;
use crate::kdf::kdf;
use crate::labels;
use crate::limits::ROOT_BODY_BYTES_MAX;
use crate::secret::Secret32;
use freehold_model::{ChunkId, Entropy};
use std::fmt;

/// A file's content encryption key. It stands in the file's sealed record.
#[derive(PartialEq, Eq)]
pub struct Cek(Secret32);

/// Tells the root keys of one file's versions apart. Not secret; kept in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RootSalt([u8; 16]);

/// Opens the root manifest of one version of one file.
#[derive(PartialEq, Eq)]
pub struct RootKey(ChunkKey);

/// A sealed root manifest, its name and its salt.
#[derive(Debug)]
pub struct SealedRoot {
    /// BLAKE3 of `bytes`.
    pub id: ChunkId,
    /// With the CEK, gives the key of `bytes`.
    pub salt: RootSalt,
    /// What is stored.
    pub bytes: Vec<u8>,
}

impl Cek {
    /// Draws the key of a new file, or of a file's first write after a rotation.
    pub fn random(entropy: &mut dyn Entropy) -> Self {
        Self(Secret32::random(entropy))
    }

    /// Wraps the bytes of a record.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret32::from_bytes(bytes))
    }

    /// The bytes, for a record.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Seals a root manifest. Equal plaintext gives equal bytes.
    ///
    /// # Panics
    /// When the plaintext is over [`ROOT_BODY_BYTES_MAX`]: manifests are cut into a tree before that.
    #[must_use]
    pub fn seal_root(&self, plain: &[u8]) -> SealedRoot {
        assert!(plain.len() <= ROOT_BODY_BYTES_MAX, "a manifest root is one tree node");
        let encoding = Encoding::new(Compression::None, plain);
        let salt_key: Secret32 = kdf(labels::ROOT_SALT, self.0.expose(), &[]);
        let salt = RootSalt(encoding.hash(&salt_key));
        let mut bytes = Vec::new();
        let id = encoding.seal_into(self.root_key(&salt).0.secret(), &mut bytes);
        SealedRoot { id, salt, bytes }
    }

    /// The key of the version with this salt.
    #[must_use]
    pub fn root_key(&self, salt: &RootSalt) -> RootKey {
        let key: Secret32 = kdf(labels::ROOT, self.0.expose(), &[&salt.0]);
        RootKey(ChunkKey::from_bytes(*key.expose()))
    }
}

impl RootKey {
    /// Wraps bytes handed over by a link.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(ChunkKey::from_bytes(bytes))
    }

    /// The bytes, for a link.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Opens the root manifest.
    ///
    /// # Errors
    /// `Refused` when it is damaged or of another version or file.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let payload = open_chunk(&self.0, sealed)?;
        match payload.compression {
            Compression::None if payload.body.len() <= ROOT_BODY_BYTES_MAX => Ok(payload.body.into_owned()),
            Compression::None | Compression::Zstd => Err(OpenError::Refused),
        }
    }
}

impl RootSalt {
    /// Wraps the bytes of a record.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a record.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Records are cloned with their keys; each copy is erased on its own drop.
impl Clone for Cek {
    fn clone(&self) -> Self {
        Self(self.0.duplicate())
    }
}

impl fmt::Debug for Cek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cek(..)")
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}

#[cfg(test)]
mod tests;
