//! Which versions wait for chunks, and how receipts place them.
//!
//! A version is placed when every chunk it reaches through its references has receipts from as
//! many nodes as the newest layout's write quorum says. What is missing is written down when the
//! version arrives (one `pending` row for each chunk) and worked off as receipts come, so nothing
//! is ever counted twice or searched for. Receipts may come before their version.

use super::batch::{Batch, Column};
use super::convert::{array, signed};
use super::query::{Connection, Lock, query};
use super::reach::Reach;
use crate::db::StoreError;
use crate::db::rows::PlacedChunk;
use freehold_api::bulk::PushVersion;
use freehold_model::{ChunkId, VaultId, VersionHash};
use std::collections::{BTreeMap, BTreeSet};

const PLACED: Batch = Batch {
    text: "SELECT chunk_id FROM placement
           WHERE vault_id = $1 AND chunk_id IN (SELECT chunk_id FROM item)
           GROUP BY chunk_id HAVING count(*) >= $2",
    columns: &[Column::Bytes("chunk_id")],
};

const AWAIT: Batch = Batch {
    text: "INSERT INTO pending (vault_id, chunk_id, version) SELECT $1, chunk_id, $2 FROM item WHERE true
           ON CONFLICT (vault_id, chunk_id, version) DO NOTHING",
    columns: &[Column::Bytes("chunk_id")],
};

const PLACE: Batch = Batch {
    text: "INSERT INTO placement (vault_id, chunk_id, node_id, len_bytes, created)
           SELECT $1, chunk_id, node_id, len_bytes, $2 FROM item WHERE true
           ON CONFLICT (vault_id, chunk_id, node_id) DO NOTHING",
    columns: &[Column::Bytes("chunk_id"), Column::Bytes("node_id"), Column::Number("len_bytes")],
};

const RELEASE: Batch = Batch {
    text: "DELETE FROM pending WHERE vault_id = $1 AND chunk_id IN (SELECT chunk_id FROM item)
           RETURNING version",
    columns: &[Column::Bytes("chunk_id")],
};

const LESS_MISSING: Batch = Batch {
    text: "UPDATE version SET missing = missing - item.chunks FROM item
           WHERE version.vault_id = $1 AND version.hash = item.version RETURNING missing",
    columns: &[Column::Bytes("version"), Column::Number("chunks")],
};

const MORE_MISSING: Batch = Batch {
    text: "UPDATE version SET missing = missing + item.chunks FROM item
           WHERE version.vault_id = $1 AND version.hash = item.version",
    columns: &[Column::Bytes("version"), Column::Number("chunks")],
};

/// Notes the chunks that versions still wait for; how many each waits for that it did not before, by
/// their order.
pub(super) async fn await_chunks(
    db: &mut impl Connection,
    vault: VaultId,
    versions: &[&PushVersion],
) -> Result<Vec<i64>, StoreError> {
    let quorum = write_quorum(db).await?;
    let mut counts = Vec::with_capacity(versions.len());
    let mut left = versions;
    while !left.is_empty() {
        let (reach, taken) = Reach::load(db, vault, left).await?;
        let (now, rest) = left.split_at(taken);
        left = rest;
        let placed = placed(db, vault, &reach.chunks(), quorum).await?;
        for version in now {
            let from = reach.from(&version.refs);
            let missing: Vec<ChunkId> = from.into_iter().filter(|chunk| !placed.contains(chunk)).collect();
            let shared = [vault.as_bytes().into(), version.hash.as_bytes().into()];
            let added = AWAIT.execute(db, &missing, &shared, |chunk| [chunk.as_bytes().into()]).await?;
            counts.push(signed(added));
        }
    }
    Ok(counts)
}

/// Lets stored versions also wait for chunks that lists reach which came after them.
pub(super) async fn await_more(
    db: &mut impl Connection,
    vault: VaultId,
    versions: &[&PushVersion],
) -> Result<(), StoreError> {
    let added = await_chunks(db, vault, versions).await?;
    let more: Vec<(VersionHash, i64)> =
        versions.iter().map(|version| version.hash).zip(added).filter(|(_, added)| *added > 0).collect();
    MORE_MISSING
        .execute(db, &more, &[vault.as_bytes().into()], |(version, chunks)| {
            [version.as_bytes().into(), (*chunks).into()]
        })
        .await?;
    Ok(())
}

/// Receipts that make a chunk placed, by the newest layout; 1 while there is none.
async fn write_quorum(db: &mut impl Connection) -> Result<i64, StoreError> {
    let row: Option<(i64,)> =
        query("SELECT write_quorum FROM layout ORDER BY epoch DESC LIMIT 1").fetch_optional(db).await?;
    Ok(row.map_or(1, |(quorum,)| quorum))
}

/// Those of the chunks that lie on enough nodes.
async fn placed(
    db: &mut impl Connection,
    vault: VaultId,
    chunks: &[ChunkId],
    quorum: i64,
) -> Result<BTreeSet<ChunkId>, StoreError> {
    let rows: Vec<(Vec<u8>,)> = PLACED
        .fetch(db, chunks, &[vault.as_bytes().into(), quorum.into()], |chunk| [chunk.as_bytes().into()])
        .await?;
    rows.iter().map(|(chunk,)| array(chunk, "chunk id").map(ChunkId::from_bytes)).collect()
}

/// Books receipts; the number of versions that became placed.
pub(super) async fn book(
    db: &mut impl Connection,
    vault: VaultId,
    chunks: &[PlacedChunk],
    now: i64,
) -> Result<u64, StoreError> {
    db.lock(Lock::Vault(vault)).await?;
    let quorum = write_quorum(db).await?;
    PLACE
        .execute(db, chunks, &[vault.as_bytes().into(), now.into()], |placed| {
            let len_bytes = i64::from(placed.len_bytes);
            [placed.chunk.as_bytes().into(), placed.node.as_bytes().into(), len_bytes.into()]
        })
        .await?;
    let chunks: BTreeSet<ChunkId> = chunks.iter().map(|placed| placed.chunk).collect();
    let chunks: Vec<ChunkId> = chunks.into_iter().collect();
    let placed: Vec<ChunkId> = placed(db, vault, &chunks, quorum).await?.into_iter().collect();
    release(db, vault, &placed).await
}

/// Takes placed chunks off every version that waits for them.
async fn release(db: &mut impl Connection, vault: VaultId, chunks: &[ChunkId]) -> Result<u64, StoreError> {
    let waiting: Vec<(Vec<u8>,)> =
        RELEASE.fetch(db, chunks, &[vault.as_bytes().into()], |chunk| [chunk.as_bytes().into()]).await?;
    let mut gone: BTreeMap<VersionHash, i64> = BTreeMap::new();
    for (version,) in &waiting {
        *gone.entry(VersionHash::from_bytes(array(version, "version hash")?)).or_default() += 1;
    }
    let gone: Vec<(VersionHash, i64)> = gone.into_iter().collect();
    let missing: Vec<(i64,)> = LESS_MISSING
        .fetch(db, &gone, &[vault.as_bytes().into()], |(version, chunks)| {
            [version.as_bytes().into(), (*chunks).into()]
        })
        .await?;
    Ok(missing.iter().filter(|(missing,)| *missing == 0).count() as u64)
}
