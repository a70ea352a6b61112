//! Which versions wait for chunks, and how receipts place them.
//!
//! A version is placed when every chunk it reaches through its references has receipts from as
//! many nodes as the newest layout's write quorum says. What is missing is written down when the
//! version arrives (one `pending` row for each chunk) and worked off as receipts come, so nothing
//! is ever counted twice or searched for. Receipts may come before their version.

use super::batch::Batch;
use super::convert::{array, signed};
use super::reach::Reach;
use crate::db::StoreError;
use crate::db::rows::PlacedChunk;
use freehold_api::bulk::PushVersion;
use freehold_model::{ChunkId, VaultId, VersionHash};
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, BTreeSet};

const PLACED: Batch = Batch {
    head: "SELECT chunk_id FROM placement WHERE vault_id = $1 AND chunk_id IN (",
    row: "@",
    tail: ") GROUP BY chunk_id HAVING count(*) >= $2",
    shared: 2,
};

const AWAIT: Batch = Batch {
    head: "INSERT INTO pending (vault_id, chunk_id, version) VALUES ",
    row: "($1, @, @)",
    tail: "",
    shared: 1,
};

const PLACE: Batch = Batch {
    head: "INSERT INTO placement (vault_id, chunk_id, node_id, len_bytes, created) VALUES ",
    row: "($1, @, @, @, $2)",
    tail: " ON CONFLICT (vault_id, chunk_id, node_id) DO NOTHING",
    shared: 2,
};

const RELEASE: Batch = Batch {
    head: "DELETE FROM pending WHERE vault_id = $1 AND chunk_id IN (",
    row: "@",
    tail: ") RETURNING version",
    shared: 1,
};

const LESS_MISSING: Batch = Batch {
    head: "WITH gone (hash, chunks) AS (VALUES ",
    row: "(@, @)",
    tail: ") UPDATE version SET missing = missing - gone.chunks FROM gone
           WHERE version.vault_id = $1 AND version.hash = gone.hash RETURNING missing",
    shared: 1,
};

/// Notes the chunks that new versions still wait for; how many each waits for, by their order.
pub(super) async fn await_chunks(
    db: &mut SqliteConnection,
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
            AWAIT
                .execute(
                    db,
                    &missing,
                    |query| query.bind(vault.to_bytes().to_vec()),
                    |query, chunk| {
                        query.bind(chunk.to_bytes().to_vec()).bind(version.hash.to_bytes().to_vec())
                    },
                )
                .await?;
            counts.push(signed(missing.len() as u64));
        }
    }
    Ok(counts)
}

/// Receipts that make a chunk placed, by the newest layout; 1 while there is none.
async fn write_quorum(db: &mut SqliteConnection) -> Result<i64, StoreError> {
    let row: Option<(i64,)> = sqlx::query_as("SELECT write_quorum FROM layout ORDER BY epoch DESC LIMIT 1")
        .fetch_optional(db)
        .await?;
    Ok(row.map_or(1, |(quorum,)| quorum))
}

/// Those of the chunks that lie on enough nodes.
async fn placed(
    db: &mut SqliteConnection,
    vault: VaultId,
    chunks: &[ChunkId],
    quorum: i64,
) -> Result<BTreeSet<ChunkId>, StoreError> {
    let rows: Vec<(Vec<u8>,)> = PLACED
        .fetch(
            db,
            chunks,
            |query| query.bind(vault.to_bytes().to_vec()).bind(quorum),
            |query, chunk| query.bind(chunk.to_bytes().to_vec()),
        )
        .await?;
    rows.iter().map(|(chunk,)| array(chunk, "chunk id").map(ChunkId::from_bytes)).collect()
}

/// Books receipts; the number of versions that became placed.
pub(super) async fn book(
    db: &mut SqliteConnection,
    vault: VaultId,
    chunks: &[PlacedChunk],
    now: i64,
) -> Result<u64, StoreError> {
    let quorum = write_quorum(db).await?;
    PLACE
        .execute(
            db,
            chunks,
            |query| query.bind(vault.to_bytes().to_vec()).bind(now),
            |query, placed| {
                query
                    .bind(placed.chunk.to_bytes().to_vec())
                    .bind(placed.node.to_bytes().to_vec())
                    .bind(i64::from(placed.len_bytes))
            },
        )
        .await?;
    let chunks: BTreeSet<ChunkId> = chunks.iter().map(|placed| placed.chunk).collect();
    let chunks: Vec<ChunkId> = chunks.into_iter().collect();
    let placed: Vec<ChunkId> = placed(db, vault, &chunks, quorum).await?.into_iter().collect();
    release(db, vault, &placed).await
}

/// Takes placed chunks off every version that waits for them.
async fn release(db: &mut SqliteConnection, vault: VaultId, chunks: &[ChunkId]) -> Result<u64, StoreError> {
    let waiting: Vec<(Vec<u8>,)> = RELEASE
        .fetch(
            db,
            chunks,
            |query| query.bind(vault.to_bytes().to_vec()),
            |query, chunk| query.bind(chunk.to_bytes().to_vec()),
        )
        .await?;
    let mut gone: BTreeMap<VersionHash, i64> = BTreeMap::new();
    for (version,) in &waiting {
        *gone.entry(VersionHash::from_bytes(array(version, "version hash")?)).or_default() += 1;
    }
    let gone: Vec<(VersionHash, i64)> = gone.into_iter().collect();
    let missing: Vec<(i64,)> = LESS_MISSING
        .fetch(
            db,
            &gone,
            |query| query.bind(vault.to_bytes().to_vec()),
            |query, (version, chunks)| query.bind(version.to_bytes().to_vec()).bind(*chunks),
        )
        .await?;
    Ok(missing.iter().filter(|(missing,)| *missing == 0).count() as u64)
}
