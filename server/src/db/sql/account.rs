//! Accounts: registration, the log with its devices, the boxes beside it.

use super::convert::{array, kdf, signed, small};
use super::query::{Connection, Lock, query};
use super::{session, vault};
use crate::db::StoreError;
use crate::db::rows::{
    AppendEntryRow, AppendOutcome, Boxes, CreateOutcome, DeviceRow, EntryEffect, LoginRow, NewAccount,
    StoredLog, TokenHash,
};
use freehold_api::{AccountBoxes, Blob, KeyBoxEntry, UnlockBoxEntry, UnlockPath};
use freehold_model::{AccountId, DeviceId, LogHash};
use freehold_trust::PublicKey;

type Bytes = Vec<u8>;

pub(super) async fn has_accounts(db: &mut impl Connection) -> Result<bool, StoreError> {
    let row: Option<(i64,)> = query("SELECT log_len FROM account LIMIT 1").fetch_optional(db).await?;
    Ok(row.is_some())
}

pub(super) async fn create(db: &mut impl Connection, new: &NewAccount) -> Result<CreateOutcome, StoreError> {
    db.lock(Lock::Registration).await?;
    if let Some(taken) = user_taken(db, &new.login_hash).await? {
        return Ok(taken);
    }
    if has_accounts(db).await? && !spend_invite(db, new).await? {
        return Ok(CreateOutcome::Closed);
    }
    if ids_taken(db, new).await? {
        return Ok(CreateOutcome::IdTaken);
    }
    insert_account(db, new).await?;
    insert_entry(db, new.account, 0, new.genesis_hash, &new.genesis, new.now).await?;
    insert_device(db, &new.device, new.now).await?;
    vault::insert(db, new.vault.vault_id, new.account, new.now).await?;
    insert_boxes(db, new.account, &new.boxes).await?;
    vault::insert_keys(db, &new.vault).await?;
    let (token, row) = new.session;
    session::put(db, token, row).await?;
    Ok(CreateOutcome::Created)
}

async fn user_taken(
    db: &mut impl Connection,
    login_hash: &TokenHash,
) -> Result<Option<CreateOutcome>, StoreError> {
    let row: Option<(Bytes, Bytes, i64)> = query(
        "SELECT account.id, log_entry.hash, account.created FROM account
         JOIN log_entry ON log_entry.account_id = account.id AND log_entry.seq = 0
         WHERE account.login_hash = $1",
    )
    .bind(login_hash.to_vec())
    .fetch_optional(db)
    .await?;
    let Some((account, genesis, created)) = row else { return Ok(None) };
    let account = AccountId::from_bytes(array(&account, "account id")?);
    let genesis = LogHash::from_bytes(array(&genesis, "log hash")?);
    Ok(Some(CreateOutcome::UserTaken { account, genesis, created }))
}

async fn spend_invite(db: &mut impl Connection, new: &NewAccount) -> Result<bool, StoreError> {
    let Some(code) = new.invite else { return Ok(false) };
    let spent =
        query("UPDATE invite SET used_by = $1 WHERE code_hash = $2 AND expires > $3 AND used_by IS NULL")
            .bind(new.account.to_bytes().to_vec())
            .bind(code.to_vec())
            .bind(new.now)
            .execute(db)
            .await?;
    Ok(spent == 1)
}

async fn ids_taken(db: &mut impl Connection, new: &NewAccount) -> Result<bool, StoreError> {
    let row: Option<(i64,)> = query(
        "SELECT CAST(1 AS BIGINT) WHERE EXISTS (SELECT 1 FROM account WHERE id = $1)
            OR EXISTS (SELECT 1 FROM device WHERE id = $2)
            OR EXISTS (SELECT 1 FROM vault WHERE id = $3)",
    )
    .bind(new.account.to_bytes().to_vec())
    .bind(new.device.device.to_bytes().to_vec())
    .bind(new.vault.vault_id.to_bytes().to_vec())
    .fetch_optional(db)
    .await?;
    Ok(row.is_some())
}

