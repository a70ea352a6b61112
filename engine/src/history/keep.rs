//! Writing: what was verified is kept, in one transaction a step.

use super::{ChainPlace, History, HistoryError, Keep, ManifestList};
use freehold_model::{ChunkId, DeviceId};
use rusqlite::{Connection, Transaction, params};
use std::sync::atomic::Ordering;

/// Bytes kept between two looks at the caps.
const TRIM_EVERY_BYTES: usize = 16 * 1024 * 1024;

/// How much is kept for other devices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    /// Signed commits.
    pub(crate) commit_bytes: i64,
    /// Sealed versions.
    pub(crate) version_bytes: i64,
    /// Lists of what manifest nodes name.
    pub(crate) list_bytes: i64,
}

impl History {
    /// Keeps commits and versions; repeating it changes nothing.
    ///
    /// # Errors
    /// `Disk`: nothing of it was kept.
    pub(crate) fn keep(&self, keep: &Keep, manifests: &[ManifestList]) -> Result<(), HistoryError> {
        let mut db = self.db.lock();
        let step = db.transaction()?;
        if keep.forget_numbers {
            step.execute("UPDATE kept_commit SET numbered = 0 WHERE bytes IS NOT NULL", [])?;
        }
        put_commits(&step, keep)?;
        put_versions(&step, keep)?;
        for (node, ids) in manifests {
            step.prepare_cached("INSERT OR IGNORE INTO kept_manifest (node, ids) VALUES (?1, ?2)")?
                .execute(params![node.as_bytes(), join(ids)])?;
        }
        for place in &keep.numbered {
            step.prepare_cached(
                "UPDATE kept_commit SET numbered = 1 WHERE device = ?1 AND incarnation = ?2 AND seq = ?3",
            )?
            .execute(params![place.device.as_bytes(), place.incarnation, signed(place.seq)])?;
        }
        step.commit()?;
        let commits = keep.commits.iter().map(|commit| commit.bytes.len());
        let versions = keep.versions.iter().map(|version| version.ciphertext.len());
        let lists = manifests.iter().map(|(_, ids)| ids.len() * ChunkId::LEN);
        let bytes: usize = commits.chain(versions).chain(lists).sum();
        self.untrimmed_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// The server has a device's chain only up to a place: what follows does not count as numbered.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn lost_after(
        &self,
        device: &DeviceId,
        incarnation: u32,
        seq: u64,
    ) -> Result<(), HistoryError> {
        self.db.lock().execute(
            "UPDATE kept_commit SET numbered = 0
             WHERE device = ?1 AND (incarnation, seq) > (?2, ?3) AND bytes IS NOT NULL",
            params![device.as_bytes(), incarnation, signed(seq)],
        )?;
        Ok(())
    }

    /// Forgets a device's commits that the server never numbered: their writes go out again under
    /// another life, and at their places others may stand.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn forget_unnumbered(&self, device: &DeviceId) -> Result<(), HistoryError> {
        self.db
            .lock()
            .execute("DELETE FROM kept_commit WHERE device = ?1 AND numbered = 0", [device.as_bytes()])?;
        Ok(())
    }

    /// Drops the oldest bytes over the caps. What the server has not numbered always stays, and so does
    /// the newest commit of every device: it is what proves to that device how far it had come.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn trim(&self, caps: Caps) -> Result<(), HistoryError> {
        let Caps { commit_bytes, version_bytes, list_bytes } = caps;
        let db = self.db.lock();
        let over = total(&db, "SELECT coalesce(sum(length(bytes)), 0) FROM kept_commit")?
            .saturating_sub(commit_bytes);
        if over > 0 {
            // Within a chain the oldest go first, so that what is left of it can still be followed.
            db.execute(
                "UPDATE kept_commit SET bytes = NULL WHERE numbered = 1
                 AND EXISTS (SELECT 1 FROM kept_commit later WHERE later.device = kept_commit.device
                             AND (later.incarnation, later.seq) > (kept_commit.incarnation, kept_commit.seq))
                 AND (device, incarnation, seq) IN
                    (SELECT device, incarnation, seq FROM
                        (SELECT device, incarnation, seq,
                                sum(length(bytes)) OVER (ORDER BY incarnation, seq, device) AS upto
                         FROM kept_commit WHERE bytes IS NOT NULL)
                     WHERE upto <= ?1)",
                params![over],
            )?;
        }
        drop_oldest(&db, "kept_version", "ciphertext", version_bytes)?;
        drop_oldest(&db, "kept_manifest", "ids", list_bytes)
    }

    /// As [`Self::trim`], once enough was kept since the last time: it looks at every row.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn trim_now_and_then(&self, caps: Caps) -> Result<(), HistoryError> {
        if self.untrimmed_bytes.load(Ordering::Relaxed) < TRIM_EVERY_BYTES {
            return Ok(());
        }
        self.untrimmed_bytes.store(0, Ordering::Relaxed);
        self.trim(caps)
    }
}

fn put_commits(step: &Transaction<'_>, keep: &Keep) -> Result<(), HistoryError> {
    for commit in &keep.commits {
        let ChainPlace { device, incarnation, seq } = commit.place;
        step.prepare_cached(
            "INSERT INTO kept_commit (device, incarnation, seq, hash, bytes, numbered)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (device, incarnation, seq) DO UPDATE SET
                bytes = coalesce(kept_commit.bytes, excluded.bytes),
                numbered = max(kept_commit.numbered, excluded.numbered)",
        )?
        .execute(params![
            device.as_bytes(),
            incarnation,
            signed(seq),
            commit.hash.as_bytes(),
            commit.bytes,
            commit.numbered
        ])?;
    }
    Ok(())
}

fn put_versions(step: &Transaction<'_>, keep: &Keep) -> Result<(), HistoryError> {
    for version in &keep.versions {
        step.prepare_cached(
            "INSERT OR IGNORE INTO kept_version (hash, record, ciphertext, refs) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            version.hash.as_bytes(),
            version.record.as_bytes(),
            version.ciphertext,
            join(&version.refs)
        ])?;
    }
    Ok(())
}

/// Deletes the oldest rows of a table while a column of it holds more bytes than it may.
fn drop_oldest(db: &Connection, table: &str, column: &str, max_bytes: i64) -> Result<(), HistoryError> {
    let over = total(db, &format!("SELECT coalesce(sum(length({column})), 0) FROM {table}"))?;
    let over = over.saturating_sub(max_bytes);
    if over > 0 {
        db.execute(
            &format!(
                "DELETE FROM {table} WHERE id IN
                    (SELECT id FROM (SELECT id, sum(length({column})) OVER (ORDER BY id) AS upto
                                     FROM {table}) WHERE upto <= ?1)"
            ),
            params![over],
        )?;
    }
    Ok(())
}

fn total(db: &Connection, query: &str) -> Result<i64, HistoryError> {
    Ok(db.query_row(query, [], |row| row.get(0))?)
}

fn join(ids: &[ChunkId]) -> Vec<u8> {
    ids.iter().flat_map(|id| *id.as_bytes()).collect()
}

/// Chain places are far below 2^63; a hostile one is at the end of its chain either way.
pub(super) fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
