//! Ed25519 under labels: the one signature of the system.
//!
//! What is signed is `"freehold-sig v1 " ‖ label ‖ 0x00 ‖ message`. Labels hold no zero byte, so
//! no message of one label is ever the message of another. Verification is strict (RFC 8032 §5.1.7
//! without cofactor, small-order keys and non-canonical encodings refused): a signature has one
//! byte form and one meaning.

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use std::fmt;

const PREFIX: &[u8] = b"freehold-sig v1 ";

/// The signature was not made by this key over this message under this label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not belong to this statement and key")]
pub struct BadSignature;

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// An account log entry, by a device.
    AccountLog,
    /// The same entry, by the password- or recovery-derived key.
    AccountLogSecond,
    /// The same entry, by each unlock path it installs.
    AccountLogPath,
    /// A device certificate, by the device itself.
    DeviceCert,
    /// A commit header, by its device.
    Commit,
    /// A storage capability, by the server.
    Capability,
    /// A storage receipt, by a node.
    Receipt,
    /// A node certificate, by the server.
    NodeCert,
    /// A placement layout, by the server.
    Layout,
    /// A node's heartbeat, by the node.
    Heartbeat,
    /// Proof that a device holds its key, by the device.
    Session,
    /// A sealed unlock box, by the rotating device.
    UnlockBox,
    /// Where a device can be reached, by the device.
    DeviceAddresses,
    /// Proof that somebody holds a recovery key, by the key it derives.
    Recovery,
    /// The wish to end a device, by the device that has it.
    RevokeIntent,
    /// The same wish, by the password- or recovery-derived key.
    RevokeIntentSecond,
}

impl Label {
    /// Every label, so that a test can hold them apart.
    pub const ALL: [Self; 16] = [
        Self::AccountLog,
        Self::AccountLogSecond,
        Self::AccountLogPath,
        Self::DeviceCert,
        Self::Commit,
        Self::Capability,
        Self::Receipt,
        Self::NodeCert,
        Self::Layout,
        Self::Heartbeat,
        Self::Session,
        Self::UnlockBox,
        Self::DeviceAddresses,
        Self::Recovery,
        Self::RevokeIntent,
        Self::RevokeIntentSecond,
    ];

    /// The text that goes into the signed bytes.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::AccountLog => "account-log",
            Self::AccountLogSecond => "account-log-second",
            Self::AccountLogPath => "account-log-path",
            Self::DeviceCert => "device-cert",
            Self::Commit => "commit",
            Self::Capability => "capability",
            Self::Receipt => "receipt",
            Self::NodeCert => "node-cert",
            Self::Layout => "layout",
            Self::Heartbeat => "heartbeat",
            Self::Session => "session",
            Self::UnlockBox => "unlock-box",
            Self::DeviceAddresses => "device-addresses",
            Self::Recovery => "recovery",
            Self::RevokeIntent => "revoke-intent",
            Self::RevokeIntentSecond => "revoke-intent-second",
        }
    }
}

/// A signing key. Zeroed when dropped; it cannot be printed or copied.
pub struct SignKey {
    key: SigningKey,
}

impl SignKey {
    /// The key of a 32-byte seed (RFC 8032 §5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(seed) }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.key.verifying_key().to_bytes())
    }

    /// Signs the message under the label. Deterministic.
    #[must_use]
    pub fn sign(&self, label: Label, message: &[u8]) -> Signature {
        Signature(self.key.sign(&labelled(label, message)).to_bytes())
    }
}

impl fmt::Debug for SignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignKey(..)")
    }
}

/// The public half of a signing key, or of a TLS raw key. Not checked until it verifies something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Wraps the bytes; a point that is none only makes every verification fail.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, borrowed.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The bytes, copied.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Checks a signature over the message under the label, strictly.
    ///
    /// # Errors
    /// [`BadSignature`] for everything else; the reason is nobody's business.
    pub fn verify(&self, label: Label, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| BadSignature)?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(&labelled(label, message), &signature).map_err(|_| BadSignature)
    }
}

/// 64 bytes of Ed25519.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Length in bytes.
    pub const LEN: usize = 64;

    /// Wraps the bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The bytes, borrowed.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// The bytes, copied.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 64] {
        self.0
    }
}

fn labelled(label: Label, message: &[u8]) -> Vec<u8> {
    [PREFIX, label.text().as_bytes(), &[0], message].concat()
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        f.write_str("PublicKey(")?;
        write_hex(f, &[a, b, c, d])?;
        f.write_str(")")
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        f.write_str("Signature(")?;
        write_hex(f, &[a, b, c, d])?;
        f.write_str(")")
    }
}

impl Encode for PublicKey {
    fn encode(&self, out: &mut Writer) {
        out.raw(&self.0);
    }
}

impl Decode for PublicKey {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.array().map(Self)
    }
}

impl Encode for Signature {
    fn encode(&self, out: &mut Writer) {
        out.raw(&self.0);
    }
}

impl Decode for Signature {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.array().map(Self)
    }
}

#[cfg(test)]
mod tests;
