//! What a numbered commit brings: versions, reference lists, and which versions it replaces.

use super::batch::{Batch, Column};
use super::convert::{array, join_ids, signed};
use super::placement;
use super::query::Connection;
use crate::db::StoreError;
use freehold_api::bulk::{ManifestRefs, PushVersion};
use freehold_model::{DeviceId, RecordId, VaultId, VersionHash};
use freehold_trust::commit::CommitEntry;
use std::collections::{BTreeMap, BTreeSet};

const STORED: Batch = Batch {
    text: "SELECT hash, record_id FROM version WHERE vault_id = $1 AND hash IN (SELECT hash FROM item)",
    columns: &[Column::Bytes("hash")],
};

/// The first list of an owner stays: ids are hashes, so an honest list never changes.
const INSERT_REFS: Batch = Batch {
    text: "INSERT INTO chunk_ref (vault_id, owner, ids) SELECT $1, owner, ids FROM item WHERE true
           ON CONFLICT (vault_id, owner) DO NOTHING",
    columns: &[Column::Bytes("owner"), Column::Bytes("ids")],
};

const LISTS: Batch = Batch {
    text: "SELECT owner, ids FROM chunk_ref WHERE vault_id = $1 AND owner IN (SELECT owner FROM item)",
    columns: &[Column::Bytes("owner")],
};

const REPLACED: Batch = Batch {
    text: "SELECT DISTINCT hash FROM superseded WHERE vault_id = $1 AND hash IN (SELECT hash FROM item)",
    columns: &[Column::Bytes("hash")],
};

const INSERT: Batch = Batch {
    text: "INSERT INTO version
             (vault_id, vault_seq, device_id, hash, record_id, ciphertext, head, missing)
           SELECT $1, $2, $3, hash, record_id, ciphertext, head, missing FROM item",
    columns: &[
        Column::Bytes("hash"),
        Column::Bytes("record_id"),
        Column::Bytes("ciphertext"),
        Column::Number("head"),
        Column::Number("missing"),
    ],
};

const SUPERSEDE: Batch = Batch {
    text: "INSERT INTO superseded (vault_id, hash, by_hash) SELECT $1, hash, by_hash FROM item WHERE true
           ON CONFLICT (vault_id, hash, by_hash) DO NOTHING",
    columns: &[Column::Bytes("hash"), Column::Bytes("by_hash")],
};

const NO_HEAD: Batch = Batch {
    text: "UPDATE version SET head = 0 WHERE vault_id = $1 AND hash IN (SELECT hash FROM item)",
    columns: &[Column::Bytes("hash")],
};

/// Stored versions and their records.
pub(super) type Stored = BTreeMap<VersionHash, RecordId>;

/// Those of the entries' versions that are stored.
pub(super) async fn stored(
    db: &mut impl Connection,
    vault: VaultId,
    entries: &[CommitEntry],
) -> Result<Stored, StoreError> {
    let rows: Vec<(Vec<u8>, Vec<u8>)> = STORED
        .fetch(db, entries, &[vault.as_bytes().into()], |entry| [entry.version.as_bytes().into()])
        .await?;
    let one = |(hash, record): &(Vec<u8>, Vec<u8>)| {
        let hash = VersionHash::from_bytes(array(hash, "version hash")?);
        Ok((hash, RecordId::from_bytes(array(record, "record id")?)))
    };
    rows.iter().map(one).collect()
}

/// Stores reference lists of manifest nodes.
pub(super) async fn insert_manifests(
    db: &mut impl Connection,
    vault: VaultId,
    manifests: &[ManifestRefs],
) -> Result<(), StoreError> {
    INSERT_REFS
        .execute(db, manifests, &[vault.as_bytes().into()], |manifest| {
            [manifest.node.as_bytes().into(), join_ids(&manifest.ids).into()]
        })
        .await?;
    Ok(())
}

