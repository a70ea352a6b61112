//! What the node says to its server: one join, then heartbeats for ever.
//!
//! A join without an answer ends the start, since a node of no server can check no capability. A
//! heartbeat without an answer ends nothing: the node serves on and keeps trying.

use crate::error::StartError;
use crate::limits;
use crate::serve::Clock;
use crate::state::{Joined, Secret};
use freehold_api::{Blob, ErrorCode, Heartbeat as HeartbeatMessage, NodeJoin};
use freehold_model::NodeId;
use freehold_net::coord::{CoordConfig, CoordError, ServerClient, ServerUrl};
use freehold_store::NodeStore;
use freehold_trust::{Heartbeat, PublicKey, SignKey, SignedHeartbeat, SignedNodeCert};
use std::sync::Arc;
use std::time::Duration;

/// A client of the server with the node's patience.
pub(crate) fn client(url: &str) -> Result<ServerClient, StartError> {
    let url: ServerUrl = url.parse().map_err(|error| StartError::Config(format!("--server: {error}")))?;
    let config = CoordConfig { request_timeout: limits::SERVER_TIMEOUT, ..CoordConfig::default() };
    Ok(ServerClient::new(url, config))
}

/// What a node offers when it joins.
pub(crate) struct Offer {
    pub(crate) token: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) zone: u16,
    pub(crate) capacity_bytes: u64,
}

/// Joins the server, and checks that what it answers is about this node.
pub(crate) async fn join(client: &ServerClient, offer: Offer, secret: &Secret) -> Result<Joined, StartError> {
    let (sign_pk, tls_pk) = (secret.sign_key().public(), *secret.identity().public_key().as_bytes());
    let message = NodeJoin {
        token: offer.token,
        sign_pk: Blob(sign_pk.as_bytes().to_vec()),
        tls_pk: Blob(tls_pk.to_vec()),
        addresses: offer.addresses,
        zone: offer.zone,
        capacity_bytes: offer.capacity_bytes,
    };
    let answer = client.node_join(&message).await.map_err(join_error)?;
    let wrong = || StartError::JoinRefused("the server's answer is not about this node".to_owned());
    let server_key = PublicKey::from_bytes(answer.server_sign_pk.to_array().ok_or_else(wrong)?);
    let cert = SignedNodeCert::from_bytes(answer.cert.as_slice()).map_err(|_| wrong())?;
    let terms = cert.verify(&server_key).map_err(|_| wrong())?;
    let is_ours =
        terms.node == answer.node_id && terms.sign_pk == sign_pk && *terms.tls_pk.as_bytes() == tls_pk;
    if !is_ours {
        return Err(wrong());
    }
    Ok(Joined { server: client.url().to_string(), node: answer.node_id, server_key, cert })
}

fn join_error(error: CoordError) -> StartError {
    if error.code() == Some(ErrorCode::JoinTokenInvalid) {
        return StartError::JoinRefused(
            "the join token is unknown, used or expired; make a new one with `freehold-server admin join-token`"
                .to_owned(),
        );
    }
    match error {
        CoordError::Unreachable | CoordError::Timeout => StartError::ServerAway(error.to_string()),
        other => StartError::JoinRefused(other.to_string()),
    }
}

/// Tells the server every minute where the node is and how full.
pub(crate) struct Heart {
    pub(crate) client: ServerClient,
    pub(crate) node: NodeId,
    pub(crate) sign: SignKey,
    pub(crate) addresses: Vec<String>,
    pub(crate) store: Arc<NodeStore>,
    pub(crate) clock: Clock,
}

impl Heart {
    /// Beats until dropped.
    pub(crate) async fn run(self) {
        let (mut last_time, mut is_heard) = (0, true);
        loop {
            // Only a later time replaces an earlier one at the server.
            last_time = (self.clock)().max(last_time + 1);
            let outcome = self.beat(last_time).await;
            let pause = match &outcome {
                Ok(()) if is_heard => limits::HEARTBEAT_INTERVAL,
                Ok(()) => {
                    tracing::info!("the server hears this node again");
                    limits::HEARTBEAT_INTERVAL
                }
                Err(error) => self.unheard(error, is_heard),
            };
            is_heard = outcome.is_ok();
            tokio::time::sleep(pause).await;
        }
    }

    async fn beat(&self, time: u64) -> Result<(), CoordError> {
        let stats = self.store.stats();
        let beat =
            Heartbeat::new(self.node, time, stats.used_bytes, stats.free_bytes, self.addresses.clone())
                .map_err(|_| CoordError::Protocol("addresses that fit no heartbeat"))?;
        let statement = Blob(SignedHeartbeat::sign(beat, &self.sign).to_bytes());
        self.client.node_heartbeat(&self.node, &HeartbeatMessage { statement }).await
    }

    /// Says once that the server is away, and how long to wait.
    fn unheard(&self, error: &CoordError, was_heard: bool) -> Duration {
        match error.code() {
            Some(ErrorCode::NodeUnknown) if was_heard => tracing::warn!(
                "the server does not know this node: move node.toml away and join again with a new token"
            ),
            _ if was_heard => tracing::warn!(%error, "the server does not hear this node; serving on"),
            _ => tracing::debug!(%error, "the server does not hear this node"),
        }
        let pause = if error.is_transient() { limits::HEARTBEAT_RETRY } else { limits::HEARTBEAT_INTERVAL };
        error.retry_after().unwrap_or(pause).max(limits::HEARTBEAT_RETRY)
    }
}
