//! A new password for an account that is logged in.
//!
//! The first step evaluates OPAQUE's blinded password, as a registration does. The second is an append
//! to the account log: the entry that installs the new password's path, signed by a secret in force
//! before, brings the login record with it, so the two cannot part ways.

use super::login;
use crate::App;
use crate::app::kdf_message;
use crate::http::error::{ApiError, ApiResult};
use freehold_api::{Blob, ErrorCode, NewLogin, PasswordStart, PasswordStarted};
use freehold_model::AccountId;
use freehold_trust::KdfParams;
use freehold_trust::account_log::{Action, LogEntry};
use freehold_trust::opaque::ServerSetup;
use std::net::IpAddr;

/// Counted like a login: an answer lets the asker try one password against the name's record.
pub(crate) async fn start(
    app: &App,
    peer: IpAddr,
    account: AccountId,
    request: &PasswordStart,
) -> ApiResult<PasswordStarted> {
    check_name(app, account, &request.user).await?;
    login::throttle(app, peer, &app.keys.login_hash(&request.user))?;
    let response =
        app.keys.opaque().registration_response(request.request.as_slice(), request.user.as_bytes());
    let bad =
        |_| ApiError::field(ErrorCode::BadRequest, "request", "this is not an OPAQUE message of this kind");
    Ok(PasswordStarted { response: Blob(response.map_err(bad)?), kdf: kdf_message(KdfParams::DEFAULT) })
}

/// The record of a message that replaces the password; nothing for any other message.
pub(super) async fn new_login(
    app: &App,
    account: AccountId,
    login: Option<&NewLogin>,
    entries: &[LogEntry],
) -> ApiResult<Option<Vec<u8>>> {
    let changes = entries.iter().filter(|entry| matches!(entry.statement().action, Action::SetKdf(_)));
    match (changes.count(), login) {
        (0, None) => Ok(None),
        (1, Some(login)) => {
            check_name(app, account, &login.user).await?;
            let record = ServerSetup::registration_record(login.upload.as_slice());
            let bad = |_| ApiError::field(ErrorCode::BadRequest, "login", "this is not an OPAQUE upload");
            Ok(Some(record.map_err(bad)?.to_vec()))
        }
        _ => {
            let detail = "a login record comes with one new password, and a new password with one record";
            Err(ApiError::with(ErrorCode::LogInvalid, detail))
        }
    }
}

/// The name is bound into the record, so it must be the account's own.
async fn check_name(app: &App, account: AccountId, user: &str) -> ApiResult<()> {
    let row = app.store.login(app.keys.login_hash(user)).await?;
    if row.is_some_and(|row| row.account == account) {
        return Ok(());
    }
    Err(ApiError::with(ErrorCode::BadUser, "this is not the user name of the account"))
}
