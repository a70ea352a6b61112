//! Vaults as they are read: list, pages of commits, versions, state.

use super::boxes::{KeyRow, key_box};
use super::convert::{array, signed, unsigned};
use super::meta::server_incarnation;
use super::query::{Connection, query};
use crate::db::StoreError;
use freehold_api::bulk::{CommitPage, NumberedCommit, VersionItem, VersionState, VersionsResponse};
use freehold_api::limits::{PAGE_BYTES_MAX, PAGE_COMMITS_MAX, VERSIONS_BYTES_MAX};
use freehold_api::{VaultBoxes, VaultState, VaultSummary};
use freehold_model::{AccountId, DeviceId, VaultId, VersionHash};

pub(super) async fn insert(
    db: &mut impl Connection,
    vault: VaultId,
    owner: AccountId,
    now: i64,
) -> Result<(), StoreError> {
    query("INSERT INTO vault (id, owner, vault_seq, created) VALUES ($1, $2, 0, $3)")
        .bind(vault.to_bytes().to_vec())
        .bind(owner.to_bytes().to_vec())
        .bind(now)
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn insert_keys(db: &mut impl Connection, keys: &VaultBoxes) -> Result<(), StoreError> {
    for entry in &keys.boxes {
        query(
            "INSERT INTO vault_key (vault_id, kind, generation, wrapper_generation, sealed)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(keys.vault_id.to_bytes().to_vec())
        .bind(i64::from(entry.kind))
        .bind(i64::from(entry.generation))
        .bind(i64::from(entry.wrapper_generation))
        .bind(entry.sealed.as_slice())
        .execute(db)
        .await?;
    }
    Ok(())
}

pub(super) async fn list(
    db: &mut impl Connection,
    account: AccountId,
) -> Result<Vec<VaultSummary>, StoreError> {
    let rows: Vec<(Vec<u8>, i64)> = query("SELECT id, vault_seq FROM vault WHERE owner = $1 ORDER BY id")
        .bind(account.to_bytes().to_vec())
        .fetch_all(db)
        .await?;
    let mut vaults = Vec::with_capacity(rows.len());
    for (id, vault_seq) in rows {
        let vault_id = VaultId::from_bytes(array(&id, "vault id")?);
        let keys: Vec<KeyRow> = query(
            "SELECT kind, generation, wrapper_generation, sealed FROM vault_key
             WHERE vault_id = $1 ORDER BY kind, generation, wrapper_generation",
        )
        .bind(id)
        .fetch_all(db)
        .await?;
        let boxes = keys.into_iter().map(key_box).collect::<Result<_, _>>()?;
        let vault_seq = unsigned(vault_seq, "vault number")?;
        vaults.push(VaultSummary { keys: VaultBoxes { vault_id, boxes }, vault_seq });
    }
    Ok(vaults)
}

pub(super) async fn owner(db: &mut impl Connection, vault: VaultId) -> Result<Option<AccountId>, StoreError> {
    let row: Option<(Vec<u8>,)> = query("SELECT owner FROM vault WHERE id = $1")
        .bind(vault.to_bytes().to_vec())
        .fetch_optional(db)
        .await?;
    row.map(|(owner,)| array(&owner, "account id").map(AccountId::from_bytes)).transpose()
}

/// Number of the newest commit.
pub(super) async fn head_seq(db: &mut impl Connection, vault: VaultId) -> Result<u64, StoreError> {
    let row: (i64,) = query("SELECT vault_seq FROM vault WHERE id = $1")
        .bind(vault.to_bytes().to_vec())
        .fetch_one(db)
        .await?;
    unsigned(row.0, "vault number")
}

/// One page. Lengths come first, so that only what fits is read.
pub(super) async fn commit_page(
    db: &mut impl Connection,
    vault: VaultId,
    after: u64,
    limit: usize,
) -> Result<CommitPage, StoreError> {
    let server_incarnation = server_incarnation(db).await?;
    let head = head_seq(db, vault).await?;
    let limit = limit.clamp(1, PAGE_COMMITS_MAX);
    let lengths: Vec<(i64, i64)> = query(
        "SELECT vault_seq, CAST(length(bytes) AS BIGINT) FROM vault_commit
         WHERE vault_id = $1 AND vault_seq > $2 ORDER BY vault_seq LIMIT $3",
    )
    .bind(vault.to_bytes().to_vec())
    .bind(signed(after))
    .bind(signed(limit as u64))
    .fetch_all(db)
    .await?;
    let last =
        lengths.get(prefix_within(PAGE_BYTES_MAX, lengths.iter().map(|(_, len)| *len)).wrapping_sub(1));
    let Some((last, _)) = last else {
        return Ok(CommitPage { server_incarnation, next: after, head, items: Vec::new() });
    };
    let rows: Vec<(i64, Vec<u8>)> = query(
        "SELECT vault_seq, bytes FROM vault_commit
         WHERE vault_id = $1 AND vault_seq > $2 AND vault_seq <= $3 ORDER BY vault_seq",
    )
    .bind(vault.to_bytes().to_vec())
    .bind(signed(after))
    .bind(*last)
    .fetch_all(db)
    .await?;
    let number = |(seq, commit)| Ok(NumberedCommit { vault_seq: unsigned(seq, "vault number")?, commit });
    let items = rows.into_iter().map(number).collect::<Result<_, StoreError>>()?;
    Ok(CommitPage { server_incarnation, next: unsigned(*last, "vault number")?, head, items })
}

/// How many of these lengths fit a budget; at least one when there is one.
fn prefix_within(budget_bytes: usize, lengths: impl Iterator<Item = i64>) -> usize {
    let mut total: usize = 0;
    let fits = |(index, len): &(usize, i64)| {
        total = total.saturating_add(usize::try_from(*len).unwrap_or(usize::MAX));
        *index == 0 || total <= budget_bytes
    };
    lengths.enumerate().take_while(fits).count()
}

pub(super) async fn versions(
    db: &mut impl Connection,
    vault: VaultId,
    hashes: &[VersionHash],
) -> Result<VersionsResponse, StoreError> {
    let mut items = Vec::with_capacity(hashes.len());
    let mut total_bytes = 0;
    for hash in hashes {
        let row: Option<(Vec<u8>, i64)> =
            query("SELECT ciphertext, missing FROM version WHERE vault_id = $1 AND hash = $2")
                .bind(vault.to_bytes().to_vec())
                .bind(hash.to_bytes().to_vec())
                .fetch_optional(db)
                .await?;
        let (ciphertext, state) = match row {
            None => (Vec::new(), VersionState::Unknown),
            Some((ciphertext, 0)) => (ciphertext, VersionState::Placed),
            Some((ciphertext, _)) => (ciphertext, VersionState::Unplaced),
        };
        total_bytes += ciphertext.len();
        if total_bytes > VERSIONS_BYTES_MAX && !items.is_empty() {
            break;
        }
        items.push(VersionItem { hash: *hash, state, ciphertext });
    }
    Ok(VersionsResponse { items })
}

pub(super) async fn state(db: &mut impl Connection, vault: VaultId) -> Result<VaultState, StoreError> {
    let server_incarnation = server_incarnation(db).await?;
    let vault_seq = head_seq(db, vault).await?;
    let rows: Vec<(Vec<u8>, i64)> = query(
        "SELECT device_id, count(*) FROM version
         WHERE vault_id = $1 AND head = 1 AND missing > 0 GROUP BY device_id ORDER BY device_id",
    )
    .bind(vault.to_bytes().to_vec())
    .fetch_all(db)
    .await?;
    let mut unplaced_versions = 0;
    let mut unplaced_by = Vec::with_capacity(rows.len());
    for (device, count) in rows {
        unplaced_versions += unsigned(count, "count")?;
        unplaced_by.push(DeviceId::from_bytes(array(&device, "device id")?));
    }
    Ok(VaultState { vault_seq, server_incarnation, unplaced_versions, unplaced_by })
}
