//! Booking receipts: each is checked against its node's key and this vault's pseudonym there.

use super::vault;
use crate::App;
use crate::db::{NodeRow, PlacedChunk};
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::DeviceCaller;
use freehold_api::bulk::ReceiptsRequest;
use freehold_api::{ErrorCode, Event, ReceiptsAccepted};
use freehold_model::{NodeId, VaultId, VaultTag};
use freehold_trust::{PublicKey, ReceivedChunk, SignedReceipt};
use std::collections::BTreeMap;

pub(crate) async fn book(
    app: &App,
    caller: &DeviceCaller,
    vault: VaultId,
    request: ReceiptsRequest,
) -> ApiResult<ReceiptsAccepted> {
    vault::check(app, caller, vault).await?;
    let issuers = issuers(app, vault).await?;
    // A signature takes some 80 µs to check.
    let checked = tokio::task::spawn_blocking(move || {
        let checked = request.receipts.iter().map(|bytes| check(&issuers, bytes));
        checked.collect::<ApiResult<Vec<_>>>().map(|chunks| chunks.concat())
    });
    let failed = |_| ApiError::with(ErrorCode::Internal, "checking receipts failed");
    let chunks = checked.await.map_err(failed)??;
    let placed_versions = app.store.book_receipts(vault, &chunks, app.clock.micros()).await?;
    if placed_versions > 0 {
        app.push(Some(caller.account), Event::Placed { vault });
    }
    Ok(ReceiptsAccepted { accepted: chunks.len() as u64, placed_versions })
}

/// Nodes whose receipts count, each with its key and its pseudonym of the vault.
type Issuers = BTreeMap<NodeId, (PublicKey, VaultTag)>;

async fn issuers(app: &App, vault: VaultId) -> ApiResult<Issuers> {
    let nodes = app.store.nodes().await?;
    let one = |node: NodeRow| (node.node, (node.sign_pk, app.keys.vault_tag(&vault, &node.node)));
    Ok(nodes.into_iter().map(one).collect())
}

fn check(issuers: &Issuers, bytes: &[u8]) -> ApiResult<Vec<PlacedChunk>> {
    let refuse = |detail| ApiError::with(ErrorCode::ReceiptInvalid, detail);
    let signed = SignedReceipt::from_bytes(bytes).map_err(|_| refuse("a receipt is malformed"))?;
    let node = signed.unverified().node;
    let (key, tag) = issuers.get(&node).ok_or_else(|| refuse("a receipt is of an unknown node"))?;
    let receipt = signed.verify(key).map_err(|_| refuse("a receipt is not signed by its node"))?;
    if receipt.vault_tag != *tag {
        return Err(refuse("a receipt is for another vault"));
    }
    let placed = |chunk: &ReceivedChunk| PlacedChunk { chunk: chunk.id, node, len_bytes: chunk.len_bytes };
    Ok(receipt.chunks.iter().map(placed).collect())
}
