//! Sealing with a synthetic nonce: records and commit bodies.
//!
//! The nonce is a keyed hash of the AAD and the padded plaintext, under a key of its own. Equal
//! content in an equal place seals to equal bytes, which lets two devices settle a merge without
//! another write; different content never shares a nonce; and no generator has to be trusted.
//! Opening recomputes the nonce, so only the canonical sealing opens and a ciphertext is committed
//! to its key.
//!
//! ```text
//! magic[4] | suite u8 | generation u32 | nonce[24] | ciphertext | tag[16]
//! AAD = magic | suite | generation | context       the context is known from the place, not stored
//! ```

use crate::aead;
use crate::error::OpenError;
use crate::kdf::{kdf, prf};
use crate::limits::{SEALED_OVERHEAD, SUITE, TAG_LEN};
use crate::padded;
use crate::secret::Secret32;
use freehold_model::codec::{DecodeError, Reader, Writer};
use freehold_model::padding::record_len;
use subtle::ConstantTimeEq;

/// The two keys of one kind of sealed document in one generation.
pub(crate) struct SivKey {
    encryption: Secret32,
    nonce: Secret32,
}

/// Labels of a [`SivKey`], and the magic of what it seals.
pub(crate) struct SivKind {
    pub(crate) magic: [u8; 4],
    pub(crate) encryption_label: &'static str,
    pub(crate) nonce_label: &'static str,
}

/// Where a document belongs.
pub(crate) struct Place<'a> {
    pub(crate) magic: [u8; 4],
    pub(crate) generation: u32,
    pub(crate) context: &'a [u8],
}

impl SivKey {
    pub(crate) fn derive(kind: &SivKind, key: &Secret32, context: &[&[u8]]) -> Self {
        Self {
            encryption: kdf(kind.encryption_label, key.expose(), context),
            nonce: kdf(kind.nonce_label, key.expose(), context),
        }
    }

    pub(crate) fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Vec<u8> {
        let (header, aad) = place.header_and_aad();
        let tail = padded::tail(record_len, plain.len());
        let nonce: [u8; 24] = prf(&self.nonce, &[&aad, plain, &tail]);
        let mut sealed = Vec::with_capacity(SEALED_OVERHEAD + plain.len() + tail.len());
        sealed.extend_from_slice(&header);
        sealed.extend_from_slice(&nonce);
        let start = sealed.len();
        sealed.extend_from_slice(plain);
        sealed.extend_from_slice(&tail);
        let tag = aead::seal(&self.encryption, &nonce, &aad, &mut sealed[start..]);
        sealed.extend_from_slice(&tag);
        sealed
    }

    pub(crate) fn open(&self, place: &Place<'_>, sealed: &Parsed<'_>) -> Result<Vec<u8>, OpenError> {
        let (_, aad) = place.header_and_aad();
        let (data, tag) = sealed.frame.split_last_chunk::<TAG_LEN>().ok_or(OpenError::Refused)?;
        let mut padded = data.to_vec();
        aead::open(&self.encryption, &sealed.nonce, &aad, &mut padded, tag)?;
        let nonce: [u8; 24] = prf(&self.nonce, &[&aad, &padded]);
        if !bool::from(nonce.ct_eq(&sealed.nonce)) {
            return Err(OpenError::Refused);
        }
        padded::unpad(record_len, padded)
    }
}

impl Place<'_> {
    fn header_and_aad(&self) -> (Vec<u8>, Vec<u8>) {
        let mut header = Writer::with_capacity(9);
        header.raw(&self.magic).u8(SUITE).u32(self.generation);
        let header = header.into_vec();
        let aad = [&header, self.context].concat();
        (header, aad)
    }
}

/// The fields of a sealed document that can be read without a key.
pub(crate) struct Parsed<'a> {
    pub(crate) generation: u32,
    nonce: [u8; 24],
    frame: &'a [u8],
}

impl<'a> Parsed<'a> {
    pub(crate) fn read(magic: [u8; 4], sealed: &'a [u8], sealed_bytes_max: usize) -> Result<Self, OpenError> {
        if sealed.len() > sealed_bytes_max {
            return Err(OpenError::Refused);
        }
        Self::fields(magic, sealed).map_err(|_| OpenError::Refused)
    }

    fn fields(magic: [u8; 4], sealed: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(sealed);
        input.expect(&magic, "magic")?;
        input.expect(&[SUITE], "suite")?;
        Ok(Self { generation: input.u32()?, nonce: input.array()?, frame: input.rest() })
    }
}

#[cfg(test)]
mod tests;
