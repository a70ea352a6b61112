//! The account log, and what its entries change in other tables.

use super::convert::signed;
use super::query::{Connection, Lock, query};
use super::{account, boxes, vault};
use crate::db::StoreError;
use crate::db::rows::{AppendOutcome, AppendRow, EntryEffect, StoredLog};
use freehold_api::UnlockPath;
use freehold_model::{AccountId, LogHash};

type Bytes = Vec<u8>;

pub(super) async fn log(
    db: &mut impl Connection,
    account: AccountId,
) -> Result<Option<StoredLog>, StoreError> {
    let rows: Vec<(Bytes,)> = query("SELECT entry FROM log_entry WHERE account_id = $1 ORDER BY seq")
        .bind(account.to_bytes().to_vec())
        .fetch_all(db)
        .await?;
    let entries: Vec<Bytes> = rows.into_iter().map(|(entry,)| entry).collect();
    Ok((!entries.is_empty()).then_some(StoredLog { entries }))
}

/// Number of entries in an account's log.
pub(super) async fn log_len(db: &mut impl Connection, account: AccountId) -> Result<i64, StoreError> {
    let row: (i64,) = query("SELECT log_len FROM account WHERE id = $1")
        .bind(account.to_bytes().to_vec())
        .fetch_one(db)
        .await?;
    Ok(row.0)
}

pub(super) async fn append(db: &mut impl Connection, new: &AppendRow) -> Result<AppendOutcome, StoreError> {
    db.lock(Lock::Account(new.account)).await?;
    if log_len(db, new.account).await? != signed(new.seq) {
        let same = stands(db, new).await?;
        return Ok(if same { AppendOutcome::Appended } else { AppendOutcome::Conflict });
    }
    for keys in &new.boxes.vault_keys {
        if vault::owner(db, keys.vault_id).await? != Some(new.account) {
            return Ok(AppendOutcome::Foreign);
        }
    }
    for (entry, seq) in new.entries.iter().zip(new.seq..) {
        if !take_effect(db, new, &entry.effect).await? {
            return Ok(AppendOutcome::Foreign);
        }
        insert_entry(db, new.account, seq, entry.hash, &entry.bytes, new.now).await?;
    }
    boxes::insert(db, new.account, &new.boxes).await?;
    for keys in &new.boxes.vault_keys {
        vault::insert_keys(db, keys).await?;
    }
    if let Some(user_box) = &new.user_box {
        account::set_user_box(db, new.account, user_box).await?;
    }
    query("UPDATE account SET log_len = log_len + $1 WHERE id = $2")
        .bind(signed(new.entries.len() as u64))
        .bind(new.account.to_bytes().to_vec())
        .execute(db)
        .await?;
    Ok(AppendOutcome::Appended)
}

/// Whether the entries are at their places already: their answer was lost.
async fn stands(db: &mut impl Connection, new: &AppendRow) -> Result<bool, StoreError> {
    for (entry, seq) in new.entries.iter().zip(new.seq..) {
        let stored: Option<(Bytes,)> = query("SELECT hash FROM log_entry WHERE account_id = $1 AND seq = $2")
            .bind(new.account.to_bytes().to_vec())
            .bind(signed(seq))
            .fetch_optional(db)
            .await?;
        if stored.is_none_or(|(hash,)| hash != entry.hash.as_bytes()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Changes the other tables; false when another account has what the entry brings.
async fn take_effect(
    db: &mut impl Connection,
    new: &AppendRow,
    effect: &EntryEffect,
) -> Result<bool, StoreError> {
    match effect {
        EntryEffect::None => {}
        EntryEffect::AddDevice(row) if account::device(db, row.device).await?.is_some() => return Ok(false),
        EntryEffect::AddDevice(row) => account::insert_device(db, row, new.now).await?,
        EntryEffect::RevokeDevice(device) => {
            account::revoke(db, *device).await?;
            boxes::remove(db, new.account, UnlockPath::Device, &device.to_bytes()).await?;
        }
        EntryEffect::SetRecovery { recovery_id, replaced } => {
            let holder = account::by_recovery(db, *recovery_id).await?;
            if holder.is_some_and(|holder| holder != new.account) {
                return Ok(false);
            }
            account::set_recovery(db, new.account, *recovery_id).await?;
            boxes::remove(db, new.account, UnlockPath::Recovery, replaced).await?;
        }
        EntryEffect::SetLogin { opaque_record, kdf, replaced } => {
            account::set_login(db, new.account, opaque_record, *kdf).await?;
            boxes::remove(db, new.account, UnlockPath::Password, replaced).await?;
        }
    }
    Ok(true)
}

pub(super) async fn insert_entry(
    db: &mut impl Connection,
    account: AccountId,
    seq: u64,
    hash: LogHash,
    entry: &[u8],
    now: i64,
) -> Result<(), StoreError> {
    query("INSERT INTO log_entry (account_id, seq, hash, entry, created) VALUES ($1, $2, $3, $4, $5)")
        .bind(account.to_bytes().to_vec())
        .bind(signed(seq))
        .bind(hash.to_bytes().to_vec())
        .bind(entry)
        .bind(now)
        .execute(db)
        .await?;
    Ok(())
}
