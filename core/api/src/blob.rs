//! Bytes inside JSON: base64url without padding (RFC 4648 §5).
//!
//! `Debug` shows the length only, since a blob may be a sealed key or a login message.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// Opaque bytes in a JSON message.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob(pub Vec<u8>);

impl Blob {
    /// The bytes, borrowed.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as a fixed array, or nothing when the length differs.
    #[must_use]
    pub fn to_array<const N: usize>(&self) -> Option<[u8; N]> {
        self.0.as_slice().try_into().ok()
    }

    /// The text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        Base64UrlUnpadded::encode_string(&self.0)
    }

    /// Reads the text form; nothing when it is not canonical base64url.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Base64UrlUnpadded::decode_vec(text).ok().map(Self)
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Blob {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Blob {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes.to_vec())
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_text(&text).ok_or_else(|| de::Error::custom("expected base64url without padding"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_survives_json() {
        for len in 0..100_u8 {
            let blob = Blob((0..len).map(|byte| byte.wrapping_mul(37)).collect());
            let text = serde_json::to_string(&blob).expect("a string always serialises");
            assert_eq!(serde_json::from_str::<Blob>(&text).ok(), Some(blob), "{text}");
        }
    }

    #[test]
    fn padding_and_the_standard_alphabet_are_refused() {
        for text in ["\"AA==\"", "\"+/+/\"", "\"A\"", "\"AB\""] {
            assert!(serde_json::from_str::<Blob>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn debug_shows_the_length_only() {
        assert_eq!(format!("{:?}", Blob(vec![0x41; 9])), "Blob(9 bytes)");
    }
}
