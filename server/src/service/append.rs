//! Growing the account log: entries appended by compare-and-swap, all or none, with everything that
//! belongs to them.
//!
//! A change that shuts somebody out comes with the rotation that does so: there is no moment in which a
//! device is revoked and still reads what is written next.

use super::{account, boxes, password};
use crate::App;
use crate::app::kdf_message;
use crate::db::{AppendOutcome, AppendRow, Boxes, DeviceRow, EntryEffect, EntryRow};
use crate::http::error::{ApiError, ApiResult};
use freehold_api::limits::APPEND_ENTRIES_MAX;
use freehold_api::{AppendEntries, AppendedEntries, Blob, ErrorCode, Event};
use freehold_model::AccountId;
use freehold_trust::account_log::{AccountState, Action, LogEntry, LogError};

pub(crate) async fn append(
    app: &App,
    account: AccountId,
    request: AppendEntries,
) -> ApiResult<AppendedEntries> {
    let entries = read(&request.entries)?;
    let (before, len) = account::state(app, account).await?;
    if let Some(seq) = stands(&before, &entries) {
        return Ok(AppendedEntries { seq });
    }
    let login = password::new_login(app, account, request.login.as_ref(), &entries).await?;
    let (after, rows) = judge(account, &before, &entries, login)?;
    if after.rotation_due() && !before.rotation_due() {
        let detail = "a change that shuts somebody out must end with a rotation";
        return Err(ApiError::with(ErrorCode::LogInvalid, detail));
    }
    let vaults = app.store.vaults(account).await?;
    boxes::check(&before, &after, &entries, &request, &vaults)?;
    let row = AppendRow {
        account,
        seq: len,
        entries: rows,
        boxes: Boxes {
            unlock: request.boxes,
            account_keys: request.account_keys,
            vault_keys: request.vault_keys,
        },
        user_box: request.user_box.map(|sealed| sealed.0),
        now: app.clock.micros(),
    };
    match app.store.append_entries(row).await? {
        AppendOutcome::Appended => {
            let seq = after.head_seq();
            app.push(Some(account), Event::AccountLog { seq });
            Ok(AppendedEntries { seq })
        }
        AppendOutcome::Conflict => Err(ApiError::new(ErrorCode::LogConflict)),
        AppendOutcome::Foreign => {
            let detail = "the entries bring a device, a recovery key or a vault of another account";
            Err(ApiError::with(ErrorCode::LogInvalid, detail))
        }
    }
}

fn read(entries: &[Blob]) -> ApiResult<Vec<LogEntry>> {
    if !(1..=APPEND_ENTRIES_MAX).contains(&entries.len()) {
        return Err(ApiError::with(ErrorCode::LogInvalid, "a message appends 1 to 8 entries"));
    }
    let read = entries.iter().map(|entry| LogEntry::from_bytes(entry.as_slice()));
    read.collect::<Result<_, _>>()
        .map_err(|error| ApiError::because(ErrorCode::LogInvalid, error.to_string().into()))
}

/// The last place, when every entry is in the log already: its answer was lost.
fn stands(state: &AccountState, entries: &[LogEntry]) -> Option<u64> {
    let at = |entry: &LogEntry| {
        let seq = entry.statement().seq;
        (state.position(&entry.hash()) == Some(seq)).then_some(seq)
    };
    entries.iter().map(at).collect::<Option<Vec<u64>>>().and_then(|places| places.last().copied())
}

/// Applies the entries one by one; the state after them, and what each changes.
fn judge(
    account: AccountId,
    before: &AccountState,
    entries: &[LogEntry],
    mut login: Option<Vec<u8>>,
) -> ApiResult<(AccountState, Vec<EntryRow>)> {
    let mut state = before.clone();
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        let effect = effect(account, &state, &entry.statement().action, &mut login)?;
        state.append(entry).map_err(refusal)?;
        rows.push(EntryRow { hash: entry.hash(), bytes: entry.to_bytes(), effect });
    }
    Ok((state, rows))
}

fn refusal(error: LogError) -> ApiError {
    match error {
        LogError::Unlinked { .. } => ApiError::new(ErrorCode::LogConflict),
        other => ApiError::because(ErrorCode::LogInvalid, other.to_string().into()),
    }
}

/// What an entry changes beside the log, by the state before it.
fn effect(
    account: AccountId,
    before: &AccountState,
    action: &Action,
    login: &mut Option<Vec<u8>>,
) -> ApiResult<EntryEffect> {
    Ok(match action {
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
        Action::RevokeDevice(intent) => EntryEffect::RevokeDevice(intent.unverified().device()),
        Action::SetRecovery(path) => EntryEffect::SetRecovery {
            recovery_id: path.recovery_id().id(),
            replaced: before.recovery().recovery_id().id(),
        },
        Action::SetKdf(set) => {
            let opaque_record = login.take();
            let missing = ApiError::with(ErrorCode::LogInvalid, "a new password comes with one login record");
            EntryEffect::SetLogin {
                opaque_record: opaque_record.ok_or(missing)?,
                kdf: kdf_message(set.kdf),
                replaced: before.password().password_id().id(),
            }
        }
        Action::Genesis(_) | Action::Rotate(_) | Action::NameDevice(_) => EntryEffect::None,
    })
}
