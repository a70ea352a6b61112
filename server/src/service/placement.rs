//! Where chunks go: making layouts, handing them out, granting capabilities.

use super::vault;
use crate::App;
use crate::clock::micros;
use crate::db::{LayoutRow, NodeRow, StoreError};
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::DeviceCaller;
use crate::limits::{
    CAPABILITY_BACKDATE_SECONDS, CAPABILITY_PUT_BYTES, CAPABILITY_SECONDS, COPIES, NODE_LIVE_SECONDS,
    WRITE_QUORUM,
};
use crate::random;
use freehold_api::{
    Blob, Capabilities, CapabilityGrant, CapabilityRequest, ChunkOp, ErrorCode, LayoutInfo, NodeAddresses,
};
use freehold_trust::{
    Capability, HolderHash, Layout, LayoutNode, Ops, SignKey, SignedCapability, SignedLayout, SignedNodeCert,
};

/// Builds and signs the layout of an epoch over all nodes.
pub(super) fn make_layout(
    key: &SignKey,
    epoch: u64,
    now: i64,
    nodes: &[NodeRow],
) -> Result<LayoutRow, StoreError> {
    let count = u8::try_from(nodes.len()).unwrap_or(u8::MAX);
    let (copies, write_quorum) = (count.min(COPIES), count.min(WRITE_QUORUM));
    let entries = nodes.iter().map(|node| {
        let cert =
            SignedNodeCert::from_bytes(&node.cert).map_err(|_| StoreError::Corrupt("node certificate"))?;
        Ok(LayoutNode { weight: node.weight, cert })
    });
    let entries = entries.collect::<Result<_, StoreError>>()?;
    let created = u64::try_from(now / 1_000_000).unwrap_or_default();
    let layout = Layout::new(epoch, created, copies, write_quorum, entries)
        .map_err(|_| StoreError::Corrupt("set of nodes"))?;
    Ok(LayoutRow { epoch, write_quorum, bytes: SignedLayout::sign(layout, key).to_bytes(), created: now })
}

pub(crate) async fn layout(app: &App) -> ApiResult<LayoutInfo> {
    let nodes = app.store.nodes().await?;
    let heard_since = app.clock.micros().saturating_sub(micros(NODE_LIVE_SECONDS));
    let nodes = nodes.into_iter().map(|node| NodeAddresses {
        node_id: node.node,
        addresses: node.addresses,
        live: node.last_seen > heard_since,
    });
    let nodes = nodes.collect();
    Ok(match app.store.layout().await? {
        Some(row) => LayoutInfo { epoch: row.epoch, layout: Blob(row.bytes), nodes },
        None => LayoutInfo { epoch: 0, layout: Blob::default(), nodes },
    })
}

pub(crate) async fn capabilities(
    app: &App,
    caller: &DeviceCaller,
    request: &CapabilityRequest,
) -> ApiResult<Capabilities> {
    vault::check(app, caller, request.vault_id).await?;
    let ops = ops_of(&request.ops)?;
    let device = app.store.device(caller.device).await?.ok_or(ApiError::new(ErrorCode::Unauthenticated))?;
    let nodes = app.store.nodes().await?;
    if nodes.is_empty() {
        return Err(ApiError::new(ErrorCode::NoNodes));
    }
    let now = app.clock.seconds();
    let expires = now.saturating_add(CAPABILITY_SECONDS);
    let grant = |node: &NodeRow| {
        let terms = Capability {
            serial: random::bytes(),
            node: node.node,
            vault_tag: app.keys.vault_tag(&request.vault_id, &node.node),
            ops,
            max_bytes: if ops.contains(Ops::PUT) { CAPABILITY_PUT_BYTES } else { 0 },
            not_before: now.saturating_sub(CAPABILITY_BACKDATE_SECONDS),
            not_after: expires,
            holder: HolderHash::of(&device.tls_pk),
        };
        let capability = SignedCapability::sign(terms, app.keys.sign()).to_bytes();
        CapabilityGrant { node: node.node, capability: Blob(capability) }
    };
    Ok(Capabilities { items: nodes.iter().map(grant).collect(), expires })
}

fn ops_of(ops: &[ChunkOp]) -> ApiResult<Ops> {
    let bits = ops.iter().fold(0, |bits, op| {
        bits | match op {
            ChunkOp::Have => Ops::HAVE.bits(),
            ChunkOp::Get => Ops::GET.bits(),
            ChunkOp::Put => Ops::PUT.bits(),
        }
    });
    let none = || ApiError::field(ErrorCode::BadRequest, "ops", "name at least one of have, get, put");
    Ops::from_bits(bits).ok_or_else(none)
}
