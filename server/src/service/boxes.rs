//! Which boxes come with which change: exactly those that it needs, none that is there already.
//!
//! A box that nobody asked for could only replace or crowd out a good one. The server cannot look into
//! a box; what it holds the message to is the labels, and for a rotation the hashes that the rotating
//! device signed.

use crate::http::error::{ApiError, ApiResult};
use freehold_api::limits::{BOX_BYTES_MAX, BOXES_MAX};
use freehold_api::{
    AppendEntries, Blob, ErrorCode, KIND_PREVIOUS_ROOT, KIND_PREVIOUS_VAULT_KEY, KIND_VAULT_KEY, KeyBoxEntry,
    UnlockBoxEntry, VaultBoxes, VaultSummary,
};
use freehold_trust::account_log::{AccountState, Action, LogEntry, PathId, Rotate};

/// Holds a message's boxes to its entries. `vaults` are all of the account's, as they are now.
pub(super) fn check(
    before: &AccountState,
    after: &AccountState,
    entries: &[LogEntry],
    request: &AppendEntries,
    vaults: &[VaultSummary],
) -> ApiResult<()> {
    check_user_box(entries, request.user_box.as_ref())?;
    match rotation(entries)? {
        Some(rotate) => {
            check_named(rotate, &request.boxes, after)?;
            check_previous_root(before, after, &request.account_keys)?;
            check_vault_keys(after, &request.vault_keys, vaults)
        }
        None => {
            check_new_paths(before, after, &request.boxes)?;
            if request.account_keys.is_empty() && request.vault_keys.is_empty() {
                return Ok(());
            }
            Err(refused("keys come with a rotation only"))
        }
    }
}

/// Besides the rules for all boxes: a box for every path of the first log, so that its owner is not
/// locked out.
pub(super) fn check_first(state: &AccountState, boxes: &[UnlockBoxEntry]) -> ApiResult<()> {
    check_unlock(boxes, state)?;
    let paths = state.live_paths();
    if boxes.len() == paths.len() && paths.keys().all(|path| boxes.iter().any(|entry| is_for(entry, path))) {
        return Ok(());
    }
    Err(refused("the account root must be sealed to the password, the recovery key and the device"))
}

/// Sizes and number of key boxes.
pub(super) fn check_key_boxes(boxes: &[KeyBoxEntry]) -> ApiResult<()> {
    check_count(boxes.len())?;
    boxes.iter().try_for_each(|entry| check_size(&entry.sealed))
}

/// The size of a sealed user name.
pub(super) fn check_size(sealed: &Blob) -> ApiResult<()> {
    if (1..=BOX_BYTES_MAX).contains(&sealed.as_slice().len()) {
        return Ok(());
    }
    Err(refused("a box is empty or over 4 KiB"))
}

/// The rotation, which is the last entry or none.
fn rotation(entries: &[LogEntry]) -> ApiResult<Option<&Rotate>> {
    let rotations = entries.iter().filter(|entry| matches!(entry.statement().action, Action::Rotate(_)));
    let last = entries.last().map(|entry| &entry.statement().action);
    match (rotations.count(), last) {
        (0, _) => Ok(None),
        (1, Some(Action::Rotate(rotate))) => Ok(Some(rotate)),
        _ => Err(refused("a message holds one rotation, at its end")),
    }
}

fn check_user_box(entries: &[LogEntry], user_box: Option<&Blob>) -> ApiResult<()> {
    let is_due = entries.iter().any(|entry| matches!(entry.statement().action, Action::SetRecovery(_)));
    match user_box {
        Some(sealed) if is_due => check_size(sealed),
        None if !is_due => Ok(()),
        _ => Err(refused("the sealed user name comes with a new recovery key and only then")),
    }
}

