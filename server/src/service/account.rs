//! The account log: read whole, judged before anything is stored beside it.
//!
//! Clients judge the log for themselves; the server does so too, because a log that no client
//! accepts would lock the account.

use crate::App;
use crate::db::StoredLog;
use crate::http::error::{ApiError, ApiResult};
use freehold_api::{AccountLog, Blob, ErrorCode};
use freehold_model::AccountId;
use freehold_trust::account_log::{AccountState, LogEntry};

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
