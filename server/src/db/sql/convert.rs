//! Between column types and ours: blobs of fixed length, unsigned numbers.
//!
//! The database knows signed 64-bit numbers only. Counters of ours never come near 2^63; numbers a
//! client chooses are checked before they get here.

use crate::db::StoreError;
use freehold_api::Kdf;
use freehold_model::ChunkId;

pub(super) fn array<const N: usize>(bytes: &[u8], what: &'static str) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Corrupt(what))
}

pub(super) fn unsigned(number: i64, what: &'static str) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt(what))
}

pub(super) fn small(number: i64, what: &'static str) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| StoreError::Corrupt(what))
}

/// A number as the database stores it; the largest it can hold for one beyond.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn kdf(m_kib: i64, t: i64, p: i64) -> Result<Kdf, StoreError> {
    let what = "password hash parameter";
    Ok(Kdf { m_kib: small(m_kib, what)?, t: small(t, what)?, p: small(p, what)? })
}

/// Chunk ids as one blob.
pub(super) fn join_ids(ids: &[ChunkId]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_bytes()).collect()
}

/// Chunk ids out of one blob.
pub(super) fn split_ids(bytes: &[u8]) -> Result<Vec<ChunkId>, StoreError> {
    let chunks = bytes.chunks(ChunkId::LEN);
    chunks.map(|id| array(id, "list of chunk ids").map(ChunkId::from_bytes)).collect()
}
