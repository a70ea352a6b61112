//! Sessions by recovery key: proof of possession of the key that the 24 words derive.
//!
//! The account is found by the path id, a hash of public halves that only the words lead to. Unknown
//! words, words that were replaced, a wrong signature and a spent nonce of another path are one answer.

use super::{account, session};
use crate::App;
use crate::http::error::{ApiError, ApiResult};
use crate::random;
use crate::throttle::network;
use freehold_api::{
    Blob, ErrorCode, RecoveryChallenge, RecoveryChallengeRequest, RecoverySessionRequest, Session,
};
use freehold_model::AccountId;
use freehold_trust::{RecoveryProof, Signature, SignedRecoveryProof};
use std::net::IpAddr;

/// A challenged path, and the bucket to give the attempt back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Challenged {
    path_id: [u8; 16],
    bucket: [u8; 32],
}

/// A nonce for whoever asks, so that asking does not tell which keys exist.
pub(crate) fn challenge(
    app: &App,
    peer: IpAddr,
    request: &RecoveryChallengeRequest,
) -> ApiResult<RecoveryChallenge> {
    let wrong = ApiError::field(ErrorCode::BadRequest, "path_id", "a path id has 16 bytes");
    let path_id = request.path_id.to_array().ok_or(wrong)?;
    let now = app.clock.micros();
    let network = network(peer);
    let everything = blake3::derive_key("freehold v1 network bucket", &network);
    app.network_throttle.take(everything, now).map_err(ApiError::wait)?;
    // One bucket for all words of a network: whoever guesses asks for another path each time.
    let bucket = blake3::derive_key("freehold v1 recovery bucket", &network);
    app.login_throttle.take(bucket, now).map_err(ApiError::wait)?;
    let nonce = random::bytes();
    app.recoveries.put(nonce, Challenged { path_id, bucket }, now);
    Ok(RecoveryChallenge { nonce: Blob::from(nonce) })
}

pub(crate) async fn session(app: &App, request: &RecoverySessionRequest) -> ApiResult<Session> {
    let expired = || ApiError::new(ErrorCode::LoginExpired);
    let nonce = request.nonce.to_array::<32>().ok_or_else(expired)?;
    let challenged = app.recoveries.take(&nonce, app.clock.micros()).ok_or_else(expired)?;
    if request.path_id.as_slice() != challenged.path_id {
        return Err(expired());
    }
    let account = holder(app, &challenged, nonce, request).await?;
    let account = account.ok_or(ApiError::new(ErrorCode::BadRecovery))?;
    app.login_throttle.give_back(&challenged.bucket);
    let new = session::new(app, account, None);
    app.store.put_session(new.token, new.row).await?;
    Ok(new.message)
}

/// The account whose recovery key made the proof.
async fn holder(
    app: &App,
    challenged: &Challenged,
    nonce: [u8; 32],
    request: &RecoverySessionRequest,
) -> ApiResult<Option<AccountId>> {
    let path_id = challenged.path_id;
    let Some(account) = app.store.account_by_recovery(path_id).await? else { return Ok(None) };
    let Some(signature) = request.signature.to_array() else { return Ok(None) };
    let (state, _) = account::state(app, account).await?;
    let path = state.recovery();
    let proof = RecoveryProof { server: app.keys.public(), nonce, path_id };
    let signed = SignedRecoveryProof::from_parts(proof, Signature::from_bytes(signature));
    let holds = path.recovery_id().id() == path_id && signed.verify(&path.sign_pk).is_ok();
    Ok(holds.then_some(account))
}
