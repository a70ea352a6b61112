//! The sealed boxes of an account. A box is written once: nobody replaces one that is there.

use super::convert::small;
use super::query::{Connection, query};
use crate::db::StoreError;
use crate::db::rows::Boxes;
use freehold_api::{AccountBoxes, Blob, KeyBoxEntry, UnlockBoxEntry, UnlockPath};
use freehold_model::AccountId;

type Bytes = Vec<u8>;

pub(super) async fn insert(
    db: &mut impl Connection,
    account: AccountId,
    boxes: &Boxes,
) -> Result<(), StoreError> {
    for entry in &boxes.unlock {
        query(
            "INSERT INTO unlock_box (account_id, path, path_id, generation, sealed)
             VALUES ($1, $2, $3, $4, $5)",
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
             VALUES ($1, $2, $3, $4, $5)",
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

pub(super) async fn all(db: &mut impl Connection, account: AccountId) -> Result<AccountBoxes, StoreError> {
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
    let user: Option<(Option<Bytes>,)> = query("SELECT user_box FROM account WHERE id = $1")
        .bind(account.to_bytes().to_vec())
        .fetch_optional(db)
        .await?;
    let boxes = unlock.into_iter().map(unlock_box).collect::<Result<_, _>>()?;
    let account_keys = keys.into_iter().map(key_box).collect::<Result<_, _>>()?;
    let user_box = user.and_then(|(user_box,)| user_box).map(Blob);
    Ok(AccountBoxes { boxes, account_keys, user_box })
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

/// Removes every box of a path that is no longer in force.
pub(super) async fn remove(
    db: &mut impl Connection,
    account: AccountId,
    path: UnlockPath,
    path_id: &[u8; 16],
) -> Result<(), StoreError> {
    query("DELETE FROM unlock_box WHERE account_id = $1 AND path = $2 AND path_id = $3")
        .bind(account.to_bytes().to_vec())
        .bind(i64::from(path.to_u8()))
        .bind(path_id.to_vec())
        .execute(db)
        .await?;
    Ok(())
}
