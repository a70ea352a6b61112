//! Which chunks versions reach through the reference lists, loaded level by level for many
//! versions at once.

use super::batch::{Batch, Column};
use super::convert::{array, split_ids};
use super::query::Connection;
use crate::db::StoreError;
use crate::limits::{GROUP_CHUNKS_MAX, VERSION_CHUNKS_MAX};
use freehold_api::bulk::PushVersion;
use freehold_model::{ChunkId, VaultId};
use std::collections::{BTreeMap, BTreeSet};

const CHILDREN: Batch = Batch {
    text: "SELECT owner, ids FROM chunk_ref WHERE vault_id = $1 AND owner IN (SELECT owner FROM item)",
    columns: &[Column::Bytes("owner")],
};

/// The reference lists below some versions. A chunk without one has an empty list.
pub(super) struct Reach(BTreeMap<ChunkId, Vec<ChunkId>>);

impl Reach {
    /// Loads what as many of the first versions reach as memory allows; at least one.
    pub(super) async fn load(
        db: &mut impl Connection,
        vault: VaultId,
        versions: &[&PushVersion],
    ) -> Result<(Self, usize), StoreError> {
        let mut taken = versions.len();
        loop {
            let max = if taken > 1 { GROUP_CHUNKS_MAX } else { VERSION_CHUNKS_MAX };
            if let Some(reach) =
                Self::within(db, vault, versions.get(..taken).unwrap_or(versions), max).await?
            {
                return Ok((reach, taken));
            }
            if taken <= 1 {
                return Err(StoreError::OverLimit("a version refers to more chunks than a file can have"));
            }
            taken /= 2;
        }
    }

    /// Nothing when they reach more than `max` chunks. A loop in a hostile list ends by itself,
    /// because no chunk is followed twice.
    async fn within(
        db: &mut impl Connection,
        vault: VaultId,
        versions: &[&PushVersion],
        max: usize,
    ) -> Result<Option<Self>, StoreError> {
        let mut lists: BTreeMap<ChunkId, Vec<ChunkId>> = BTreeMap::new();
        let mut open: BTreeSet<ChunkId> =
            versions.iter().flat_map(|version| &version.refs).copied().collect();
        while !open.is_empty() {
            let level: Vec<ChunkId> = open.iter().copied().collect();
            lists.extend(level.iter().map(|chunk| (*chunk, Vec::new())));
            if lists.len() > max {
                return Ok(None);
            }
            open.clear();
            let rows: Vec<(Vec<u8>, Vec<u8>)> = CHILDREN
                .fetch(db, &level, &[vault.as_bytes().into()], |chunk| [chunk.as_bytes().into()])
                .await?;
            for (owner, ids) in rows {
                let ids = split_ids(&ids)?;
                open.extend(ids.iter().filter(|id| !lists.contains_key(id)));
                lists.insert(ChunkId::from_bytes(array(&owner, "chunk id")?), ids);
            }
        }
        Ok(Some(Self(lists)))
    }

    /// Every chunk that was reached.
    pub(super) fn chunks(&self) -> Vec<ChunkId> {
        self.0.keys().copied().collect()
    }

    /// Every chunk reachable from the roots, roots included.
    pub(super) fn from(&self, roots: &[ChunkId]) -> BTreeSet<ChunkId> {
        let mut seen: BTreeSet<ChunkId> = roots.iter().copied().collect();
        let mut open: Vec<ChunkId> = seen.iter().copied().collect();
        while let Some(chunk) = open.pop() {
            let below = self.0.get(&chunk).map(Vec::as_slice).unwrap_or_default();
            open.extend(below.iter().copied().filter(|id| seen.insert(*id)));
        }
        seen
    }
}