/// A rotation counts only with every box it names, and with no other.
fn check_named(rotate: &Rotate, boxes: &[UnlockBoxEntry], after: &AccountState) -> ApiResult<()> {
    check_unlock(boxes, after)?;
    let all_there = rotate.boxes().iter().all(|named| {
        boxes.iter().any(|entry| {
            is_for(entry, &named.path) && *blake3::hash(entry.sealed.as_slice()).as_bytes() == named.hash
        })
    });
    if all_there && boxes.len() == rotate.boxes().len() {
        return Ok(());
    }
    Err(refused("the boxes are not those the rotation names"))
}

/// Without a rotation, every path that became live gets one box, and no other path any.
fn check_new_paths(before: &AccountState, after: &AccountState, boxes: &[UnlockBoxEntry]) -> ApiResult<()> {
    check_unlock(boxes, after)?;
    let old = before.live_paths();
    let new: Vec<PathId> = after.live_paths().into_keys().filter(|path| !old.contains_key(path)).collect();
    if boxes.len() == new.len() && new.iter().all(|path| boxes.iter().any(|entry| is_for(entry, path))) {
        return Ok(());
    }
    Err(refused("exactly the paths that are new get a box"))
}

fn check_previous_root(before: &AccountState, after: &AccountState, keys: &[KeyBoxEntry]) -> ApiResult<()> {
    check_key_boxes(keys)?;
    let wanted = (KIND_PREVIOUS_ROOT, before.generation(), after.generation());
    match keys {
        [one] if label(one) == wanted => Ok(()),
        _ => Err(refused("a rotation boxes the account root before it, and nothing else")),
    }
}

/// Every vault gets its next key under the new root, and the key before under that.
fn check_vault_keys(after: &AccountState, keys: &[VaultBoxes], vaults: &[VaultSummary]) -> ApiResult<()> {
    let is_whole = |vault: &VaultSummary| {
        let newest = vault.keys.boxes.iter().filter(|entry| entry.kind == KIND_VAULT_KEY);
        let newest = newest.map(|entry| entry.generation).max().unwrap_or_default();
        let next = newest.saturating_add(1);
        let wanted = [(KIND_VAULT_KEY, next, after.generation()), (KIND_PREVIOUS_VAULT_KEY, newest, next)];
        let mut of_vault = keys.iter().filter(|keys| keys.vault_id == vault.vault_id());
        let given = of_vault.next().map(|keys| keys.boxes.iter().map(label).collect::<Vec<_>>());
        given.is_some_and(|given| given == wanted) && of_vault.next().is_none()
    };
    keys.iter().try_for_each(|keys| check_key_boxes(&keys.boxes))?;
    if keys.len() == vaults.len() && vaults.iter().all(is_whole) {
        return Ok(());
    }
    Err(refused("a rotation brings every vault of the account its next key, and nothing else"))
}

/// Each box must be for a live path and the newest generation.
fn check_unlock(boxes: &[UnlockBoxEntry], state: &AccountState) -> ApiResult<()> {
    check_count(boxes.len())?;
    let paths = state.live_paths();
    for entry in boxes {
        check_size(&entry.sealed)?;
        let known = paths.keys().any(|path| is_for(entry, path));
        if !known || entry.generation != state.generation() {
            return Err(refused("a box is not for a live unlock path and the newest generation"));
        }
    }
    Ok(())
}

/// What a key box says it is: kind, generation, generation of the key around it.
pub(super) const fn label(entry: &KeyBoxEntry) -> (u8, u32, u32) {
    (entry.kind, entry.generation, entry.wrapper_generation)
}

fn is_for(entry: &UnlockBoxEntry, path: &PathId) -> bool {
    entry.path.to_u8() == path.kind() && entry.path_id.as_slice() == path.id()
}

fn check_count(count: usize) -> ApiResult<()> {
    if count <= BOXES_MAX {
        return Ok(());
    }
    Err(refused("there are more boxes than an account can need"))
}

fn refused(why: &'static str) -> ApiError {
    ApiError::with(ErrorCode::BoxesInvalid, why)
}
