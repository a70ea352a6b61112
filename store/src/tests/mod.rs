//! Claims about both stores, on a disk in memory whose power can be cut anywhere.

mod cache;
mod crash;
mod node;

use crate::disk::crash::Draw;
use bytes::Bytes;
use freehold_model::{ChunkId, VaultTag};

/// A vault's pseudonym.
fn tag(n: u8) -> VaultTag {
    VaultTag::from_bytes([n; 16])
}

/// The `n`th chunk of a series: its id and bytes, 1 to `max_bytes` long.
fn chunk(n: u64, max_bytes: u64) -> (ChunkId, Bytes) {
    let mut draw = Draw(n * 2 + 1);
    let len = 1 + draw.next() % max_bytes;
    let bytes: Vec<u8> = (0..len).map(|_| draw.next() as u8).collect();
    (id_of(&bytes), Bytes::from(bytes))
}

fn id_of(bytes: &[u8]) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(bytes).as_bytes())
}
