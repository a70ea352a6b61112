//! Storage nodes: joining by token, heartbeats.

use super::placement::make_layout;
use crate::App;
use crate::db::{Heard, HeartbeatRow, JoinOutcome, NodeRow};
use crate::http::error::{ApiError, ApiResult};
use crate::random;
use crate::throttle::network;
use freehold_api::{Blob, ErrorCode, Event, Heartbeat, NodeJoin, NodeJoined};
use freehold_model::NodeId;
use freehold_trust::{NodeCert, PublicKey, SignedHeartbeat, SignedNodeCert};
use std::net::IpAddr;

pub(crate) async fn join(app: &App, peer: IpAddr, request: &NodeJoin) -> ApiResult<NodeJoined> {
    let bucket = blake3::derive_key("freehold v1 network bucket", &network(peer));
    app.network_throttle.take(bucket, app.clock.micros()).map_err(ApiError::wait)?;
    let row = new_row(app, request).await?;
    let now = app.clock.micros();
    let make = |epoch, nodes: &[NodeRow]| make_layout(app.keys.sign(), epoch, now, nodes);
    match app.store.join_node(random::token_hash(&request.token), row, &make, now).await? {
        JoinOutcome::Joined { node, epoch } => {
            tracing::info!(node = ?node.node, epoch, "a storage node joined");
            app.push(None, Event::Layout { epoch });
            Ok(NodeJoined {
                node_id: node.node,
                server_sign_pk: Blob::from(app.keys.public().to_bytes()),
                cert: Blob(node.cert),
            })
        }
        JoinOutcome::BadToken => Err(ApiError::new(ErrorCode::JoinTokenInvalid)),
        JoinOutcome::Full => {
            Err(ApiError::with(ErrorCode::NodeInvalid, "there are as many nodes as one layout holds"))
        }
    }
}

async fn new_row(app: &App, request: &NodeJoin) -> ApiResult<NodeRow> {
    let key = |field, blob: &Blob| {
        let bytes = blob.to_array().ok_or_else(|| invalid(field, "a public key has 32 bytes"))?;
        Ok::<_, ApiError>(PublicKey::from_bytes(bytes))
    };
    let (sign_pk, tls_pk) = (key("sign_pk", &request.sign_pk)?, key("tls_pk", &request.tls_pk)?);
    let known = app.store.nodes().await?.into_iter().find(|node| node.sign_pk == sign_pk);
    let node = known.map_or_else(|| NodeId::from_bytes(random::bytes()), |known| known.node);
    check_addresses(node, &request.addresses)?;
    if request.capacity_bytes == 0 {
        return Err(invalid("capacity_bytes", "a node offers at least one byte"));
    }
    let cert = NodeCert { node, sign_pk, tls_pk, zone: request.zone, created: app.clock.seconds() };
    Ok(NodeRow {
        node,
        sign_pk,
        cert: SignedNodeCert::sign(cert, app.keys.sign()).to_bytes(),
        weight: weight(request.capacity_bytes),
        addresses: request.addresses.clone(),
        capacity_bytes: request.capacity_bytes,
        used_bytes: 0,
        free_bytes: request.capacity_bytes,
        heartbeat_time: 0,
        last_seen: app.clock.micros(),
    })
}

/// A node's share: its capacity in GiB, at least 1.
fn weight(capacity_bytes: u64) -> u32 {
    u32::try_from(capacity_bytes >> 30).unwrap_or(u32::MAX).max(1)
}

/// The rules of the signed heartbeat hold for a join too; and an address is needed to be found.
fn check_addresses(node: NodeId, addresses: &[String]) -> ApiResult<()> {
    let by_rule = freehold_trust::Heartbeat::new(node, 0, 0, 0, addresses.to_vec());
    if addresses.is_empty() || by_rule.is_err() {
        return Err(invalid("addresses", "name 1 to 16 addresses as HOST:PORT"));
    }
    Ok(())
}

fn invalid(field: &str, detail: &str) -> ApiError {
    ApiError::field(ErrorCode::NodeInvalid, field, detail)
}

pub(crate) async fn heartbeat(app: &App, node: NodeId, request: &Heartbeat) -> ApiResult<()> {
    let signed = SignedHeartbeat::from_bytes(request.statement.as_slice())?;
    let nodes = app.store.nodes().await?;
    let known = nodes.iter().find(|known| known.node == node);
    let known = known.ok_or(ApiError::new(ErrorCode::NodeUnknown))?;
    let beat = signed.verify(&known.sign_pk).map_err(|_| ApiError::new(ErrorCode::BadSignature))?;
    if beat.node() != node {
        return Err(ApiError::with(ErrorCode::BadSignature, "the heartbeat is of another node"));
    }
    check_addresses(node, beat.addresses())?;
    let row = HeartbeatRow {
        time: beat.time(),
        addresses: beat.addresses().to_vec(),
        used_bytes: beat.used_bytes(),
        free_bytes: beat.free_bytes(),
        now: app.clock.micros(),
    };
    match app.store.heartbeat(node, row).await? {
        Heard::Same => Ok(()),
        Heard::Moved => {
            let epoch = app.store.layout().await?.map_or(0, |layout| layout.epoch);
            app.push(None, Event::Layout { epoch });
            Ok(())
        }
        Heard::Stale => Err(ApiError::new(ErrorCode::StaleHeartbeat)),
        Heard::Unknown => Err(ApiError::new(ErrorCode::NodeUnknown)),
    }
}
