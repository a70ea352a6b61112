//! First contact with a server: its address checked, its key learnt.

use crate::engine_error::EngineError;
use freehold_net::coord::{CoordConfig, ServerClient};
use freehold_trust::PublicKey;

/// A client for the address, and the signing key the server shows.
///
/// The key is bound into the login: a server that shows another's key cannot finish one.
pub(super) async fn meet(url: &str) -> Result<(ServerClient, PublicKey), EngineError> {
    let url = url.parse().map_err(|error| EngineError::BadServerUrl(format!("{error}")))?;
    let client = ServerClient::new(url, CoordConfig::default());
    let info = client.server_info().await.map_err(EngineError::coord)?;
    if info.protocol != freehold_api::PROTOCOL {
        return Err(EngineError::ServerRefused("it speaks another version of the protocol".to_owned()));
    }
    let key: [u8; 32] =
        info.sign_pk.to_array().ok_or(EngineError::ServerUntrusted("its key has another length"))?;
    Ok((client, PublicKey::from_bytes(key)))
}
