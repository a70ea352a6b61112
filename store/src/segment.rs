//! The fixed parts of a segment file: its header, and the sorted index and footer that seal it.
//!
//! A segment is `header ‖ record* ‖ index ‖ footer`. The index lists what the records hold, so a
//! start reads footers instead of chunks; the footer's hash covers the index and the footer itself.
//! Payloads are not hashed again: each proves itself by its id.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::disk::DiskFile;
use crate::error::StoreError;
use crate::index::Location;
use crate::record::{HEADER_BYTES, Key, Salt};
use freehold_model::codec::{DecodeError, Reader, Writer};

/// Bytes of a segment's header; records begin here.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 64;

const MAGIC: &[u8; 4] = b"FHSG";
const FOOTER_MAGIC: &[u8; 4] = b"FHSF";
const VERSION: u8 = 1;
const FOOTER_BYTES: u64 = 64;
const FOOTER_HASHED_BYTES: usize = 32;
const INDEX_ENTRY_BYTES: u64 = 56;
const HEADER_CHECKED_BYTES: usize = 60;

/// Which of the two stores a segment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Node = 1,
    Cache = 2,
}

/// A segment's own header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) kind: Kind,
    pub(crate) number: u32,
    pub(crate) created_s: u64,
    pub(crate) salt: Salt,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(SEGMENT_HEADER_BYTES as usize);
        out.raw(MAGIC)
            .u8(VERSION)
            .u8(self.kind as u8)
            .u16(0)
            .u32(self.number)
            .u32(0)
            .u64(self.created_s)
            .raw(&self.salt)
            .raw(&[0; 20]);
        let check = crc32fast::hash(out.as_slice());
        out.u32(check);
        out.into_vec()
    }

    /// Reads a header: `Invalid` when the bytes are wrong, `Unknown` when they are right but not
    /// of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let checked = bytes.get(..HEADER_CHECKED_BYTES).ok_or(DecodeError::Truncated)?;
        let check = bytes.get(HEADER_CHECKED_BYTES..).ok_or(DecodeError::Truncated)?;
        if Reader::new(check).u32()? != crc32fast::hash(checked) {
            return Err(DecodeError::Invalid("segment check"));
        }
        let mut input = Reader::new(checked);
        input.expect(MAGIC, "segment magic")?;
        input.expect(&[VERSION], "segment version")?;
        let kind = match input.u8()? {
            1 => Kind::Node,
            2 => Kind::Cache,
            _ => return Err(DecodeError::Unknown("segment kind")),
        };
        input.expect(&[0; 2], "segment flags")?;
        let number = input.u32()?;
        input.expect(&[0; 4], "segment flags")?;
        let (created_s, salt) = (input.u64()?, input.array()?);
        input.expect(&[0; 20], "segment flags")?;
        input.finish()?;
        Ok(Self { kind, number, created_s, salt })
    }
}

/// The name of a segment's file.
pub(crate) fn file_name(number: u32) -> String {
    format!("{number:08x}.seg")
}

/// The number in a segment's file name; `None` for any other file.
pub(crate) fn parse_file_name(name: &str) -> Option<u32> {
    let number = u32::from_str_radix(name.strip_suffix(".seg")?, 16).ok()?;
    (file_name(number) == name).then_some(number)
}

/// The bytes that seal a segment whose records end at `end`.
pub(crate) fn encode_seal(number: u32, end: u64, entries: &[(Key, Location)]) -> Vec<u8> {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_unstable_by_key(|(key, location)| (*key, location.offset_units));
    let mut out = Writer::new();
    for (key, location) in &sorted {
        out.put(&key.tag).put(&key.id).u32(location.offset_units).u32(location.len_bytes);
    }
    let mut footer = Writer::with_capacity(FOOTER_BYTES as usize);
    footer
        .raw(FOOTER_MAGIC)
        .u8(VERSION)
        .raw(&[0; 3])
        .u32(number)
        .u32(u32::try_from(sorted.len()).expect("a segment's offsets are 32-bit, so is its count"))
        .u64(end)
        .u64(0);
    let hash = seal_hash(out.as_slice(), footer.as_slice());
    out.raw(footer.as_slice()).raw(&hash);
    out.into_vec()
}

/// Reads the index of a sealed segment; `None` when no whole footer ends the file.
///
/// # Errors
/// `Io` when the file cannot be read.
pub(crate) fn read_seal(
    file: &dyn DiskFile,
    number: u32,
    len_bytes: u64,
) -> Result<Option<Vec<(Key, Location)>>, StoreError> {
    let Some(at) = len_bytes.checked_sub(FOOTER_BYTES) else { return Ok(None) };
    let mut footer = [0; FOOTER_BYTES as usize];
    file.read_exact_at(at, &mut footer).map_err(StoreError::io("read a segment's footer"))?;
    let Ok((count, end)) = decode_footer(&footer, number) else { return Ok(None) };
    let index_bytes = u64::from(count).saturating_mul(INDEX_ENTRY_BYTES);
    if end.checked_add(index_bytes) != Some(at) || end < SEGMENT_HEADER_BYTES {
        return Ok(None);
    }
    let Ok(index_len) = usize::try_from(index_bytes) else { return Ok(None) };
    let mut index = vec![0; index_len];
    file.read_exact_at(end, &mut index).map_err(StoreError::io("read a segment's index"))?;
    let (hashed, hash) = footer.split_at(FOOTER_HASHED_BYTES);
    if seal_hash(&index, hashed) != hash {
        return Ok(None);
    }
    Ok(decode_index(&index, number, count, end).ok())
}

fn decode_footer(footer: &[u8], number: u32) -> Result<(u32, u64), DecodeError> {
    let mut input = Reader::new(footer);
    input.expect(FOOTER_MAGIC, "footer magic")?;
    input.expect(&[VERSION, 0, 0, 0], "footer version")?;
    if input.u32()? != number {
        return Err(DecodeError::Invalid("footer number"));
    }
    Ok((input.u32()?, input.u64()?))
}

fn decode_index(
    index: &[u8],
    number: u32,
    count: u32,
    end: u64,
) -> Result<Vec<(Key, Location)>, DecodeError> {
    let mut input = Reader::new(index);
    let mut entries = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
    for _ in 0..count {
        let key = Key { tag: input.get()?, id: input.get()? };
        let location = Location { segment: number, offset_units: input.u32()?, len_bytes: input.u32()? };
        let payload_end = location
            .offset_bytes()
            .saturating_add(HEADER_BYTES)
            .saturating_add(u64::from(location.len_bytes));
        if payload_end > end {
            return Err(DecodeError::Invalid("index entry"));
        }
        entries.push((key, location));
    }
    input.finish()?;
    Ok(entries)
}

fn seal_hash(index: &[u8], footer: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(index).update(footer);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests index what they built")]
mod tests {
    use super::*;

    #[test]
    fn a_segment_header_survives_a_round_trip_and_refuses_flips() {
        let header = SegmentHeader { kind: Kind::Cache, number: 77, created_s: 5, salt: [0xee; 16] };
        let bytes = header.encode();
        assert_eq!(bytes.len() as u64, SEGMENT_HEADER_BYTES);
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            assert!(SegmentHeader::decode(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn only_our_own_file_names_parse() {
        assert_eq!(parse_file_name(&file_name(0xabc)), Some(0xabc));
        for name in ["abc.seg", "00000ABC.seg", "00000abc.new", "+0000abc.seg", "marks"] {
            assert_eq!(parse_file_name(name), None, "{name}");
        }
    }
}
