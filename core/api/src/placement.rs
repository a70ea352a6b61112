//! Where chunks go: the signed layout, node addresses, capabilities.

use crate::Blob;
use freehold_model::{NodeId, VaultId};
use serde::{Deserialize, Serialize};

/// Answer to `GET /api/v1/layout`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutInfo {
    /// Epoch of the layout; 0 with an empty `layout` while no node has joined.
    pub epoch: u64,
    /// The encoded layout, signed by the server.
    pub layout: Blob,
    /// Where its nodes were last heard from. Unsigned: the node's certificate pins its key.
    pub nodes: Vec<NodeAddresses>,
}

/// Addresses of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAddresses {
    /// The node.
    pub node_id: NodeId,
    /// `IP:PORT`, best first.
    pub addresses: Vec<String>,
    /// Whether its last heartbeat is recent.
    pub live: bool,
}

/// What a capability may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkOp {
    /// Ask which chunks are there.
    Have,
    /// Read chunks.
    Get,
    /// Store chunks.
    Put,
}

/// `POST /api/v1/capabilities`. The holder is the calling device's TLS key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilityRequest {
    /// The vault.
    pub vault_id: VaultId,
    /// What to allow.
    pub ops: Vec<ChunkOp>,
}

/// Answer to [`CapabilityRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// One for each node of the layout.
    pub items: Vec<CapabilityGrant>,
    /// End of their validity, seconds since 1970 by the server's clock.
    pub expires: u64,
}

/// One capability for one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilityGrant {
    /// The node that accepts it.
    pub node: NodeId,
    /// The encoded capability, signed by the server.
    pub capability: Blob,
}
