//! Device sessions by proof of possession. The challenge and the proof may reach different servers.

use super::session;
use crate::App;
use crate::http::error::{ApiError, ApiResult};
use crate::throttle::network;
use crate::tickets::{self, DEVICE};
use freehold_api::{Blob, DeviceChallenge, DeviceChallengeRequest, DeviceSessionRequest, ErrorCode, Session};
use freehold_trust::{SessionProof, Signature, SignedSessionProof};
use std::net::IpAddr;

/// A nonce for whoever asks, so that asking does not tell which devices exist.
pub(crate) fn challenge(
    app: &App,
    peer: IpAddr,
    request: &DeviceChallengeRequest,
) -> ApiResult<DeviceChallenge> {
    let now = app.clock.micros();
    let bucket = blake3::derive_key("freehold v1 network bucket", &network(peer));
    app.network_throttle.take(bucket, now).map_err(ApiError::wait)?;
    let nonce = tickets::challenge(&app.keys, DEVICE, request.device_id.as_bytes(), app.clock.seconds());
    Ok(DeviceChallenge { nonce: Blob::from(nonce) })
}

pub(crate) async fn session(app: &App, request: &DeviceSessionRequest) -> ApiResult<Session> {
    let expired = || ApiError::new(ErrorCode::LoginExpired);
    let nonce = request.nonce.to_array::<32>().ok_or_else(expired)?;
    let device = request.device_id.as_bytes();
    let ends = tickets::challenge_ends(&app.keys, DEVICE, device, &nonce, app.clock.seconds());
    let ends = ends.ok_or_else(expired)?;
    let bad_proof = || ApiError::new(ErrorCode::BadProof);
    let device = app.store.device(request.device_id).await?.ok_or_else(bad_proof)?;
    let signature = Signature::from_bytes(request.signature.to_array().ok_or_else(bad_proof)?);
    let proof = SessionProof { server: app.keys.public(), nonce, device: device.device };
    SignedSessionProof::from_parts(proof, signature).verify(&device.sign_pk).map_err(|_| bad_proof())?;
    // Only the holder of the key learns that it was revoked.
    if device.revoked {
        return Err(ApiError::new(ErrorCode::DeviceRevoked));
    }
    if !tickets::spend(app, &nonce, ends).await? {
        return Err(expired());
    }
    let new = session::new(app, device.account, Some(device.device));
    app.store.put_session(new.token, new.row).await?;
    Ok(new.message)
}
