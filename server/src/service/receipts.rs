//! Booking receipts: each is checked against its node's key and this vault's pseudonym there.

use super::vault;
use crate::App;
use crate::db::{NodeRow, PlacedChunk};
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::DeviceCaller;
use freehold_api::bulk::ReceiptsRequest;
use freehold_api::{ErrorCode, Event, ReceiptsAccepted};
use freehold_model::{NodeId, VaultId};
use freehold_trust::SignedReceipt;
use std::collections::BTreeMap;

pub(crate) async fn book(
    app: &App,
    caller: &DeviceCaller,
    vault: VaultId,
    request: &ReceiptsRequest,
) -> ApiResult<ReceiptsAccepted> {
    vault::check(app, caller, vault).await?;
    let nodes = app.store.nodes().await?;
    let nodes: BTreeMap<NodeId, NodeRow> = nodes.into_iter().map(|node| (node.node, node)).collect();
    let chunks = request.receipts.iter().map(|bytes| check(app, vault, &nodes, bytes));
    let chunks: Vec<PlacedChunk> = chunks.collect::<ApiResult<_>>()?;
    let placed_versions = app.store.book_receipts(vault, &chunks, app.clock.micros()).await?;
    if placed_versions > 0 {
        app.push(Some(caller.account), Event::Placed { vault });
    }
    Ok(ReceiptsAccepted { accepted: chunks.len() as u64, placed_versions })
}

fn check(
    app: &App,
    vault: VaultId,
    nodes: &BTreeMap<NodeId, NodeRow>,
    bytes: &[u8],
) -> ApiResult<PlacedChunk> {
    let refuse = |detail| ApiError::with(ErrorCode::ReceiptInvalid, detail);
    let signed = SignedReceipt::from_bytes(bytes).map_err(|_| refuse("a receipt is malformed"))?;
    let node =
        nodes.get(&signed.unverified().node).ok_or_else(|| refuse("a receipt is of an unknown node"))?;
    let receipt = signed.verify(&node.sign_pk).map_err(|_| refuse("a receipt is not signed by its node"))?;
    if receipt.vault_tag != app.keys.vault_tag(&vault, &node.node) {
        return Err(refuse("a receipt is for another vault"));
    }
    Ok(PlacedChunk { chunk: receipt.chunk, node: node.node, len_bytes: receipt.len_bytes })
}
