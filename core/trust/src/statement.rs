//! The envelope all signed statements share: magic, format, suite, fields, signature.
//!
//! A type that implements [`Statement`] says its magic and its label; [`Signed`] adds the six
//! bytes before and the 64 after. Fields can be read only through [`Signed::verify`], or through
//! [`Signed::unverified`] where the field is needed to find the key. Because every encoding is
//! canonical, verification signs over a fresh encoding of the fields and not over kept bytes.

use crate::sign::{BadSignature, Label, PublicKey, SignKey, Signature};
use freehold_model::codec::{self, Decode, DecodeError, Encode, Reader, Writer};

/// The format number of every statement here.
pub(crate) const FORMAT: u8 = 1;

/// Suite 0x01: Ed25519, BLAKE3, X-Wing, OPAQUE ristretto255. There is no other and no negotiation.
pub(crate) const SUITE: u8 = 1;

/// Fields that somebody signs.
pub trait Statement: Encode + Decode {
    /// The first four bytes.
    const MAGIC: [u8; 4];
    /// What the signature is for.
    const LABEL: Label;
}

/// A statement with its signature, not necessarily a good one until [`Signed::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    fields: T,
    signature: Signature,
}

impl<T: Statement> Signed<T> {
    /// Signs the fields.
    #[must_use]
    pub fn sign(fields: T, key: &SignKey) -> Self {
        let signature = key.sign(T::LABEL, &signed_bytes(&fields));
        Self { fields, signature }
    }

    /// Puts together fields and a signature that travelled apart.
    #[must_use]
    pub const fn from_parts(fields: T, signature: Signature) -> Self {
        Self { fields, signature }
    }

    /// Checks the signature and gives the fields.
    ///
    /// # Errors
    /// [`BadSignature`] when the key did not sign exactly these fields.
    pub fn verify(&self, key: &PublicKey) -> Result<&T, BadSignature> {
        key.verify(T::LABEL, &signed_bytes(&self.fields), &self.signature)?;
        Ok(&self.fields)
    }

    /// The fields before any check: only to find the key that must have signed them.
    #[must_use]
    pub const fn unverified(&self) -> &T {
        &self.fields
    }

    /// The signature.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::to_vec(self)
    }

    /// Reads a statement that fills the slice exactly. The signature is not checked.
    ///
    /// # Errors
    /// Anything but the canonical form is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::from_slice(bytes)
    }
}

impl<T: Statement> Encode for Signed<T> {
    fn encode(&self, out: &mut Writer) {
        write_preamble(out, T::MAGIC);
        out.put(&self.fields).put(&self.signature);
    }
}

impl<T: Statement> Decode for Signed<T> {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read_preamble(input, T::MAGIC, T::LABEL.text())?;
        Ok(Self { fields: input.get()?, signature: input.get()? })
    }
}

fn signed_bytes<T: Statement>(fields: &T) -> Vec<u8> {
    let mut out = Writer::new();
    write_preamble(&mut out, T::MAGIC);
    out.put(fields);
    out.into_vec()
}

pub(crate) fn write_preamble(out: &mut Writer, magic: [u8; 4]) {
    out.raw(&magic).u8(FORMAT).u8(SUITE);
}

pub(crate) fn read_preamble(
    input: &mut Reader<'_>,
    magic: [u8; 4],
    what: &'static str,
) -> Result<(), DecodeError> {
    input.expect(&magic, what)?;
    input.expect(&[FORMAT], "format")?;
    input.expect(&[SUITE], "suite")
}

/// Checks that a list is strictly ascending, the one order a canonical list has.
pub(crate) fn ascending<T: Ord>(items: &[T], what: &'static str) -> Result<(), DecodeError> {
    let sorted = items.iter().zip(items.iter().skip(1)).all(|(a, b)| a < b);
    if sorted { Ok(()) } else { Err(DecodeError::Invalid(what)) }
}
