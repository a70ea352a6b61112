//! The account log: read whole, appended by compare-and-swap, every entry judged before it is
//! stored, with the boxes that belong to it.
//!
//! Clients judge the log for themselves; the server does so too, because a log that no client
//! accepts would lock the account.

use crate::App;
use crate::db::{AppendEntryRow, AppendOutcome, Boxes, DeviceRow, EntryEffect, StoredLog};
use crate::http::error::{ApiError, ApiResult};
use freehold_api::limits::{BOX_BYTES_MAX, BOXES_MAX};
use freehold_api::{
    AccountLog, AppendEntry, AppendedEntry, Blob, ErrorCode, Event, KeyBoxEntry, UnlockBoxEntry,
};
use freehold_model::AccountId;
use freehold_trust::account_log::{AccountState, Action, LogEntry, LogError, Rotate};

pub(crate) async fn log(app: &App, account: AccountId) -> ApiResult<AccountLog> {
    let log = stored(app, account).await?;
    Ok(AccountLog { entries: log.entries.into_iter().map(Blob).collect() })
}

async fn stored(app: &App, account: AccountId) -> ApiResult<StoredLog> {
    let log = app.store.log(account).await?;
    log.ok_or(ApiError::with(ErrorCode::Internal, "the account has no log"))
}

/// The account's state by its stored log, and the log's length.
pub(super) async fn state(app: &App, account: AccountId) -> ApiResult<(AccountState, u64)> {
    let log = stored(app, account).await?;
    let broken = || ApiError::with(ErrorCode::Internal, "the stored account log does not replay");
    let entries = log.entries.iter().map(|entry| LogEntry::from_bytes(entry));
    let entries: Vec<LogEntry> = entries.collect::<Result<_, _>>().map_err(|_| broken())?;
    let state = AccountState::replay(&entries).map_err(|_| broken())?;
    Ok((state, entries.len() as u64))
}

pub(crate) async fn append(app: &App, account: AccountId, request: AppendEntry) -> ApiResult<AppendedEntry> {
    let entry = LogEntry::from_bytes(request.entry.as_slice())
        .map_err(|error| ApiError::because(ErrorCode::LogInvalid, error.to_string().into()))?;
    let (mut state, len) = state(app, account).await?;
    let seq = entry.statement().seq;
    if state.position(&entry.hash()) == Some(seq) {
        return Ok(AppendedEntry { seq });
    }
    if matches!(entry.statement().action, Action::SetKdf(_)) {
        let detail = "changing the password also needs a new login record, which this version does not take";
        return Err(ApiError::with(ErrorCode::LogInvalid, detail));
    }
    state.append(&entry).map_err(refusal)?;
    check_boxes(&request.boxes, &state)?;
    check_key_boxes(&request.account_keys)?;
    for keys in &request.vault_keys {
        check_key_boxes(&keys.boxes)?;
    }
    if let Action::Rotate(rotate) = &entry.statement().action {
        check_rotation(rotate, &request.boxes)?;
    }
    let row = AppendEntryRow {
        account,
        seq: len,
        hash: entry.hash(),
        entry: request.entry.0,
        effect: effect(account, &entry.statement().action),
        boxes: Boxes {
            unlock: request.boxes,
            account_keys: request.account_keys,
            vault_keys: request.vault_keys,
        },
        now: app.clock.micros(),
    };
    match app.store.append_entry(row).await? {
        AppendOutcome::Appended => {
            app.push(Some(account), Event::AccountLog { seq });
            Ok(AppendedEntry { seq })
        }
        AppendOutcome::Conflict => Err(ApiError::new(ErrorCode::LogConflict)),
        AppendOutcome::Foreign => {
            Err(ApiError::with(ErrorCode::LogInvalid, "the entry names a device or vault of another account"))
        }
    }
}

fn refusal(error: LogError) -> ApiError {
    match error {
        LogError::Unlinked { .. } => ApiError::new(ErrorCode::LogConflict),
        other => ApiError::because(ErrorCode::LogInvalid, other.to_string().into()),
    }
}

fn effect(account: AccountId, action: &Action) -> EntryEffect {
    match action {
        Action::AddDevice(cert) => {
            let cert = cert.unverified();
            EntryEffect::AddDevice(DeviceRow {
                device: cert.device,
                account,
                sign_pk: cert.sign_pk,
                tls_pk: cert.tls_pk,
                revoked: false,
            })
        }
        Action::RevokeDevice(revoke) => EntryEffect::RevokeDevice(revoke.device()),
        Action::Genesis(_) | Action::SetRecovery(_) | Action::SetKdf(_) | Action::Rotate(_) => {
            EntryEffect::None
        }
    }
}

/// Each box must be for a live path and the newest generation.
pub(super) fn check_boxes(boxes: &[UnlockBoxEntry], state: &AccountState) -> ApiResult<()> {
    check_count(boxes.len())?;
    let paths = state.live_paths();
    for entry in boxes {
        check_size(&entry.sealed)?;
        let known = paths.keys().any(|path| is_for(entry, path.kind(), &path.id()));
        if !known || entry.generation != state.generation() {
            let detail = "a box is not for a live unlock path and the newest generation";
            return Err(ApiError::with(ErrorCode::BoxesInvalid, detail));
        }
    }
    Ok(())
}

/// A rotation counts only with every box it names.
fn check_rotation(rotate: &Rotate, boxes: &[UnlockBoxEntry]) -> ApiResult<()> {
    let all_there = rotate.boxes().iter().all(|named| {
        boxes.iter().any(|entry| {
            is_for(entry, named.path.kind(), &named.path.id())
                && *blake3::hash(entry.sealed.as_slice()).as_bytes() == named.hash
        })
    });
    if all_there && boxes.len() == rotate.boxes().len() {
        return Ok(());
    }
    Err(ApiError::with(ErrorCode::BoxesInvalid, "the boxes are not those the rotation names"))
}

pub(super) fn check_key_boxes(boxes: &[KeyBoxEntry]) -> ApiResult<()> {
    check_count(boxes.len())?;
    boxes.iter().try_for_each(|entry| check_size(&entry.sealed))
}

fn is_for(entry: &UnlockBoxEntry, kind: u8, id: &[u8; 16]) -> bool {
    entry.path.to_u8() == kind && entry.path_id.as_slice() == id
}

fn check_count(count: usize) -> ApiResult<()> {
    if count <= BOXES_MAX {
        return Ok(());
    }
    Err(ApiError::with(ErrorCode::BoxesInvalid, "there are more boxes than an account can need"))
}

fn check_size(sealed: &Blob) -> ApiResult<()> {
    if (1..=BOX_BYTES_MAX).contains(&sealed.as_slice().len()) {
        return Ok(());
    }
    Err(ApiError::with(ErrorCode::BoxesInvalid, "a box is empty or over 4 KiB"))
}