/// Stores versions that are not stored yet, with what they refer to and wait for.
pub(super) async fn insert(
    db: &mut impl Connection,
    vault: VaultId,
    vault_seq: u64,
    device: DeviceId,
    versions: &[&PushVersion],
) -> Result<(), StoreError> {
    insert_refs(db, vault, versions).await?;
    let missing = placement::await_chunks(db, vault, versions).await?;
    let replaced = replaced(db, vault, versions).await?;
    let rows: Vec<(&PushVersion, i64)> = versions.iter().copied().zip(missing).collect();
    let shared = [vault.as_bytes().into(), signed(vault_seq).into(), device.as_bytes().into()];
    INSERT
        .execute(db, &rows, &shared, |(version, missing)| {
            [
                version.hash.as_bytes().into(),
                version.record.as_bytes().into(),
                version.ciphertext.as_slice().into(),
                (!replaced.contains(&version.hash)).into(),
                (*missing).into(),
            ]
        })
        .await?;
    Ok(())
}

/// Takes in what a repeated commit brings of versions that are stored: lists that were lacking, and
/// the chunks to wait for because of them.
pub(super) async fn complete(
    db: &mut impl Connection,
    vault: VaultId,
    versions: &[&PushVersion],
) -> Result<(), StoreError> {
    insert_refs(db, vault, versions).await?;
    let owners: Vec<&VersionHash> = versions.iter().map(|version| &version.hash).collect();
    let rows: Vec<(Vec<u8>, Vec<u8>)> =
        LISTS.fetch(db, &owners, &[vault.as_bytes().into()], |owner| [owner.as_bytes().into()]).await?;
    let lists: BTreeMap<Vec<u8>, Vec<u8>> = rows.into_iter().collect();
    // Another list than the one that stays changes nothing.
    let is_stored = |version: &&PushVersion| {
        lists.get(version.hash.as_bytes().as_slice()).is_some_and(|ids| *ids == join_ids(&version.refs))
    };
    let versions: Vec<&PushVersion> = versions.iter().copied().filter(is_stored).collect();
    placement::await_more(db, vault, &versions).await
}

async fn insert_refs(
    db: &mut impl Connection,
    vault: VaultId,
    versions: &[&PushVersion],
) -> Result<(), StoreError> {
    let with_refs: Vec<&PushVersion> =
        versions.iter().copied().filter(|version| !version.refs.is_empty()).collect();
    INSERT_REFS
        .execute(db, &with_refs, &[vault.as_bytes().into()], |version| {
            [version.hash.as_bytes().into(), join_ids(&version.refs).into()]
        })
        .await?;
    Ok(())
}

/// Those of the versions that a version which came before them replaces.
async fn replaced(
    db: &mut impl Connection,
    vault: VaultId,
    versions: &[&PushVersion],
) -> Result<BTreeSet<VersionHash>, StoreError> {
    let rows: Vec<(Vec<u8>,)> = REPLACED
        .fetch(db, versions, &[vault.as_bytes().into()], |version| [version.hash.as_bytes().into()])
        .await?;
    rows.iter().map(|(hash,)| array(hash, "version hash").map(VersionHash::from_bytes)).collect()
}

/// Notes what the entries replace, also what has not arrived yet.
pub(super) async fn supersede(
    db: &mut impl Connection,
    vault: VaultId,
    entries: &[CommitEntry],
) -> Result<(), StoreError> {
    let pairs = |entry: &CommitEntry| {
        let by = entry.version;
        entry.supersedes.iter().map(move |old| (*old, by)).collect::<Vec<_>>()
    };
    let pairs: Vec<(VersionHash, VersionHash)> = entries.iter().flat_map(pairs).collect();
    SUPERSEDE
        .execute(db, &pairs, &[vault.as_bytes().into()], |(old, by)| {
            [old.as_bytes().into(), by.as_bytes().into()]
        })
        .await?;
    NO_HEAD.execute(db, &pairs, &[vault.as_bytes().into()], |(old, _)| [old.as_bytes().into()]).await?;
    Ok(())
}
