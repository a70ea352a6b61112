//! Numbering commits: chain rule, versions, heads, references, what is not placed yet.
//!
//! All under the write transaction, so the number taken from the vault's row is visible exactly
//! when its commit is.

use super::convert::{array, signed, small, unsigned};
use super::query::{Connection, Lock, query};
use super::version::{self, Stored};
use super::{log, vault};
use crate::db::StoreError;
use crate::db::judge::{ChainFacts, judge_chain};
use crate::db::rows::{CommitOutcome, CommitRow};
use freehold_api::bulk::PushVersion;
use freehold_api::{Blob, ChainHead, ChainState, ErrorCode};
use freehold_model::{CommitHash, DeviceId, VaultId, VersionHash};
use freehold_trust::commit::{CommitEntry, CommitHeader, SignedHead};
use std::collections::BTreeMap;

pub(super) async fn append_all(
    db: &mut impl Connection,
    vault: VaultId,
    log_len: u64,
    commits: &[CommitRow],
    now: i64,
) -> Result<Option<Vec<CommitOutcome>>, StoreError> {
    db.lock(Lock::Vault(vault)).await?;
    let owner = vault::owner(db, vault).await?.ok_or(StoreError::Corrupt("vault row"))?;
    db.lock(Lock::AccountLog(owner)).await?;
    if log::log_len(db, owner).await? != signed(log_len) {
        return Ok(None);
    }
    let mut outcomes = Vec::with_capacity(commits.len());
    for commit in commits {
        outcomes.push(append(db, vault, commit, now).await?);
    }
    Ok(Some(outcomes))
}

async fn append(
    db: &mut impl Connection,
    vault: VaultId,
    row: &CommitRow,
    now: i64,
) -> Result<CommitOutcome, StoreError> {
    let header = row.commit.header();
    let facts = chain_facts(db, vault, header).await?;
    let sent: BTreeMap<VersionHash, &PushVersion> =
        row.versions.iter().map(|version| (version.hash, version)).collect();
    let entries = row.commit.entries();
    let stored = version::stored(db, vault, entries).await?;
    let (vault_seq, fresh) = match judge_chain(facts, header) {
        Some(CommitOutcome::Numbered { vault_seq, fresh }) => (vault_seq, fresh),
        Some(refused) => return Ok(refused),
        None if !versions_are_known(entries, &stored, &sent) => {
            return Ok(CommitOutcome::Refused { code: ErrorCode::CommitInvalid, head: facts.head });
        }
        None => {
            let vault_seq = next_number(db, vault).await?;
            insert_commit(db, vault, vault_seq, row, now).await?;
            (vault_seq, true)
        }
    };
    version::insert_manifests(db, vault, &row.manifests).await?;
    // Whoever brings a version first need not have every list: another device that hands a commit on,
    // or one that sealed the same merge. Who has them brings them later.
    let (known, new): (Vec<&PushVersion>, Vec<&PushVersion>) =
        sent.into_values().partition(|version| stored.contains_key(&version.hash));
    version::insert(db, vault, vault_seq, header.device, &new).await?;
    version::complete(db, vault, &known).await?;
    version::supersede(db, vault, entries).await?;
    Ok(CommitOutcome::Numbered { vault_seq, fresh })
}

async fn chain_facts(
    db: &mut impl Connection,
    vault: VaultId,
    header: &CommitHeader,
) -> Result<ChainFacts, StoreError> {
    let row: Option<(Vec<u8>, i64)> = query(
        "SELECT hash, vault_seq FROM vault_commit
         WHERE vault_id = $1 AND device_id = $2 AND incarnation = $3 AND device_seq = $4",
    )
    .bind(vault.to_bytes().to_vec())
    .bind(header.device.to_bytes().to_vec())
    .bind(i64::from(header.incarnation))
    .bind(signed(header.seq))
    .fetch_optional(db)
    .await?;
    let at_place = match row {
        None => None,
        Some((hash, vault_seq)) => {
            let hash = CommitHash::from_bytes(array(&hash, "commit hash")?);
            Some((hash, unsigned(vault_seq, "vault number")?))
        }
    };
    Ok(ChainFacts { head: chain_head(db, vault, header.device).await?, at_place })
}

async fn chain_head(
    db: &mut impl Connection,
    vault: VaultId,
    device: DeviceId,
) -> Result<Option<ChainHead>, StoreError> {
    let row: Option<(i64, i64, Vec<u8>)> = query(
        "SELECT incarnation, device_seq, hash FROM vault_commit
         WHERE vault_id = $1 AND device_id = $2 ORDER BY incarnation DESC, device_seq DESC LIMIT 1",
    )
    .bind(vault.to_bytes().to_vec())
    .bind(device.to_bytes().to_vec())
    .fetch_optional(db)
    .await?;
    let Some((incarnation, seq, hash)) = row else { return Ok(None) };
    Ok(Some(ChainHead {
        incarnation: small(incarnation, "incarnation")?,
        seq: unsigned(seq, "commit number")?,
        hash: CommitHash::from_bytes(array(&hash, "commit hash")?),
    }))
}

/// The newest commit of a device, with what proves it.
pub(super) async fn chain(
    db: &mut impl Connection,
    vault: VaultId,
    device: DeviceId,
) -> Result<ChainState, StoreError> {
    let Some(head) = chain_head(db, vault, device).await? else { return Ok(ChainState::default()) };
    let row: (Vec<u8>,) = query(
        "SELECT substr(bytes, 1, CAST($5 AS INTEGER)) FROM vault_commit
         WHERE vault_id = $1 AND device_id = $2 AND incarnation = $3 AND device_seq = $4",
    )
    .bind(vault.to_bytes().to_vec())
    .bind(device.to_bytes().to_vec())
    .bind(i64::from(head.incarnation))
    .bind(signed(head.seq))
    .bind(signed(SignedHead::LEN_BYTES as u64))
    .fetch_one(db)
    .await?;
    Ok(ChainState { head: Some(head), signed: Some(Blob(row.0)) })
}

/// Whether each entry's version came along or is stored already, for the same record.
fn versions_are_known(
    entries: &[CommitEntry],
    stored: &Stored,
    sent: &BTreeMap<VersionHash, &PushVersion>,
) -> bool {
    entries.iter().all(|entry| {
        let record = stored.get(&entry.version).copied();
        let record = record.or_else(|| sent.get(&entry.version).map(|version| version.record));
        record == Some(entry.record)
    })
}

async fn next_number(db: &mut impl Connection, vault: VaultId) -> Result<u64, StoreError> {
    let row: (i64,) = query("UPDATE vault SET vault_seq = vault_seq + 1 WHERE id = $1 RETURNING vault_seq")
        .bind(vault.to_bytes().to_vec())
        .fetch_one(db)
        .await?;
    unsigned(row.0, "vault number")
}

async fn insert_commit(
    db: &mut impl Connection,
    vault: VaultId,
    vault_seq: u64,
    row: &CommitRow,
    now: i64,
) -> Result<(), StoreError> {
    let header = row.commit.header();
    query(
        "INSERT INTO vault_commit
            (vault_id, vault_seq, device_id, incarnation, device_seq, hash, bytes, created)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(vault.to_bytes().to_vec())
    .bind(signed(vault_seq))
    .bind(header.device.to_bytes().to_vec())
    .bind(i64::from(header.incarnation))
    .bind(signed(header.seq))
    .bind(row.commit.hash().to_bytes().to_vec())
    .bind(row.bytes.as_slice())
    .bind(now)
    .execute(db)
    .await?;
    Ok(())
}
