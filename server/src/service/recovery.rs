//! Sessions by recovery key: proof of possession of the key that the 24 words derive.
//!
//! The account is found by the path id, a hash of public halves that only the words lead to. Unknown
//! words, words that were replaced and a wrong signature are one answer. The challenge and the proof may
//! reach different servers.

use super::{account, session};
use crate::App;
use crate::db::{RecoveryId, Secret};
use crate::http::error::{ApiError, ApiResult};
use crate::throttle::network;
use crate::tickets::{self, RECOVERY};
use freehold_api::{
    Blob, ErrorCode, RecoveryChallenge, RecoveryChallengeRequest, RecoverySessionRequest, Session,
};
use freehold_model::AccountId;
use freehold_trust::{RecoveryProof, Signature, SignedRecoveryProof};
use std::net::IpAddr;

/// A nonce for whoever asks, so that asking does not tell which keys exist.
pub(crate) fn challenge(
    app: &App,
    peer: IpAddr,
    request: &RecoveryChallengeRequest,
) -> ApiResult<RecoveryChallenge> {
    let wrong = ApiError::field(ErrorCode::BadRequest, "path_id", "a path id has 16 bytes");
    let path_id = request.path_id.to_array().ok_or(wrong)?;
    let now = app.clock.micros();
    let everything = blake3::derive_key("freehold v1 network bucket", &network(peer));
    app.network_throttle.take(everything, now).map_err(ApiError::wait)?;
    app.login_throttle.take(bucket(peer), now).map_err(ApiError::wait)?;
    let nonce = tickets::challenge(&app.keys, RECOVERY, &path_id, app.clock.seconds());
    Ok(RecoveryChallenge { nonce: Blob::from(nonce) })
}

pub(crate) async fn session(app: &App, peer: IpAddr, request: &RecoverySessionRequest) -> ApiResult<Session> {
    let expired = || ApiError::new(ErrorCode::LoginExpired);
    let nonce = request.nonce.to_array().ok_or_else(expired)?;
    let path_id = request.path_id.to_array().ok_or_else(expired)?;
    let ends = tickets::challenge_ends(&app.keys, RECOVERY, &path_id, &nonce, app.clock.seconds());
    let ends = ends.ok_or_else(expired)?;
    // Before the proof, so that a nonce is good for one try.
    if !tickets::spend(app, &nonce, ends).await? {
        return Err(expired());
    }
    let bad_recovery = || ApiError::new(ErrorCode::BadRecovery);
    let account = holder(app, path_id, nonce, request).await?.ok_or_else(bad_recovery)?;
    app.login_throttle.give_back(&bucket(peer));
    let new = session::new(app, account, None);
    // Words that are replaced at this moment open nothing any more.
    if !app.store.open_session(new.token, new.row, Secret::Recovery(path_id)).await? {
        return Err(bad_recovery());
    }
    Ok(new.message)
}

/// One bucket for all words of a network: whoever guesses asks for another path each time.
fn bucket(peer: IpAddr) -> [u8; 32] {
    blake3::derive_key("freehold v1 recovery bucket", &network(peer))
}

/// The account whose recovery key made the proof.
async fn holder(
    app: &App,
    path_id: RecoveryId,
    nonce: [u8; 32],
    request: &RecoverySessionRequest,
) -> ApiResult<Option<AccountId>> {
    let Some(account) = app.store.account_by_recovery(path_id).await? else { return Ok(None) };
    let Some(signature) = request.signature.to_array() else { return Ok(None) };
    let (state, _) = account::state(app, account).await?;
    let path = state.recovery();
    let proof = RecoveryProof { server: app.keys.public(), nonce, path_id };
    let signed = SignedRecoveryProof::from_parts(proof, Signature::from_bytes(signature));
    let holds = path.recovery_id().id() == path_id && signed.verify(&path.sign_pk).is_ok();
    Ok(holds.then_some(account))
}
