//! Which versions wait for chunks, and how receipts place them.
//!
//! A version is placed when every chunk it reaches through its references has receipts from as
//! many nodes as the newest layout's write quorum says. What is missing is written down when the
//! version arrives (one `pending` row for each chunk) and worked off as receipts come, so nothing
//! is ever counted twice or searched for. Receipts may come before their version.

use super::convert::split_ids;
use crate::db::StoreError;
use crate::db::rows::PlacedChunk;
use crate::limits::VERSION_CHUNKS_MAX;
use freehold_api::bulk::PushVersion;
use freehold_model::{ChunkId, VaultId};
use sqlx::SqliteConnection;
use std::collections::BTreeSet;

/// Notes the chunks that a new version still waits for.
pub(super) async fn await_chunks(
    db: &mut SqliteConnection,
    vault: VaultId,
    version: &PushVersion,
) -> Result<(), StoreError> {
    let quorum = write_quorum(db).await?;
    let mut missing: i64 = 0;
    for chunk in reachable(db, vault, &version.refs).await? {
        if copies(db, vault, chunk).await? >= quorum {
            continue;
        }
        missing += 1;
        sqlx::query("INSERT INTO pending (vault_id, chunk_id, version) VALUES ($1, $2, $3)")
            .bind(vault.to_bytes().to_vec())
            .bind(chunk.to_bytes().to_vec())
            .bind(version.hash.to_bytes().to_vec())
            .execute(&mut *db)
            .await?;
    }
    sqlx::query("UPDATE version SET missing = $1 WHERE vault_id = $2 AND hash = $3")
        .bind(missing)
        .bind(vault.to_bytes().to_vec())
        .bind(version.hash.to_bytes().to_vec())
        .execute(db)
        .await?;
    Ok(())
}

/// Every chunk reachable from the roots, roots included. A loop in a hostile list ends by itself,
/// because no chunk is followed twice.
async fn reachable(
    db: &mut SqliteConnection,
    vault: VaultId,
    roots: &[ChunkId],
) -> Result<BTreeSet<ChunkId>, StoreError> {
    let mut seen: BTreeSet<ChunkId> = roots.iter().copied().collect();
    let mut open: Vec<ChunkId> = seen.iter().copied().collect();
    while let Some(chunk) = open.pop() {
        let row: Option<(Vec<u8>,)> =
            sqlx::query_as("SELECT ids FROM chunk_ref WHERE vault_id = $1 AND owner = $2")
                .bind(vault.to_bytes().to_vec())
                .bind(chunk.to_bytes().to_vec())
                .fetch_optional(&mut *db)
                .await?;
        let Some((ids,)) = row else { continue };
        open.extend(split_ids(&ids)?.into_iter().filter(|id| seen.insert(*id)));
        if seen.len() > VERSION_CHUNKS_MAX {
            return Err(StoreError::OverLimit("a version refers to more chunks than a file can have"));
        }
    }
    Ok(seen)
}

/// Receipts that make a chunk placed, by the newest layout; 1 while there is none.
async fn write_quorum(db: &mut SqliteConnection) -> Result<i64, StoreError> {
    let row: Option<(i64,)> = sqlx::query_as("SELECT write_quorum FROM layout ORDER BY epoch DESC LIMIT 1")
        .fetch_optional(db)
        .await?;
    Ok(row.map_or(1, |(quorum,)| quorum))
}

async fn copies(db: &mut SqliteConnection, vault: VaultId, chunk: ChunkId) -> Result<i64, StoreError> {
    let row: (i64,) = sqlx::query_as("SELECT count(*) FROM placement WHERE vault_id = $1 AND chunk_id = $2")
        .bind(vault.to_bytes().to_vec())
        .bind(chunk.to_bytes().to_vec())
        .fetch_one(db)
        .await?;
    Ok(row.0)
}

/// Books receipts; the number of versions that became placed.
pub(super) async fn book(
    db: &mut SqliteConnection,
    vault: VaultId,
    chunks: &[PlacedChunk],
    now: i64,
) -> Result<u64, StoreError> {
    let quorum = write_quorum(db).await?;
    let mut placed = 0;
    for placement in chunks {
        insert(db, vault, placement, now).await?;
        if copies(db, vault, placement.chunk).await? >= quorum {
            placed += release(db, vault, placement.chunk).await?;
        }
    }
    Ok(placed)
}

async fn insert(
    db: &mut SqliteConnection,
    vault: VaultId,
    placement: &PlacedChunk,
    now: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO placement (vault_id, chunk_id, node_id, len_bytes, created)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (vault_id, chunk_id, node_id) DO NOTHING",
    )
    .bind(vault.to_bytes().to_vec())
    .bind(placement.chunk.to_bytes().to_vec())
    .bind(placement.node.to_bytes().to_vec())
    .bind(i64::from(placement.len_bytes))
    .bind(now)
    .execute(db)
    .await?;
    Ok(())
}

/// Takes a placed chunk off every version that waits for it.
async fn release(db: &mut SqliteConnection, vault: VaultId, chunk: ChunkId) -> Result<u64, StoreError> {
    let waiting: Vec<(Vec<u8>,)> =
        sqlx::query_as("DELETE FROM pending WHERE vault_id = $1 AND chunk_id = $2 RETURNING version")
            .bind(vault.to_bytes().to_vec())
            .bind(chunk.to_bytes().to_vec())
            .fetch_all(&mut *db)
            .await?;
    let mut placed = 0;
    for (version,) in waiting {
        let row: (i64,) = sqlx::query_as(
            "UPDATE version SET missing = missing - 1 WHERE vault_id = $1 AND hash = $2 RETURNING missing",
        )
        .bind(vault.to_bytes().to_vec())
        .bind(version)
        .fetch_one(&mut *db)
        .await?;
        placed += u64::from(row.0 == 0);
    }
    Ok(placed)
}
