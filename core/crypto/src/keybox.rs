//! Key boxes: the only symmetric wrap of a key.
//!
//! ```text
//! "FHKB" | suite u8 | kind u8 | generation u32 | wrapper id[16] | subject id[16]      header, 42 B
//! nonce[24] | commit[32] | ciphertext[32] | tag[16]                                    146 B in all
//! enc    = KDF("keybox/enc", W, nonce)
//! commit = KDF("keybox/commit", W, nonce ‖ header)
//! AAD    = header ‖ commit
//! ```
//!
//! The commitment is compared before anything is decrypted, so no ciphertext opens under two
//! wrapping keys (partitioning oracles, Len, Grubbs and Ristenpart 2021). Kind, generation and both
//! ids are authenticated: a box of another account, vault, kind or generation is refused, which is
//! where MEGA's wraps failed (Backendal, Haller and Paterson, S&P 2023).

use crate::aead;
use crate::error::OpenError;
use crate::kdf::kdf;
use crate::labels;
use crate::limits::{KEY_BOX_LEN, SUITE};
use crate::secret::{Secret32, SecretBytes};
use freehold_model::Entropy;
use freehold_model::codec::{DecodeError, Reader, Writer};
use subtle::ConstantTimeEq;

const MAGIC: [u8; 4] = *b"FHKB";

/// What a key box wraps, and under what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyBoxKind {
    /// A vault key under an account root.
    VaultKey,
    /// A vault key under the vault key of the next generation.
    PreviousVaultKey,
    /// An account root under the account root of the next generation.
    PreviousRoot,
}

impl KeyBoxKind {
    /// The kind as it stands in the header.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::VaultKey => 1,
            Self::PreviousVaultKey => 2,
            Self::PreviousRoot => 3,
        }
    }

    const fn from_code(code: u8) -> Result<Self, DecodeError> {
        match code {
            1 => Ok(Self::VaultKey),
            2 => Ok(Self::PreviousVaultKey),
            3 => Ok(Self::PreviousRoot),
            _ => Err(DecodeError::Unknown("key box kind")),
        }
    }
}

/// The readable part of a key box: which key it holds, for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyBoxHeader {
    /// What is wrapped, under what.
    pub kind: KeyBoxKind,
    /// Generation of the wrapped key.
    pub generation: u32,
    /// Account or vault whose key wraps.
    pub wrapper: [u8; 16],
    /// Account or vault whose key is wrapped.
    pub subject: [u8; 16],
}

impl KeyBoxHeader {
    /// Reads a box's header, to choose the key that opens it. Nothing in it is authenticated yet.
    ///
    /// # Errors
    /// `Refused` when the bytes are not a key box of this suite.
    pub fn read(sealed: &[u8]) -> Result<Self, OpenError> {
        Parsed::read(sealed).map(|parsed| parsed.header).map_err(|_| OpenError::Refused)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(KEY_BOX_LEN);
        out.raw(&MAGIC).u8(SUITE).u8(self.kind.code()).u32(self.generation);
        out.raw(&self.wrapper).raw(&self.subject);
        out.into_vec()
    }
}

/// Wraps a key.
pub(crate) fn seal(
    header: &KeyBoxHeader,
    wrapping_key: &Secret32,
    material: &Secret32,
    entropy: &mut dyn Entropy,
) -> Vec<u8> {
    let mut nonce = [0; 24];
    entropy.fill(&mut nonce);
    let header = header.encode();
    let (encryption_key, commit) = derive(wrapping_key, &nonce, &header);
    let aad = [&header[..], commit.expose()].concat();
    let mut data = material.duplicate();
    let tag = aead::seal(&encryption_key, &nonce, &aad, data.expose_mut());
    [&header[..], &nonce, commit.expose(), data.expose(), &tag].concat()
}

/// Unwraps a key that must be exactly the one `expected` names.
pub(crate) fn open(
    expected: &KeyBoxHeader,
    wrapping_key: &Secret32,
    sealed: &[u8],
) -> Result<Secret32, OpenError> {
    let parsed = Parsed::read(sealed).map_err(|_| OpenError::Refused)?;
    if parsed.header != *expected {
        return Err(OpenError::Refused);
    }
    let header = expected.encode();
    let (encryption_key, commit) = derive(wrapping_key, &parsed.nonce, &header);
    if !bool::from(commit.expose().ct_eq(&parsed.commit)) {
        return Err(OpenError::Refused);
    }
    let aad = [&header[..], commit.expose()].concat();
    let mut material = Secret32::from_bytes(parsed.data);
    aead::open(&encryption_key, &parsed.nonce, &aad, material.expose_mut(), &parsed.tag)?;
    Ok(material)
}

fn derive(wrapping_key: &Secret32, nonce: &[u8; 24], header: &[u8]) -> (Secret32, SecretBytes<32>) {
    let encryption_key = kdf(labels::KEYBOX_ENC, wrapping_key.expose(), &[nonce]);
    let commit = kdf(labels::KEYBOX_COMMIT, wrapping_key.expose(), &[nonce, header]);
    (encryption_key, commit)
}

struct Parsed {
    header: KeyBoxHeader,
    nonce: [u8; 24],
    commit: [u8; 32],
    data: [u8; 32],
    tag: [u8; 16],
}

impl Parsed {
    fn read(sealed: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(sealed);
        input.expect(&MAGIC, "key box magic")?;
        input.expect(&[SUITE], "key box suite")?;
        let header = KeyBoxHeader {
            kind: KeyBoxKind::from_code(input.u8()?)?,
            generation: input.u32()?,
            wrapper: input.array()?,
            subject: input.array()?,
        };
        let parsed = Self {
            header,
            nonce: input.array()?,
            commit: input.array()?,
            data: input.array()?,
            tag: input.array()?,
        };
        input.finish()?;
        Ok(parsed)
    }
}
