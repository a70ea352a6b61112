//! Names of things, as types that cannot be mixed up.
//!
//! Random ids are 16 bytes, hashes 32. All print as lower-case hexadecimal; `Debug` shows the first
//! eight digits only, which is what logs may carry.

use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// The text is not the hexadecimal form of this id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hexadecimal digits")]
pub struct ParseIdError {
    /// Digits the id has.
    pub expected: usize,
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseIdError> {
    let error = ParseIdError { expected: 2 * N };
    if text.len() != 2 * N {
        return Err(error);
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err(error),
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let (high, low) = (pair.first().copied(), pair.last().copied());
        *byte = digit(high.unwrap_or_default())? << 4 | digit(low.unwrap_or_default())?;
    }
    Ok(bytes)
}

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident[$len:literal];)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps the bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes, borrowed.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// The bytes, copied.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; $len] {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(")")
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Writer) {
                out.raw(&self.0);
            }
        }

        impl Decode for $name {
            fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                input.array().map(Self)
            }
        }
    )+};
}

id! {
    /// One account on one server. Random.
    AccountId[16];
    /// One device of an account, a browser profile included. Random.
    DeviceId[16];
    /// One vault: a tree with its own keys. Random.
    VaultId[16];
    /// One node of the tree: file, directory, symlink, fifo, socket or device. Random, only ever
    /// visible inside sealed records.
    FileId[16];
    /// What the server knows a [`FileId`] by: a keyed hash of it.
    RecordId[16];
    /// One storage node. Random.
    NodeId[16];
    /// What a storage node knows a vault by: a pseudonym of its own.
    VaultTag[16];
    /// One name of a file (a hard link). Random, inside sealed records.
    LinkId[16];
    /// BLAKE3 of a chunk's ciphertext: verifiable by anyone, with no key.
    ChunkId[32];
    /// BLAKE3 of a sealed record: names one version of it.
    VersionHash[32];
    /// BLAKE3 of a signed commit.
    CommitHash[32];
    /// BLAKE3 of a signed account log entry.
    LogHash[32];
    /// Root over a sorted list of records or heads.
    RootHash[32];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_survives_a_round_trip() {
        let id = ChunkId::from_bytes(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "00", "zz000000000000000000000000000000", "0000000000000000000000000000000é"] {
            assert_eq!(text.parse::<VaultId>(), Err(ParseIdError { expected: 32 }), "{text}");
        }
    }

    #[test]
    fn debug_shows_only_a_prefix() {
        assert_eq!(format!("{:?}", DeviceId::from_bytes([0xab; 16])), "DeviceId(abababab)");
    }
}
