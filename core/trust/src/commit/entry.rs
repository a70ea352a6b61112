//! One line of a commit: a record, its new sealed version, and the versions that one replaces.

use crate::limits;
use crate::statement::ascending;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::limits::COMMIT_ENTRIES_MAX;
use freehold_model::{RecordId, RootHash, VersionHash};

/// One version named by a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitEntry {
    /// The record.
    pub record: RecordId,
    /// BLAKE3 of its new ciphertext.
    pub version: VersionHash,
    /// The versions it replaces, in ascending order; none for a new record.
    pub supersedes: Vec<VersionHash>,
}

impl CommitEntry {
    /// Encoded bytes without any superseded version.
    pub(super) const LEN_BYTES_MIN: usize = 16 + 32 + 2;

    fn check(&self) -> Result<(), DecodeError> {
        if self.supersedes.len() > limits::COMMIT_SUPERSEDES_MAX {
            return Err(DecodeError::TooLong);
        }
        if self.supersedes.contains(&self.version) {
            return Err(DecodeError::Invalid("superseded versions"));
        }
        ascending(&self.supersedes, "superseded versions")
    }
}

/// Sorts entries and their superseded versions, then checks them.
pub(super) fn canonical(mut entries: Vec<CommitEntry>) -> Result<Vec<CommitEntry>, DecodeError> {
    entries.iter_mut().for_each(|entry| entry.supersedes.sort());
    entries.sort_by_key(|entry| entry.record);
    check(&entries)?;
    Ok(entries)
}

/// Checks order, uniqueness and limits.
pub(super) fn check(entries: &[CommitEntry]) -> Result<(), DecodeError> {
    if entries.len() > COMMIT_ENTRIES_MAX {
        return Err(DecodeError::TooLong);
    }
    entries.iter().try_for_each(CommitEntry::check)?;
    let records: Vec<RecordId> = entries.iter().map(|entry| entry.record).collect();
    ascending(&records, "commit entries")
}

/// BLAKE3 over the encoded entries. BLAKE3 is a Merkle tree itself (paper §2.4), so one entry can
/// be proved with a slice of the list.
pub(super) fn root(entries: &[CommitEntry]) -> RootHash {
    let mut out = Writer::new();
    entries.iter().for_each(|entry| entry.encode(&mut out));
    RootHash::from_bytes(*blake3::hash(out.as_slice()).as_bytes())
}

/// Encoded bytes of the entries.
pub(super) fn encoded_len(entries: &[CommitEntry]) -> usize {
    let versions: usize = entries.iter().map(|entry| entry.supersedes.len()).sum();
    let fixed = entries.len().saturating_mul(CommitEntry::LEN_BYTES_MIN);
    fixed.saturating_add(versions.saturating_mul(VersionHash::LEN))
}

impl Encode for CommitEntry {
    fn encode(&self, out: &mut Writer) {
        let count = u16::try_from(self.supersedes.len()).expect("signing bounds the list");
        out.put(&self.record).put(&self.version).u16(count);
        self.supersedes.iter().for_each(|version| version.encode(out));
    }
}

impl Decode for CommitEntry {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (record, version) = (input.get()?, input.get()?);
        let count = usize::from(input.u16()?);
        if count > limits::COMMIT_SUPERSEDES_MAX {
            return Err(DecodeError::TooLong);
        }
        let supersedes = (0..count).map(|_| input.get()).collect::<Result<_, DecodeError>>()?;
        Ok(Self { record, version, supersedes })
    }
}
