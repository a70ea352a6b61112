//! Facts about the database as a whole: one number each, under a name.

use super::query::{Connection, query};
use crate::db::StoreError;

/// Changes when the numbering of commits starts over.
const INCARNATION: &str = "server_incarnation";

/// Which server's keys the database belongs to.
const KEY_FINGERPRINT: &str = "key_fingerprint";

pub(super) async fn ping(db: &mut impl Connection) -> Result<(), StoreError> {
    number(db, INCARNATION).await.map(drop)
}

/// Names a fresh database; one that has a name keeps it.
pub(in crate::db) async fn init(db: &mut impl Connection, now: i64) -> Result<(), StoreError> {
    put(db, INCARNATION, now).await
}

pub(super) async fn server_incarnation(db: &mut impl Connection) -> Result<u64, StoreError> {
    let number = number(db, INCARNATION).await?.and_then(|number| u64::try_from(number).ok());
    number.ok_or(StoreError::Corrupt("server incarnation"))
}

pub(super) async fn key_fingerprint(db: &mut impl Connection) -> Result<Option<i64>, StoreError> {
    number(db, KEY_FINGERPRINT).await
}

pub(super) async fn put_key_fingerprint(db: &mut impl Connection, key: i64) -> Result<(), StoreError> {
    put(db, KEY_FINGERPRINT, key).await
}

async fn number(db: &mut impl Connection, name: &str) -> Result<Option<i64>, StoreError> {
    let text = "SELECT value FROM meta WHERE key = $1";
    let row: Option<(i64,)> = query(text).bind(name.to_owned()).fetch_optional(db).await?;
    Ok(row.map(|(number,)| number))
}

/// The first number under a name stays.
async fn put(db: &mut impl Connection, name: &str, number: i64) -> Result<(), StoreError> {
    query("INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING")
        .bind(name.to_owned())
        .bind(number)
        .execute(db)
        .await?;
    Ok(())
}
