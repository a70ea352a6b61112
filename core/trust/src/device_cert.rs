//! A device's public face: its three public keys under its id, account and display name.
//!
//! The device signs it with its own signing key, which proves that whoever chose the TLS and
//! X-Wing keys holds the signing key. What makes the device part of the account is the log entry
//! that carries the certificate.

use crate::limits;
use crate::sign::{Label, PublicKey};
use crate::statement::{Signed, Statement};
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::{AccountId, DeviceId};
use std::fmt;

/// A device certificate with the device's own signature.
pub type SignedDeviceCert = Signed<DeviceCert>;

/// The name is empty, longer than 64 bytes, or holds control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a device name has 1 to 64 bytes and no control characters; choose another")]
pub struct BadDeviceName;

/// Who a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCert {
    /// The account it belongs to.
    pub account: AccountId,
    /// Its id, never used again once revoked.
    pub device: DeviceId,
    /// Signs commits, log entries and session proofs.
    pub sign_pk: PublicKey,
    /// Its TLS raw public key (Ed25519).
    pub tls_pk: PublicKey,
    /// Receives account roots.
    pub xwing_pk: XWingPublic,
    /// When it was made, in Unix seconds by its own clock. Advisory.
    pub created: u64,
    /// What the owner calls it. The server can read this.
    pub name: DeviceName,
}

impl Statement for DeviceCert {
    const MAGIC: [u8; 4] = *b"FHDC";
    const LABEL: Label = Label::DeviceCert;
}

impl Encode for DeviceCert {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.account).put(&self.device).put(&self.sign_pk).put(&self.tls_pk);
        out.put(&self.xwing_pk).u64(self.created).put(&self.name);
    }
}

impl Decode for DeviceCert {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            account: input.get()?,
            device: input.get()?,
            sign_pk: input.get()?,
            tls_pk: input.get()?,
            xwing_pk: input.get()?,
            created: input.u64()?,
            name: input.get()?,
        })
    }
}

/// A device's display name: 1 to 64 bytes of UTF-8 without control characters.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceName(String);

impl DeviceName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`BadDeviceName`] when it is empty, too long or not printable.
    pub fn new(name: &str) -> Result<Self, BadDeviceName> {
        let fits = (1..=limits::DEVICE_NAME_BYTES_MAX).contains(&name.len());
        if fits && !name.chars().any(char::is_control) {
            Ok(Self(name.to_owned()))
        } else {
            Err(BadDeviceName)
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names are logged at no level, so the name stays out.
impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceName(..)")
    }
}

impl Encode for DeviceName {
    fn encode(&self, out: &mut Writer) {
        out.short_bytes(self.0.as_bytes());
    }
}

impl Decode for DeviceName {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = input.short_bytes(limits::DEVICE_NAME_BYTES_MAX)?;
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Invalid("device name"))?;
        Self::new(text).map_err(|_| DecodeError::Invalid("device name"))
    }
}

/// An X-Wing public key as bytes. Whether it is a valid key is decided by whoever seals to it.
#[derive(Clone, PartialEq, Eq)]
pub struct XWingPublic(Box<[u8; limits::XWING_PUBLIC_BYTES]>);

impl XWingPublic {
    /// Wraps the bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; limits::XWING_PUBLIC_BYTES]) -> Self {
        Self(Box::new(*bytes))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; limits::XWING_PUBLIC_BYTES] {
        &self.0
    }
}

impl fmt::Debug for XWingPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = *self.0;
        write!(f, "XWingPublic({a:02x}{b:02x}{c:02x}{d:02x})")
    }
}

impl Encode for XWingPublic {
    fn encode(&self, out: &mut Writer) {
        out.raw(self.0.as_slice());
    }
}

impl Decode for XWingPublic {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.array().map(|bytes| Self(Box::new(bytes)))
    }
}
