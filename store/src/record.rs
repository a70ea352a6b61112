//! The 64-byte header in front of every stored chunk.
//!
//! A header proves itself by a CRC that starts from the segment's random salt, so bytes a client
//! uploads inside a chunk can never pass for a header when a damaged segment is searched. The
//! payload needs no checksum: its id is the BLAKE3 of its bytes. `FIRST_OF_GROUP` is set on the
//! first record after a completed flush; whoever finds one knows that everything before it had
//! reached stable storage, which is what tells damage from a torn tail.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use freehold_model::codec::{DecodeError, Reader, Writer};
use freehold_model::{ChunkId, VaultTag};

/// Bytes of a header.
pub(crate) const HEADER_BYTES: u64 = 64;

/// Records start at multiples of this.
pub(crate) const ALIGN_BYTES: u64 = 8;

const MAGIC: &[u8; 2] = b"FR";
const VERSION: u8 = 1;
const FIRST_OF_GROUP: u8 = 0x01;
const CHECKED_BYTES: usize = 60;

/// Random bytes of one segment, mixed into its headers' checks.
pub(crate) type Salt = [u8; 16];

/// What a chunk is filed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) tag: VaultTag,
    pub(crate) id: ChunkId,
}

/// A decoded header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) key: Key,
    pub(crate) len_bytes: u32,
    pub(crate) created_s: u32,
    pub(crate) first_of_group: bool,
}

impl Header {
    /// The header's bytes within the segment of that salt.
    pub(crate) fn encode(&self, salt: &Salt) -> Vec<u8> {
        let mut out = Writer::with_capacity(HEADER_BYTES as usize);
        out.raw(MAGIC)
            .u8(VERSION)
            .u8(if self.first_of_group { FIRST_OF_GROUP } else { 0 })
            .u32(self.len_bytes)
            .u32(self.created_s)
            .put(&self.key.tag)
            .put(&self.key.id);
        let check = check(salt, out.as_slice());
        out.u32(check);
        out.into_vec()
    }

    /// Reads and checks a header.
    pub(crate) fn decode(bytes: &[u8], salt: &Salt) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        input.expect(MAGIC, "record magic")?;
        input.expect(&[VERSION], "record version")?;
        let flags = input.u8()?;
        let header = Self {
            len_bytes: input.u32()?,
            created_s: input.u32()?,
            key: Key { tag: input.get()?, id: input.get()? },
            first_of_group: flags & FIRST_OF_GROUP != 0,
        };
        let expected = check(salt, bytes.get(..CHECKED_BYTES).ok_or(DecodeError::Truncated)?);
        if input.u32()? != expected || flags & !FIRST_OF_GROUP != 0 {
            return Err(DecodeError::Invalid("record check"));
        }
        input.finish()?;
        Ok(header)
    }

    /// Whether these are the header bytes of that key and length, checked without the salt.
    pub(crate) fn names(bytes: &[u8], key: &Key, len_bytes: u32) -> bool {
        let mut input = Reader::new(bytes);
        let mut fields = || -> Result<(u32, Key), DecodeError> {
            input.expect(MAGIC, "record magic")?;
            input.bytes(2)?;
            let len_bytes = input.u32()?;
            input.u32()?;
            Ok((len_bytes, Key { tag: input.get()?, id: input.get()? }))
        };
        fields() == Ok((len_bytes, *key))
    }

    /// Bytes the record takes in its segment, padding included.
    pub(crate) fn span_bytes(&self) -> u64 {
        span_bytes(self.len_bytes)
    }
}

/// Bytes a record of that payload takes in its segment, padding included.
pub(crate) fn span_bytes(len_bytes: u32) -> u64 {
    align(HEADER_BYTES.saturating_add(u64::from(len_bytes)))
}

/// The next multiple of eight.
pub(crate) fn align(offset: u64) -> u64 {
    offset.saturating_add(ALIGN_BYTES.saturating_sub(1)) & !ALIGN_BYTES.saturating_sub(1)
}

fn check(salt: &Salt, header: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(salt);
    crc.update(header);
    crc.finalize()
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests index what they built")]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            key: Key { tag: VaultTag::from_bytes([7; 16]), id: ChunkId::from_bytes([9; 32]) },
            len_bytes: 4_097,
            created_s: 1_800_000_000,
            first_of_group: true,
        }
    }

    #[test]
    fn a_header_is_64_bytes_and_survives_a_round_trip() {
        let bytes = header().encode(&[3; 16]);
        assert_eq!(bytes.len() as u64, HEADER_BYTES);
        assert_eq!(Header::decode(&bytes, &[3; 16]), Ok(header()));
        assert!(Header::names(&bytes, &header().key, 4_097));
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let bytes = header().encode(&[3; 16]);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&bad, &[3; 16]).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_header_made_for_another_salt_is_refused() {
        let bytes = header().encode(&[3; 16]);
        assert!(Header::decode(&bytes, &[4; 16]).is_err());
    }

    #[test]
    fn spans_are_aligned() {
        assert_eq!([0, 1, 8, 9].map(span_bytes), [64, 72, 72, 80]);
    }
}
