//! This device's session at the server: a proof of possession for a token, as often as one is needed.
//!
//! The token lives in memory only. The proof names the server's pinned key, so a server that passes another's
//! nonce on gets nothing it could use there.

use crate::engine_error::EngineError;
use freehold_api::{Blob, DeviceSessionRequest, RecoverySessionRequest, Session};
use freehold_crypto::UnlockKeys;
use freehold_model::{AccountId, DeviceId};
use freehold_net::coord::{CoordError, ServerClient};
use freehold_trust::{
    PublicKey, RecoveryProof, SessionProof, SignKey, SignedRecoveryProof, SignedSessionProof,
};

/// Makes sessions for one device.
pub(crate) struct Sessions {
    server: PublicKey,
    device: DeviceId,
    sign_key: SignKey,
}

impl Sessions {
    pub(crate) const fn new(server: PublicKey, device: DeviceId, sign_key: SignKey) -> Self {
        Self { server, device, sign_key }
    }

    /// A fresh session.
    ///
    /// # Errors
    /// `Refused` with `bad_proof` or `device_revoked` when the server does not know this device any more.
    ///
    /// # Cancel safety
    /// Dropping the future leaves at most an unused session behind.
    pub(crate) async fn renew(&self, client: &ServerClient) -> Result<Session, CoordError> {
        let challenge = client.device_challenge(self.device).await?;
        let nonce = challenge.nonce.to_array().ok_or(CoordError::Protocol("a nonce of another length"))?;
        let proof = SessionProof { server: self.server, nonce, device: self.device };
        let signed = SignedSessionProof::sign(proof, &self.sign_key);
        let request = DeviceSessionRequest {
            device_id: self.device,
            nonce: challenge.nonce,
            signature: Blob(signed.signature().as_bytes().to_vec()),
        };
        client.device_session(&request).await
    }
}

/// Starts a session with nothing but a recovery key, and gives the account it is of.
///
/// # Errors
/// `WrongWords` when no account there has the key, whatever the reason.
///
/// # Cancel safety
/// Dropping the future leaves at most an unused session behind.
pub(super) async fn recovery_session(
    client: &ServerClient,
    keys: &UnlockKeys,
    server: PublicKey,
) -> Result<AccountId, EngineError> {
    let path_id = keys.path_id().id();
    let challenge = client.recovery_challenge(path_id).await.map_err(EngineError::coord)?;
    let nonce = challenge.nonce.to_array();
    let nonce = nonce.ok_or(EngineError::ServerUntrusted("it sent a nonce of another length"))?;
    let signed = SignedRecoveryProof::sign(RecoveryProof { server, nonce, path_id }, keys.sign_key());
    let request = RecoverySessionRequest {
        path_id: Blob::from(path_id),
        nonce: challenge.nonce,
        signature: Blob(signed.signature().as_bytes().to_vec()),
    };
    let session = client.recovery_session(&request).await.map_err(EngineError::coord)?;
    client.set_session(&session).map_err(EngineError::coord)?;
    Ok(session.account_id)
}
