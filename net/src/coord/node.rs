//! Placement: layout and capabilities for devices, join and heartbeat for storage nodes.

use freehold_api::{Capabilities, CapabilityRequest, Heartbeat, LayoutInfo, NodeJoin, NodeJoined, path};
use freehold_model::NodeId;

use super::{CoordError, ServerClient};

impl ServerClient {
    /// The signed layout and where its nodes are.
    ///
    /// # Errors
    /// See [`CoordError`].
    pub async fn layout(&self) -> Result<LayoutInfo, CoordError> {
        self.get(path::LAYOUT).await
    }

    /// Capabilities of the calling device for every node.
    ///
    /// # Errors
    /// `no_nodes`; see [`CoordError`].
    pub async fn capabilities(&self, message: &CapabilityRequest) -> Result<Capabilities, CoordError> {
        self.post(path::CAPABILITIES, message).await
    }

    /// Joins a storage node. May be repeated with the same key.
    ///
    /// # Errors
    /// `join_token_invalid`, `node_invalid`; see [`CoordError`].
    pub async fn node_join(&self, message: &NodeJoin) -> Result<NodeJoined, CoordError> {
        self.post(path::NODE_JOIN, message).await
    }

    /// Tells the server that a node lives, where, and how full it is.
    ///
    /// # Errors
    /// `node_unknown`, `stale_heartbeat`; see [`CoordError`].
    pub async fn node_heartbeat(&self, node: &NodeId, message: &Heartbeat) -> Result<(), CoordError> {
        self.post_only(&path::node_heartbeat(node), message).await
    }
}
