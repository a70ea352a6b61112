//! Reading a segment that no footer seals, record by record.
//!
//! Every payload is hashed. Where a header or payload is wrong the search goes on at the next eight
//! bytes, because valid records may follow: nothing that still proves itself is ever cut. Wrong
//! bytes before the last record flagged first-of-group had been flushed, so they are damage; after
//! it they are the torn remains of a group nobody was told about.

use crate::disk::DiskFile;
use crate::error::StoreError;
use crate::index::Location;
use crate::record::{ALIGN_BYTES, HEADER_BYTES, Header, Key, Salt};
use crate::segment::SEGMENT_HEADER_BYTES;

/// What a start found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments read.
    pub segments: u64,
    /// Segments whose records were read one by one, for lack of a footer.
    pub scanned_segments: u64,
    /// Bytes cut from the end of the open segment: a group nobody was told about.
    pub torn_bytes: u64,
    /// Stretches of flushed bytes that no longer prove themselves; kept and not served.
    pub damaged_stretches: u64,
    /// Segments whose own header is unreadable; kept and not served.
    pub damaged_segments: u64,
}

/// What a segment without a footer holds.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) entries: Vec<(Key, Location)>,
    /// End of the last whole record.
    pub(crate) end: u64,
    pub(crate) damaged_stretches: u64,
    /// Whether wrong bytes lie between whole records, damaged or torn.
    pub(crate) has_holes: bool,
}

/// Bytes searched at once for the next header.
const WINDOW_BYTES: usize = 256 * 1024;

/// Reads all records of a segment.
///
/// # Errors
/// `Io` when the file cannot be read at all; wrong bytes are no error.
pub(crate) fn scan(
    file: &dyn DiskFile,
    number: u32,
    salt: &Salt,
    len_bytes: u64,
) -> Result<Scan, StoreError> {
    let mut found = Scan { end: SEGMENT_HEADER_BYTES, ..Scan::default() };
    // Starts of wrong stretches, and the place up to which everything had been flushed.
    let (mut holes, mut flushed) = (Vec::new(), SEGMENT_HEADER_BYTES);
    let (mut at, mut in_hole) = (SEGMENT_HEADER_BYTES, false);
    while at.saturating_add(HEADER_BYTES) <= len_bytes {
        if let Some((header, location)) = read_record(file, number, salt, at, len_bytes)? {
            found.entries.push((header.key, location));
            if header.first_of_group {
                flushed = at;
            }
            at += header.span_bytes();
            found.end = at;
            in_hole = false;
        } else {
            if !in_hole {
                holes.push(at);
            }
            in_hole = true;
            at = next_candidate(file, salt, at + ALIGN_BYTES, len_bytes)?;
        }
    }
    found.has_holes = holes.iter().any(|hole| *hole < found.end);
    found.damaged_stretches = holes.iter().filter(|hole| **hole < flushed).count() as u64;
    Ok(found)
}

/// The whole, proven record at an offset, if there is one.
fn read_record(
    file: &dyn DiskFile,
    number: u32,
    salt: &Salt,
    at: u64,
    len_bytes: u64,
) -> Result<Option<(Header, Location)>, StoreError> {
    let mut bytes = [0; HEADER_BYTES as usize];
    file.read_exact_at(at, &mut bytes).map_err(StoreError::io("read a segment"))?;
    let Ok(header) = Header::decode(&bytes, salt) else { return Ok(None) };
    let payload_at = at + HEADER_BYTES;
    let fits = payload_at.saturating_add(u64::from(header.len_bytes)) <= len_bytes;
    let (Ok(len), Ok(offset_units)) = (usize::try_from(header.len_bytes), u32::try_from(at / ALIGN_BYTES))
    else {
        return Ok(None);
    };
    if !fits {
        return Ok(None);
    }
    let mut payload = vec![0; len];
    file.read_exact_at(payload_at, &mut payload).map_err(StoreError::io("read a segment"))?;
    if blake3::hash(&payload).as_bytes() != header.key.id.as_bytes() {
        return Ok(None);
    }
    Ok(Some((header, Location { segment: number, offset_units, len_bytes: header.len_bytes })))
}

/// The next aligned offset that holds a header which proves itself, or the end of the file.
fn next_candidate(file: &dyn DiskFile, salt: &Salt, from: u64, len_bytes: u64) -> Result<u64, StoreError> {
    let (mut at, mut window) = (from, Vec::new());
    while at.saturating_add(HEADER_BYTES) <= len_bytes {
        let len = usize::try_from(len_bytes - at).unwrap_or(WINDOW_BYTES).min(WINDOW_BYTES);
        window.resize(len, 0);
        file.read_exact_at(at, &mut window).map_err(StoreError::io("read a segment"))?;
        let headers = window.windows(HEADER_BYTES as usize).step_by(ALIGN_BYTES as usize);
        let tried = headers.len() as u64;
        for (step, bytes) in headers.enumerate() {
            if Header::decode(bytes, salt).is_ok() {
                return Ok(at + step as u64 * ALIGN_BYTES);
            }
        }
        at += tried * ALIGN_BYTES;
    }
    Ok(len_bytes)
}
