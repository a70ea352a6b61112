//! What a device seals on its own disk: journal frames, staged extents, index rows, state files.
//!
//! ```text
//! cipher u8 | purpose u8 | nonce[24] | ciphertext | tag[16]       42 B more than the plaintext
//! AAD = cipher | purpose | the caller's AAD                       one key per purpose and cipher
//! ```
//!
//! The nonce is random and 24 bytes long: no counter that a crash, a restored snapshot or a cloned
//! disk could make repeat (2^-96 after 2^48 messages). The caller's AAD names the place (segment
//! and frame, table and row key), so that rows and frames cannot be swapped.
//!
//! Staged extents are sealed with AES-256-GCM where the processor has AES ([`LocalCipher`]): every byte of a large
//! file passes here twice. Browsers keep nothing on a disk, so this module is not built for them.

use crate::aead;
use crate::error::OpenError;
use crate::kdf::{kdf, prf};
use crate::labels;
use crate::limits::{LOCAL_PLAIN_BYTES_MAX, SUITE, TAG_LEN};
use crate::secret::Secret32;
use freehold_model::Entropy;

/// What a local message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LocalPurpose {
    /// A frame of the journal.
    JournalFrame,
    /// An extent in a staging segment.
    StagingExtent,
    /// A row of the index.
    IndexRow,
    /// A small state file.
    StateFile,
}

impl LocalPurpose {
    const fn code(self) -> u8 {
        match self {
            Self::JournalFrame => 1,
            Self::StagingExtent => 2,
            Self::IndexRow => 3,
            Self::StateFile => 4,
        }
    }
}

/// What staged extents are sealed with. Both are opened everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalCipher {
    /// XChaCha20-Poly1305, as everything else.
    XChaCha,
    /// AES-256-GCM under a key derived from the nonce.
    AesGcm,
}

impl LocalCipher {
    const fn code(self) -> u8 {
        match self {
            Self::XChaCha => SUITE,
            Self::AesGcm => 0x02,
        }
    }

    /// The faster one on this machine.
    fn fastest() -> Self {
        if aead::gcm::is_fast() { Self::AesGcm } else { Self::XChaCha }
    }
}

/// Seals and opens what stays on one device.
pub struct LocalKey {
    journal: Secret32,
    staging: Secret32,
    staging_gcm: Secret32,
    staging_cipher: LocalCipher,
    row: Secret32,
    state: Secret32,
}

impl LocalKey {
    /// Bytes a sealed message is longer than its plaintext.
    pub const OVERHEAD: usize = Self::HEAD + Self::TAG;
    /// Bytes before the ciphertext.
    pub const HEAD: usize = 2 + 24;
    /// Bytes behind it.
    pub const TAG: usize = TAG_LEN;

    pub(crate) fn new(key: &Secret32) -> Self {
        Self {
            journal: kdf(labels::LOCAL_JOURNAL, key.expose(), &[]),
            staging: kdf(labels::LOCAL_STAGING, key.expose(), &[]),
            staging_gcm: kdf(labels::LOCAL_STAGING_GCM, key.expose(), &[]),
            staging_cipher: LocalCipher::fastest(),
            row: kdf(labels::LOCAL_ROW, key.expose(), &[]),
            state: kdf(labels::LOCAL_STATE, key.expose(), &[]),
        }
    }

    /// Seals staged extents with this cipher, whatever the machine.
    #[must_use]
    pub fn with_staging_cipher(self, staging_cipher: LocalCipher) -> Self {
        Self { staging_cipher, ..self }
    }

    /// Seals a message for the place `aad` names.
    pub fn seal(
        &self,
        purpose: LocalPurpose,
        aad: &[u8],
        plain: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(plain.len() + Self::OVERHEAD);
        self.seal_into(purpose, aad, plain, entropy, &mut sealed);
        sealed
    }

    /// Seals a message onto the end of a buffer.
    ///
    /// # Panics
    /// When the plaintext is over [`LOCAL_PLAIN_BYTES_MAX`]: writers cut their frames before that.
    pub fn seal_into(
        &self,
        purpose: LocalPurpose,
        aad: &[u8],
        plain: &[u8],
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) {
        assert!(plain.len() <= LOCAL_PLAIN_BYTES_MAX, "writers cut their frames before that");
        let mut nonce = [0; 24];
        entropy.fill(&mut nonce);
        let cipher = match purpose {
            LocalPurpose::StagingExtent => self.staging_cipher,
            _ => LocalCipher::XChaCha,
        };
        let header = [cipher.code(), purpose.code()];
        out.extend_from_slice(&header);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(plain);
        let (aad, data) = ([&header, aad].concat(), &mut out[start..]);
        let tag = match cipher {
            LocalCipher::XChaCha => aead::seal(self.key(purpose), &nonce, &aad, data),
            LocalCipher::AesGcm => self.seal_gcm(&nonce, &aad, data),
        };
        out.extend_from_slice(&tag);
    }

    /// Opens a message sealed for the same purpose and place.
    ///
    /// # Errors
    /// `Refused` when it is damaged, or another purpose's, place's or device's.
    pub fn open(&self, purpose: LocalPurpose, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (head, rest) = sealed.split_first_chunk::<{ Self::HEAD }>().ok_or(OpenError::Refused)?;
        let (data, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(OpenError::Refused)?;
        let mut plain = data.to_vec();
        self.open_in_place(purpose, aad, head, &mut plain, tag)?;
        Ok(plain)
    }

    /// As [`open`](Self::open), of a message in its three parts: `data` is the ciphertext before and the plaintext
    /// after. On an error it holds anything.
    ///
    /// # Errors
    /// As there.
    pub fn open_in_place(
        &self,
        purpose: LocalPurpose,
        aad: &[u8],
        head: &[u8; Self::HEAD],
        data: &mut [u8],
        tag: &[u8; Self::TAG],
    ) -> Result<(), OpenError> {
        let (header, nonce) = head.split_first_chunk::<2>().ok_or(OpenError::Refused)?;
        let nonce = nonce.first_chunk::<24>().ok_or(OpenError::Refused)?;
        let [cipher, of] = *header;
        if of != purpose.code() || data.len() > LOCAL_PLAIN_BYTES_MAX {
            return Err(OpenError::Refused);
        }
        let aad = [header, aad].concat();
        if cipher == LocalCipher::XChaCha.code() {
            return aead::open(self.key(purpose), nonce, &aad, data, tag);
        }
        match purpose {
            LocalPurpose::StagingExtent if cipher == LocalCipher::AesGcm.code() => {
                self.open_gcm(nonce, &aad, data, tag)
            }
            _ => Err(OpenError::Refused),
        }
    }

    fn seal_gcm(&self, nonce: &[u8; 24], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        aead::gcm::seal(&self.gcm_key(nonce), aad, data)
    }

    fn open_gcm(
        &self,
        nonce: &[u8; 24],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        aead::gcm::open(&self.gcm_key(nonce), aad, data, tag)
    }

    /// The key of one message.
    fn gcm_key(&self, nonce: &[u8; 24]) -> Secret32 {
        Secret32::from_bytes(prf(&self.staging_gcm, &[nonce]))
    }

    const fn key(&self, purpose: LocalPurpose) -> &Secret32 {
        match purpose {
            LocalPurpose::JournalFrame => &self.journal,
            LocalPurpose::StagingExtent => &self.staging,
            LocalPurpose::IndexRow => &self.row,
            LocalPurpose::StateFile => &self.state,
        }
    }
}

impl std::fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalKey(..)")
    }
}

#[cfg(test)]
mod tests;
