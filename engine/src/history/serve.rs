//! Reading: commits after a place, versions by hash, what the server has not numbered.

use super::keep::signed;
use super::{ChainPlace, History, HistoryError, ManifestList};
use freehold_api::bulk::{ManifestRefs, PushCommit, PushVersion};
use freehold_api::device_peer::After;
use freehold_model::{ChunkId, CommitHash, DeviceId, RecordId, VersionHash};
use freehold_trust::commit::Commit;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A commit the server has not numbered, with what must travel with it.
#[derive(Clone, Debug)]
pub(crate) struct Unnumbered {
    pub(crate) place: ChainPlace,
    pub(crate) push: PushCommit,
}

impl History {
    /// The hash of a commit once verified at a place.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn hash_at(&self, place: &ChainPlace) -> Result<Option<CommitHash>, HistoryError> {
        let db = self.db.lock();
        let mut query = db.prepare_cached(
            "SELECT hash FROM kept_commit WHERE device = ?1 AND incarnation = ?2 AND seq = ?3",
        )?;
        let found = query
            .query_row(params![place.device.as_bytes(), place.incarnation, signed(place.seq)], |row| {
                array(row, 0).map(CommitHash::from_bytes)
            })
            .optional()?;
        Ok(found)
    }

    /// Commits of the chains named, after the place given for each, up to a number and bytes of them;
    /// and whether more would follow. A chain whose next commit is gone is left out.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn commits_after(
        &self,
        after: &[After],
        max_count: usize,
        max_bytes: usize,
    ) -> Result<(Vec<Vec<u8>>, bool), HistoryError> {
        let db = self.db.lock();
        let (mut found, mut bytes) = (Vec::new(), 0_usize);
        for chain in after {
            let mut query = db.prepare_cached(
                "SELECT bytes FROM kept_commit WHERE device = ?1 AND (incarnation, seq) > (?2, ?3)
                 ORDER BY incarnation, seq LIMIT ?4",
            )?;
            let limit = i64::try_from(max_count.saturating_add(1)).unwrap_or(i64::MAX);
            let mut rows =
                query.query(params![chain.device.as_bytes(), chain.incarnation, signed(chain.seq), limit])?;
            while let Some(row) = rows.next()? {
                let Some(commit) = row.get::<_, Option<Vec<u8>>>(0)? else { break };
                let is_full = found.len() >= max_count || bytes.saturating_add(commit.len()) > max_bytes;
                if is_full && !found.is_empty() {
                    return Ok((found, true));
                }
                bytes = bytes.saturating_add(commit.len());
                found.push(commit);
            }
        }
        Ok((found, false))
    }

    /// The kept version of a hash.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn version(&self, hash: &VersionHash) -> Result<Option<PushVersion>, HistoryError> {
        version(&self.db.lock(), hash)
    }

    /// Devices with commits that the server has not numbered.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn unnumbered_devices(&self) -> Result<Vec<DeviceId>, HistoryError> {
        let db = self.db.lock();
        let mut query = db.prepare_cached(
            "SELECT DISTINCT device FROM kept_commit WHERE numbered = 0 AND bytes IS NOT NULL ORDER BY device",
        )?;
        let mut rows = query.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(DeviceId::from_bytes(array(row, 0)?));
        }
        Ok(found)
    }

    /// Commits of a device that the server has not numbered, in the order of its chain, with every
    /// version that is kept of them; at most `max`, and no further once they have so many bytes.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn unnumbered(
        &self,
        device: &DeviceId,
        max: usize,
        max_bytes: usize,
    ) -> Result<Vec<Unnumbered>, HistoryError> {
        let db = self.db.lock();
        let mut query = db.prepare_cached(
            "SELECT device, incarnation, seq, bytes FROM kept_commit
             WHERE numbered = 0 AND bytes IS NOT NULL AND device = ?1 ORDER BY incarnation, seq LIMIT ?2",
        )?;
        let mut rows = query.query(params![device.as_bytes(), i64::try_from(max).unwrap_or(i64::MAX)])?;
        let (mut found, mut bytes_found) = (Vec::new(), 0_usize);
        while let Some(row) = rows.next()? {
            if bytes_found > max_bytes {
                break;
            }
            let place = ChainPlace {
                device: DeviceId::from_bytes(array(row, 0)?),
                incarnation: row.get(1)?,
                seq: u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default(),
            };
            let bytes: Vec<u8> = row.get(3)?;
            let commit = Commit::from_bytes(&bytes).map_err(|_| HistoryError::Damaged)?;
            let mut push = PushCommit { commit: bytes, versions: Vec::new(), manifests: Vec::new() };
            for entry in commit.entries() {
                push.versions.extend(version(&db, &entry.version)?);
            }
            push.manifests = reachable(&db, &push.versions)?;
            bytes_found = bytes_found.saturating_add(push.size_bytes());
            found.push(Unnumbered { place, push });
        }
        Ok(found)
    }
}

/// Every kept list below the roots that versions name.
fn reachable(db: &Connection, versions: &[PushVersion]) -> Result<Vec<ManifestRefs>, HistoryError> {
    let mut open: Vec<ChunkId> = versions.iter().flat_map(|version| version.refs.iter().copied()).collect();
    let mut found: Vec<ManifestRefs> = Vec::new();
    while !open.is_empty() {
        let next = lists(db, &open)?;
        open.clear();
        for (node, ids) in next {
            if found.iter().all(|list| list.node != node) {
                open.extend(ids.iter().copied());
                found.push(ManifestRefs { node, ids });
            }
        }
    }
    Ok(found)
}

fn lists(db: &Connection, nodes: &[ChunkId]) -> Result<Vec<ManifestList>, HistoryError> {
    let mut query = db.prepare_cached("SELECT ids FROM kept_manifest WHERE node = ?1")?;
    let mut found = Vec::new();
    for node in nodes {
        let ids: Option<Vec<u8>> = query.query_row([node.as_bytes()], |row| row.get(0)).optional()?;
        if let Some(ids) = ids {
            found.push((*node, split(&ids)?));
        }
    }
    Ok(found)
}

fn version(db: &Connection, hash: &VersionHash) -> Result<Option<PushVersion>, HistoryError> {
    let mut query = db.prepare_cached("SELECT record, ciphertext, refs FROM kept_version WHERE hash = ?1")?;
    let found = query
        .query_row([hash.as_bytes()], |row| {
            Ok((array::<16>(row, 0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?))
        })
        .optional()?;
    let Some((record, ciphertext, refs)) = found else { return Ok(None) };
    let record = RecordId::from_bytes(record);
    Ok(Some(PushVersion { record, hash: *hash, ciphertext, refs: split(&refs)? }))
}

fn split(ids: &[u8]) -> Result<Vec<ChunkId>, HistoryError> {
    let (ids, rest) = ids.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(HistoryError::Damaged);
    }
    Ok(ids.iter().copied().map(ChunkId::from_bytes).collect())
}

fn array<const N: usize>(row: &Row<'_>, column: usize) -> Result<[u8; N], rusqlite::Error> {
    let bytes: Vec<u8> = row.get(column)?;
    let size = bytes.len();
    bytes.try_into().map_err(|_| FromSqlError::InvalidBlobSize { expected_size: N, blob_size: size }.into())
}
