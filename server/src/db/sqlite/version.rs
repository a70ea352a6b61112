//! What a numbered commit brings: versions, reference lists, and which versions it replaces.

use super::batch::Batch;
use super::convert::{array, join_ids, signed};
use super::placement;
use crate::db::StoreError;
use freehold_api::bulk::{ManifestRefs, PushVersion};
use freehold_model::{DeviceId, RecordId, VaultId, VersionHash};
use freehold_trust::commit::CommitEntry;
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, BTreeSet};

const STORED: Batch = Batch {
    head: "SELECT hash, record_id FROM version WHERE vault_id = $1 AND hash IN (",
    row: "@",
    tail: ")",
    shared: 1,
};

/// The first list of an owner stays: ids are hashes, so an honest list never changes.
const INSERT_REFS: Batch = Batch {
    head: "INSERT INTO chunk_ref (vault_id, owner, ids) VALUES ",
    row: "($1, @, @)",
    tail: " ON CONFLICT (vault_id, owner) DO NOTHING",
    shared: 1,
};

const REPLACED: Batch = Batch {
    head: "SELECT DISTINCT hash FROM superseded WHERE vault_id = $1 AND hash IN (",
    row: "@",
    tail: ")",
    shared: 1,
};

const INSERT: Batch = Batch {
    head: "INSERT INTO version
             (vault_id, vault_seq, device_id, hash, record_id, ciphertext, head, missing) VALUES ",
    row: "($1, $2, $3, @, @, @, @, @)",
    tail: "",
    shared: 3,
};

const SUPERSEDE: Batch = Batch {
    head: "INSERT INTO superseded (vault_id, hash, by_hash) VALUES ",
    row: "($1, @, @)",
    tail: " ON CONFLICT (vault_id, hash, by_hash) DO NOTHING",
    shared: 1,
};

const NO_HEAD: Batch = Batch {
    head: "UPDATE version SET head = $2 WHERE vault_id = $1 AND hash IN (",
    row: "@",
    tail: ")",
    shared: 2,
};

/// Stored versions and their records.
pub(super) type Stored = BTreeMap<VersionHash, RecordId>;

/// Those of the entries' versions that are stored.
pub(super) async fn stored(
    db: &mut SqliteConnection,
    vault: VaultId,
    entries: &[CommitEntry],
) -> Result<Stored, StoreError> {
    let rows: Vec<(Vec<u8>, Vec<u8>)> = STORED
        .fetch(
            db,
            entries,
            |query| query.bind(vault.to_bytes().to_vec()),
            |query, entry| query.bind(entry.version.to_bytes().to_vec()),
        )
        .await?;
    let one = |(hash, record): &(Vec<u8>, Vec<u8>)| {
        let hash = VersionHash::from_bytes(array(hash, "version hash")?);
        Ok((hash, RecordId::from_bytes(array(record, "record id")?)))
    };
    rows.iter().map(one).collect()
}

/// Stores reference lists of manifest nodes.
pub(super) async fn insert_manifests(
    db: &mut SqliteConnection,
    vault: VaultId,
    manifests: &[ManifestRefs],
) -> Result<(), StoreError> {
    INSERT_REFS
        .execute(
            db,
            manifests,
            |query| query.bind(vault.to_bytes().to_vec()),
            |query, manifest| query.bind(manifest.node.to_bytes().to_vec()).bind(join_ids(&manifest.ids)),
        )
        .await
}

/// Stores versions that are not stored yet, with what they refer to and wait for.
pub(super) async fn insert(
    db: &mut SqliteConnection,
    vault: VaultId,
    vault_seq: u64,
    device: DeviceId,
    versions: &[&PushVersion],
) -> Result<(), StoreError> {
    let with_refs: Vec<&PushVersion> =
        versions.iter().copied().filter(|version| !version.refs.is_empty()).collect();
    INSERT_REFS
        .execute(
            db,
            &with_refs,
            |query| query.bind(vault.to_bytes().to_vec()),
            |query, version| query.bind(version.hash.to_bytes().to_vec()).bind(join_ids(&version.refs)),
        )
        .await?;
    let missing = placement::await_chunks(db, vault, versions).await?;
    let replaced = replaced(db, vault, versions).await?;
    let rows: Vec<(&PushVersion, i64)> = versions.iter().copied().zip(missing).collect();
    INSERT
        .execute(
            db,
            &rows,
            |query| {
                query.bind(vault.to_bytes().to_vec()).bind(signed(vault_seq)).bind(device.to_bytes().to_vec())
            },
            |query, (version, missing)| {
                query
                    .bind(version.hash.to_bytes().to_vec())
                    .bind(version.record.to_bytes().to_vec())
                    .bind(version.ciphertext.clone())
                    .bind(!replaced.contains(&version.hash))
                    .bind(*missing)
            },
        )
        .await
}

/// Those of the versions that a version which came before them replaces.
async fn replaced(
    db: &mut SqliteConnection,
    vault: VaultId,
    versions: &[&PushVersion],
) -> Result<BTreeSet<VersionHash>, StoreError> {
    let rows: Vec<(Vec<u8>,)> = REPLACED
        .fetch(
            db,
            versions,
            |query| query.bind(vault.to_bytes().to_vec()),
            |query, version| query.bind(version.hash.to_bytes().to_vec()),
        )
        .await?;
    rows.iter().map(|(hash,)| array(hash, "version hash").map(VersionHash::from_bytes)).collect()
}

/// Notes what the entries replace, also what has not arrived yet.
pub(super) async fn supersede(
    db: &mut SqliteConnection,
    vault: VaultId,
    entries: &[CommitEntry],
) -> Result<(), StoreError> {
    let pairs = |entry: &CommitEntry| {
        let by = entry.version;
        entry.supersedes.iter().map(move |old| (*old, by)).collect::<Vec<_>>()
    };
    let pairs: Vec<(VersionHash, VersionHash)> = entries.iter().flat_map(pairs).collect();
    SUPERSEDE
        .execute(
            db,
            &pairs,
            |query| query.bind(vault.to_bytes().to_vec()),
            |query, (old, by)| query.bind(old.to_bytes().to_vec()).bind(by.to_bytes().to_vec()),
        )
        .await?;
    NO_HEAD
        .execute(
            db,
            &pairs,
            |query| query.bind(vault.to_bytes().to_vec()).bind(false),
            |query, (old, _)| query.bind(old.to_bytes().to_vec()),
        )
        .await
}
