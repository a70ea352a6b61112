//! Where devices say they can be reached.

use super::query::{Connection, query};
use crate::db::StoreError;
use freehold_model::{AccountId, DeviceId};

/// Keeps a live device's statement that is later than the one kept.
pub(super) async fn put(
    db: &mut impl Connection,
    device: DeviceId,
    time: i64,
    statement: &[u8],
) -> Result<bool, StoreError> {
    let rows = query(
        "UPDATE device SET addresses = $1, addresses_time = $2
         WHERE id = $3 AND addresses_time < $2 AND revoked = 0",
    )
    .bind(statement)
    .bind(time)
    .bind(device.to_bytes().to_vec())
    .execute(db)
    .await?;
    Ok(rows > 0)
}

/// The statements of an account's live devices.
pub(super) async fn list(db: &mut impl Connection, account: AccountId) -> Result<Vec<Vec<u8>>, StoreError> {
    let rows: Vec<(Vec<u8>,)> = query(
        "SELECT addresses FROM device
         WHERE account_id = $1 AND revoked = 0 AND addresses IS NOT NULL ORDER BY id",
    )
    .bind(account.to_bytes().to_vec())
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|(statement,)| statement).collect())
}
