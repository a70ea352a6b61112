//! Chunks between this device and the storage nodes.
//!
//! [`nodes`] keeps one link to each node of the layout, with a capability; [`upload`] brings pinned
//! chunks to as many nodes as the policy asks for; [`download`] brings chunks here. Placement
//! decides which node, by rank; a node that is away is passed over and tried again later.

pub(crate) mod batch;
pub(crate) mod bring;
pub(crate) mod download;
pub(crate) mod limits;
pub(crate) mod nodes;
pub(crate) mod nodes_file;
pub(crate) mod peer;
pub(crate) mod serving;
pub(crate) mod upload;
