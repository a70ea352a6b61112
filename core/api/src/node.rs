//! Messages of storage nodes: join and heartbeat.

use crate::Blob;
use freehold_model::NodeId;
use serde::{Deserialize, Serialize};

/// `POST /api/v1/nodes/join`. Repeating it with the same key yields the same node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeJoin {
    /// One-time token of `freehold-server admin join-token`.
    pub token: String,
    /// Ed25519 key that signs receipts and heartbeats, 32 bytes.
    pub sign_pk: Blob,
    /// Ed25519 key of its TLS identity, 32 bytes.
    pub tls_pk: Blob,
    /// `IP:PORT` where clients reach it, best first.
    pub addresses: Vec<String>,
    /// Failure zone: copies prefer distinct zones.
    pub zone: u16,
    /// Bytes it offers.
    pub capacity_bytes: u64,
}

/// Answer to [`NodeJoin`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeJoined {
    /// The node's id on this server.
    pub node_id: NodeId,
    /// The key that signs capabilities, to pin; 32 bytes.
    pub server_sign_pk: Blob,
    /// The encoded node certificate.
    pub cert: Blob,
}

/// `POST /api/v1/nodes/{node}/heartbeat`, about every minute; answered with 204.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The encoded heartbeat, signed by the node (`freehold-trust`): time, addresses, fill.
    pub statement: Blob,
}
