//! Registration: the first account is free, later ones need an invite.
//!
//! One request creates account, device and vault in one transaction, so there is no half-made
//! account. The genesis entry proves that the client holds the device's key, which is why the
//! answer is a device session at once.

use super::{boxes, session};
use crate::App;
use crate::app::kdf_message;
use crate::clock::micros;
use crate::db::{Boxes, CreateOutcome, DeviceRow, NewAccount};
use crate::http::error::{ApiError, ApiResult};
use crate::limits::REGISTER_REPEAT_SECONDS;
use crate::random;
use crate::throttle::network;
use freehold_api::limits::USER_BYTES_MAX;
use freehold_api::{
    Blob, ErrorCode, KIND_VAULT_KEY, RegisterFinish, RegisterStart, RegisterStarted, Session,
};
use freehold_model::AccountId;
use freehold_trust::account_log::{AccountState, LogEntry};
use freehold_trust::opaque::ServerSetup;
use freehold_trust::{DeviceCert, KdfParams};
use std::net::IpAddr;

pub(crate) async fn start(app: &App, peer: IpAddr, request: &RegisterStart) -> ApiResult<RegisterStarted> {
    check_user(&request.user)?;
    throttle(app, peer)?;
    if app.store.has_accounts().await? {
        let code = request.invite.as_deref().map(random::token_hash);
        let code = code.ok_or(ApiError::new(ErrorCode::RegistrationClosed))?;
        if !app.store.invite_is_good(code, app.clock.micros()).await? {
            return Err(ApiError::new(ErrorCode::RegistrationClosed));
        }
    }
    let response =
        app.keys.opaque().registration_response(request.request.as_slice(), request.user.as_bytes());
    Ok(RegisterStarted {
        account_id: AccountId::from_bytes(random::bytes()),
        response: Blob(response.map_err(|_| bad_message("request"))?),
        kdf: kdf_message(KdfParams::DEFAULT),
    })
}

pub(crate) async fn finish(app: &App, peer: IpAddr, request: RegisterFinish) -> ApiResult<Session> {
    check_user(&request.user)?;
    throttle(app, peer)?;
    let record = ServerSetup::registration_record(request.upload.as_slice());
    let record = record.map_err(|_| bad_message("upload"))?;
    let (genesis, state, device) = read_genesis(&request)?;
    check_registration_boxes(&request, &state)?;
    let new = session::new(app, request.account_id, Some(device.device));
    let account = NewAccount {
        account: request.account_id,
        login_hash: app.keys.login_hash(&request.user),
        opaque_record: record.to_vec(),
        kdf: kdf_message(state.kdf()),
        recovery_id: state.recovery().recovery_id().id(),
        user_box: request.user_box.0,
        genesis_hash: genesis.hash(),
        genesis: request.genesis.0,
        device: DeviceRow {
            device: device.device,
            account: request.account_id,
            sign_pk: device.sign_pk,
            tls_pk: device.tls_pk,
            revoked: false,
        },
        boxes: Boxes { unlock: request.boxes, ..Boxes::default() },
        vault: request.vault,
        invite: request.invite.as_deref().map(random::token_hash),
        session: (new.token, new.row),
        now: app.clock.micros(),
    };
    let (id, hash) = (account.account, account.genesis_hash);
    match app.store.create_account(account).await? {
        CreateOutcome::Created => {
            tracing::info!("an account was created");
            Ok(new.message)
        }
        CreateOutcome::UserTaken { account, genesis, created }
            if (account, genesis) == (id, hash)
                && app.clock.micros() < created.saturating_add(micros(REGISTER_REPEAT_SECONDS)) =>
        {
            app.store.put_session(new.token, new.row).await?;
            Ok(new.message)
        }
        CreateOutcome::UserTaken { .. } => Err(ApiError::new(ErrorCode::UserTaken)),
        CreateOutcome::IdTaken => {
            Err(ApiError::with(ErrorCode::LogInvalid, "an id is already in use; register with fresh ids"))
        }
        CreateOutcome::Closed => Err(ApiError::new(ErrorCode::RegistrationClosed)),
    }
}

fn read_genesis(request: &RegisterFinish) -> ApiResult<(LogEntry, AccountState, DeviceCert)> {
    let genesis = LogEntry::from_bytes(request.genesis.as_slice())
        .map_err(|error| ApiError::because(ErrorCode::LogInvalid, error.to_string().into()))?;
    let state = AccountState::replay(std::slice::from_ref(&genesis))
        .map_err(|error| ApiError::because(ErrorCode::LogInvalid, error.to_string().into()))?;
    if state.account() != request.account_id {
        return Err(ApiError::with(ErrorCode::LogInvalid, "the genesis entry is of another account"));
    }
    let first = state.devices().values().next().map(|device| device.cert.clone());
    let first = first.ok_or(ApiError::with(ErrorCode::LogInvalid, "the genesis entry names no device"))?;
    Ok((genesis, state, first))
}

/// The account must be openable from the first moment: by password, recovery key and device.
fn check_registration_boxes(request: &RegisterFinish, state: &AccountState) -> ApiResult<()> {
    boxes::check_first(state, &request.boxes)?;
    boxes::check_key_boxes(&request.vault.boxes)?;
    boxes::check_size(&request.user_box)?;
    if !request.account_keys.is_empty() {
        return Err(ApiError::with(ErrorCode::BoxesInvalid, "a first account root has none before it"));
    }
    let keys: Vec<_> = request.vault.boxes.iter().map(boxes::label).collect();
    if keys != [(KIND_VAULT_KEY, 1, 1)] {
        return Err(ApiError::with(
            ErrorCode::BoxesInvalid,
            "the vault comes with its first key and no other",
        ));
    }
    Ok(())
}

/// A login name: 1 to 128 bytes, no control characters, no blank at either end.
pub(super) fn check_user(user: &str) -> ApiResult<()> {
    let fits = (1..=USER_BYTES_MAX).contains(&user.len());
    if fits && user.trim() == user && !user.chars().any(char::is_control) {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::BadUser))
}

fn throttle(app: &App, peer: IpAddr) -> ApiResult<()> {
    let bucket = blake3::derive_key("freehold v1 network bucket", &network(peer));
    app.network_throttle.take(bucket, app.clock.micros()).map_err(ApiError::wait)
}

fn bad_message(field: &str) -> ApiError {
    ApiError::field(ErrorCode::BadRequest, field, "this is not an OPAQUE message of this kind")
}