async fn insert_account(db: &mut impl Connection, new: &NewAccount) -> Result<(), StoreError> {
    query(
        "INSERT INTO account (id, login_hash, opaque_record, kdf_m_kib, kdf_t, kdf_p, log_len, created)
         VALUES ($1, $2, $3, $4, $5, $6, 1, $7)",
    )
    .bind(new.account.to_bytes().to_vec())
    .bind(new.login_hash.to_vec())
    .bind(new.opaque_record.as_slice())
    .bind(i64::from(new.kdf.m_kib))
    .bind(i64::from(new.kdf.t))
    .bind(i64::from(new.kdf.p))
    .bind(new.now)
    .execute(db)
    .await?;
    Ok(())
}

async fn insert_entry(
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

async fn insert_device(db: &mut impl Connection, device: &DeviceRow, now: i64) -> Result<(), StoreError> {
    query(
        "INSERT INTO device (id, account_id, sign_pk, tls_pk, revoked, created)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(device.device.to_bytes().to_vec())
    .bind(device.account.to_bytes().to_vec())
    .bind(device.sign_pk.to_bytes().to_vec())
    .bind(device.tls_pk.to_bytes().to_vec())
    .bind(device.revoked)
    .bind(now)
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn login(
    db: &mut impl Connection,
    login_hash: &TokenHash,
) -> Result<Option<LoginRow>, StoreError> {
    let row: Option<(Bytes, Bytes, i64, i64, i64)> =
        query("SELECT id, opaque_record, kdf_m_kib, kdf_t, kdf_p FROM account WHERE login_hash = $1")
            .bind(login_hash.to_vec())
            .fetch_optional(db)
            .await?;
    let Some((account, opaque_record, m_kib, t, p)) = row else { return Ok(None) };
    let account = AccountId::from_bytes(array(&account, "account id")?);
    Ok(Some(LoginRow { account, opaque_record, kdf: kdf(m_kib, t, p)? }))
}

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

pub(super) async fn append(
    db: &mut impl Connection,
    new: &AppendEntryRow,
) -> Result<AppendOutcome, StoreError> {
    db.lock(Lock::Account(new.account)).await?;
    let account = new.account.to_bytes().to_vec();
    if log_len(db, new.account).await? != signed(new.seq) {
        let stored: Option<(Bytes,)> = query("SELECT hash FROM log_entry WHERE account_id = $1 AND seq = $2")
            .bind(account)
            .bind(signed(new.seq))
            .fetch_optional(db)
            .await?;
        let same = stored.is_some_and(|(hash,)| hash == new.hash.as_bytes());
        return Ok(if same { AppendOutcome::Appended } else { AppendOutcome::Conflict });
    }
    for keys in &new.boxes.vault_keys {
        if vault::owner(db, keys.vault_id).await? != Some(new.account) {
            return Ok(AppendOutcome::Foreign);
        }
        vault::insert_keys(db, keys).await?;
    }
    match new.effect {
        EntryEffect::None => {}
        EntryEffect::AddDevice(row) if device(db, row.device).await?.is_some() => {
            return Ok(AppendOutcome::Foreign);
        }
        EntryEffect::AddDevice(row) => insert_device(db, &row, new.now).await?,
        EntryEffect::RevokeDevice(device) => revoke(db, device).await?,
    }
    insert_entry(db, new.account, new.seq, new.hash, &new.entry, new.now).await?;
    insert_boxes(db, new.account, &new.boxes).await?;
    query("UPDATE account SET log_len = log_len + 1 WHERE id = $1").bind(account).execute(db).await?;
    Ok(AppendOutcome::Appended)
}

async fn revoke(db: &mut impl Connection, device: DeviceId) -> Result<(), StoreError> {
    query("UPDATE device SET revoked = 1 WHERE id = $1").bind(device.to_bytes().to_vec()).execute(db).await?;
    query("DELETE FROM session WHERE device_id = $1").bind(device.to_bytes().to_vec()).execute(db).await?;
    Ok(())
}

async fn insert_boxes(db: &mut impl Connection, account: AccountId, boxes: &Boxes) -> Result<(), StoreError> {
    for entry in &boxes.unlock {
        query(
            "INSERT INTO unlock_box (account_id, path, path_id, generation, sealed)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account_id, path, path_id, generation) DO UPDATE SET sealed = excluded.sealed",
        )
        .bind(account.to_bytes().to_vec())
        .bind(i64::from(entry.path.to_u8()))
        .bind(entry.path_id.as_slice())
        .bind(i64::from(entry.generation))
        .bind(entry.sealed.as_slice())
        .execute(db)
        .await?;
    }
    for entry in &boxes.account_keys {
        query(
            "INSERT INTO account_key (account_id, kind, generation, wrapper_generation, sealed)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account_id, kind, generation, wrapper_generation)
             DO UPDATE SET sealed = excluded.sealed",
        )
        .bind(account.to_bytes().to_vec())
        .bind(i64::from(entry.kind))
        .bind(i64::from(entry.generation))
        .bind(i64::from(entry.wrapper_generation))
        .bind(entry.sealed.as_slice())
        .execute(db)
        .await?;
    }
    Ok(())
}

pub(super) async fn boxes(db: &mut impl Connection, account: AccountId) -> Result<AccountBoxes, StoreError> {
    let unlock: Vec<(i64, Bytes, i64, Bytes)> = query(
        "SELECT path, path_id, generation, sealed FROM unlock_box
         WHERE account_id = $1 ORDER BY generation, path, path_id",
    )
    .bind(account.to_bytes().to_vec())
    .fetch_all(db)
    .await?;
    let keys: Vec<KeyRow> = query(
        "SELECT kind, generation, wrapper_generation, sealed FROM account_key
         WHERE account_id = $1 ORDER BY kind, generation, wrapper_generation",
    )
    .bind(account.to_bytes().to_vec())
    .fetch_all(db)
    .await?;
    let boxes = unlock.into_iter().map(unlock_box).collect::<Result<_, _>>()?;
    let account_keys = keys.into_iter().map(key_box).collect::<Result<_, _>>()?;
    Ok(AccountBoxes { boxes, account_keys })
}

fn unlock_box(row: (i64, Bytes, i64, Bytes)) -> Result<UnlockBoxEntry, StoreError> {
    let (path, path_id, generation, sealed) = row;
    let path = u8::try_from(path).ok().and_then(UnlockPath::from_u8);
    Ok(UnlockBoxEntry {
        path: path.ok_or(StoreError::Corrupt("unlock path"))?,
        path_id: Blob(path_id),
        generation: small(generation, "generation")?,
        sealed: Blob(sealed),
    })
}

/// Kind, generation, generation of the wrapper, sealed box.
pub(super) type KeyRow = (i64, i64, i64, Bytes);

pub(super) fn key_box((kind, generation, wrapper, sealed): KeyRow) -> Result<KeyBoxEntry, StoreError> {
    Ok(KeyBoxEntry {
        kind: u8::try_from(kind).map_err(|_| StoreError::Corrupt("kind of a key box"))?,
        generation: small(generation, "generation")?,
        wrapper_generation: small(wrapper, "generation")?,
        sealed: Blob(sealed),
    })
}

pub(super) async fn device(
    db: &mut impl Connection,
    device: DeviceId,
) -> Result<Option<DeviceRow>, StoreError> {
    let row: Option<(Bytes, Bytes, Bytes, i64)> =
        query("SELECT account_id, sign_pk, tls_pk, revoked FROM device WHERE id = $1")
            .bind(device.to_bytes().to_vec())
            .fetch_optional(db)
            .await?;
    let Some((account, sign_pk, tls_pk, revoked)) = row else { return Ok(None) };
    Ok(Some(DeviceRow {
        device,
        account: AccountId::from_bytes(array(&account, "account id")?),
        sign_pk: PublicKey::from_bytes(array(&sign_pk, "public key")?),
        tls_pk: PublicKey::from_bytes(array(&tls_pk, "public key")?),
        revoked: revoked == 1,
    }))
}
