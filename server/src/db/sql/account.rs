//! Accounts: registration, login records, devices.

use super::convert::{array, kdf};
use super::query::{Connection, Lock, query};
use super::{boxes, log, session, vault};
use crate::db::StoreError;
use crate::db::rows::{CreateOutcome, DeviceRow, LoginRow, NewAccount, RecoveryId, TokenHash};
use freehold_api::Kdf;
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
    log::insert_entry(db, new.account, 0, new.genesis_hash, &new.genesis, new.now).await?;
    insert_device(db, &new.device, new.now).await?;
    vault::insert(db, new.vault.vault_id, new.account, new.now).await?;
    boxes::insert(db, new.account, &new.boxes).await?;
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
            OR EXISTS (SELECT 1 FROM vault WHERE id = $3)
            OR EXISTS (SELECT 1 FROM account WHERE recovery_id = $4)",
    )
    .bind(new.account.to_bytes().to_vec())
    .bind(new.device.device.to_bytes().to_vec())
    .bind(new.vault.vault_id.to_bytes().to_vec())
    .bind(new.recovery_id.to_vec())
    .fetch_optional(db)
    .await?;
    Ok(row.is_some())
}

async fn insert_account(db: &mut impl Connection, new: &NewAccount) -> Result<(), StoreError> {
    query(
        "INSERT INTO account (id, login_hash, opaque_record, kdf_m_kib, kdf_t, kdf_p, log_len, created,
            recovery_id, user_box)
         VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9)",
    )
    .bind(new.account.to_bytes().to_vec())
    .bind(new.login_hash.to_vec())
    .bind(new.opaque_record.as_slice())
    .bind(i64::from(new.kdf.m_kib))
    .bind(i64::from(new.kdf.t))
    .bind(i64::from(new.kdf.p))
    .bind(new.now)
    .bind(new.recovery_id.to_vec())
    .bind(new.user_box.as_slice())
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn insert_device(
    db: &mut impl Connection,
    device: &DeviceRow,
    now: i64,
) -> Result<(), StoreError> {
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

pub(super) async fn by_recovery(
    db: &mut impl Connection,
    recovery_id: RecoveryId,
) -> Result<Option<AccountId>, StoreError> {
    let row: Option<(Bytes,)> = query("SELECT id FROM account WHERE recovery_id = $1")
        .bind(recovery_id.to_vec())
        .fetch_optional(db)
        .await?;
    row.map(|(id,)| array(&id, "account id").map(AccountId::from_bytes)).transpose()
}

pub(super) async fn set_recovery(
    db: &mut impl Connection,
    account: AccountId,
    recovery_id: RecoveryId,
) -> Result<(), StoreError> {
    query("UPDATE account SET recovery_id = $1 WHERE id = $2")
        .bind(recovery_id.to_vec())
        .bind(account.to_bytes().to_vec())
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn set_user_box(
    db: &mut impl Connection,
    account: AccountId,
    user_box: &[u8],
) -> Result<(), StoreError> {
    query("UPDATE account SET user_box = $1 WHERE id = $2")
        .bind(user_box)
        .bind(account.to_bytes().to_vec())
        .execute(db)
        .await?;
    Ok(())
}

/// Replaces the login record; whoever came by the old password is out.
pub(super) async fn set_login(
    db: &mut impl Connection,
    account: AccountId,
    opaque_record: &[u8],
    kdf: Kdf,
) -> Result<(), StoreError> {
    let account = account.to_bytes().to_vec();
    query("UPDATE account SET opaque_record = $1, kdf_m_kib = $2, kdf_t = $3, kdf_p = $4 WHERE id = $5")
        .bind(opaque_record)
        .bind(i64::from(kdf.m_kib))
        .bind(i64::from(kdf.t))
        .bind(i64::from(kdf.p))
        .bind(account.clone())
        .execute(db)
        .await?;
    query("DELETE FROM session WHERE account_id = $1 AND device_id IS NULL")
        .bind(account)
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn revoke(db: &mut impl Connection, device: DeviceId) -> Result<(), StoreError> {
    query("UPDATE device SET revoked = 1, addresses = NULL WHERE id = $1")
        .bind(device.to_bytes().to_vec())
        .execute(db)
        .await?;
    query("DELETE FROM session WHERE device_id = $1").bind(device.to_bytes().to_vec()).execute(db).await?;
    Ok(())
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
