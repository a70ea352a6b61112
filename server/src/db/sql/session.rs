//! Sessions and invites: rows that end by themselves.

use super::convert::array;
use super::query::{Connection, Lock, query};
use crate::db::StoreError;
use crate::db::rows::{Secret, SessionRow, TokenHash};
use freehold_model::{AccountId, DeviceId};

pub(super) async fn sweep(db: &mut impl Connection, now: i64) -> Result<(), StoreError> {
    query("DELETE FROM session WHERE expires <= $1").bind(now).execute(db).await?;
    query("DELETE FROM invite WHERE expires <= $1 AND used_by IS NULL").bind(now).execute(db).await?;
    query("DELETE FROM spent WHERE expires <= $1").bind(now).execute(db).await?;
    query("DELETE FROM join_token WHERE expires <= $1").bind(now).execute(db).await?;
    Ok(())
}

pub(super) async fn put(
    db: &mut impl Connection,
    token: TokenHash,
    session: SessionRow,
) -> Result<(), StoreError> {
    query("INSERT INTO session (token_hash, account_id, device_id, expires) VALUES ($1, $2, $3, $4)")
        .bind(token.to_vec())
        .bind(session.account.to_bytes().to_vec())
        .bind(session.device.map(|device| device.to_bytes().to_vec()))
        .bind(session.expires)
        .execute(db)
        .await?;
    Ok(())
}

/// Stores a session that a secret opened; false when the secret was replaced meanwhile. The lock
/// keeps a replacement out, which ends such sessions, until this one is there to be ended.
pub(super) async fn open(
    db: &mut impl Connection,
    token: TokenHash,
    session: SessionRow,
    secret: &Secret,
) -> Result<bool, StoreError> {
    db.lock(Lock::AccountLog(session.account)).await?;
    let (text, value) = match secret {
        Secret::Password { opaque_record } => {
            ("SELECT created FROM account WHERE id = $1 AND opaque_record = $2", opaque_record.as_slice())
        }
        Secret::Recovery(recovery_id) => {
            ("SELECT created FROM account WHERE id = $1 AND recovery_id = $2", recovery_id.as_slice())
        }
    };
    let in_force: Option<(i64,)> =
        query(text).bind(session.account.to_bytes().to_vec()).bind(value).fetch_optional(db).await?;
    if in_force.is_none() {
        return Ok(false);
    }
    put(db, token, session).await?;
    Ok(true)
}

/// A session that began just when its device was revoked counts as ended, whichever came first.
pub(super) async fn find(
    db: &mut impl Connection,
    token: TokenHash,
) -> Result<Option<SessionRow>, StoreError> {
    let row: Option<(Vec<u8>, Option<Vec<u8>>, i64)> = query(
        "SELECT account_id, device_id, expires FROM session WHERE token_hash = $1
               AND NOT EXISTS (SELECT 1 FROM device WHERE device.id = session.device_id AND revoked = 1)",
    )
    .bind(token.to_vec())
    .fetch_optional(db)
    .await?;
    let Some((account, device, expires)) = row else { return Ok(None) };
    let device = device.map(|id| array(&id, "device id").map(DeviceId::from_bytes)).transpose()?;
    let account = AccountId::from_bytes(array(&account, "account id")?);
    Ok(Some(SessionRow { account, device, expires }))
}

pub(super) async fn end(db: &mut impl Connection, token: TokenHash) -> Result<(), StoreError> {
    query("DELETE FROM session WHERE token_hash = $1").bind(token.to_vec()).execute(db).await?;
    Ok(())
}

/// Marks a token as used; whether it was not used before.
pub(super) async fn spend(
    db: &mut impl Connection,
    token: TokenHash,
    expires: i64,
) -> Result<bool, StoreError> {
    let text = "INSERT INTO spent (token_hash, expires) VALUES ($1, $2) ON CONFLICT (token_hash) DO NOTHING";
    Ok(query(text).bind(token.to_vec()).bind(expires).execute(db).await? == 1)
}

pub(super) async fn put_invite(
    db: &mut impl Connection,
    code: TokenHash,
    expires: i64,
) -> Result<(), StoreError> {
    query("INSERT INTO invite (code_hash, expires) VALUES ($1, $2)")
        .bind(code.to_vec())
        .bind(expires)
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn invite_is_good(
    db: &mut impl Connection,
    code: &TokenHash,
    now: i64,
) -> Result<bool, StoreError> {
    let row: Option<(i64,)> =
        query("SELECT expires FROM invite WHERE code_hash = $1 AND expires > $2 AND used_by IS NULL")
            .bind(code.to_vec())
            .bind(now)
            .fetch_optional(db)
            .await?;
    Ok(row.is_some())
}
