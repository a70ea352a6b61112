//! A storage receipt: a node's word that it holds chunks durably for a vault.
//!
//! One receipt serves all chunks of one request: a signature costs its node, the device and the server some
//! 150 µs together, which for 10,000 small files would be most of the work.
//!
//! Receipts decide when a version counts as placed, so a device and the server check them against
//! the node's certificate, and compare node, vault pseudonym and chunks with what they asked for.

use crate::sign::Label;
use crate::statement::{Signed, Statement};
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::limits::BATCH_ITEMS_MAX;
use freehold_model::{ChunkId, NodeId, VaultTag};

/// A receipt with the node's signature.
pub type SignedReceipt = Signed<Receipt>;

/// Bytes of one encoded chunk of a receipt.
const CHUNK_BYTES: usize = 36;

/// What a node acknowledges after its disk did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The node.
    pub node: NodeId,
    /// The vault, by the node's own pseudonym.
    pub vault_tag: VaultTag,
    /// When, in Unix seconds by the node's clock.
    pub time: u64,
    /// The chunks, in the order they were sent; 1 to 1,024.
    pub chunks: Vec<ReceivedChunk>,
}

/// One chunk of a [`Receipt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedChunk {
    /// The chunk.
    pub id: ChunkId,
    /// Its length.
    pub len_bytes: u32,
}

impl Statement for Receipt {
    const MAGIC: [u8; 4] = *b"FHRC";
    const LABEL: Label = Label::Receipt;
}

impl Encode for Receipt {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.node).put(&self.vault_tag).u64(self.time);
        out.u32(u32::try_from(self.chunks.len()).expect("as many as one request has at most"));
        for chunk in &self.chunks {
            out.put(&chunk.id).u32(chunk.len_bytes);
        }
    }
}

impl Decode for Receipt {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (node, vault_tag, time) = (input.get()?, input.get()?, input.u64()?);
        let count = input.count(BATCH_ITEMS_MAX, CHUNK_BYTES)?;
        if count == 0 {
            return Err(DecodeError::Invalid("a receipt of nothing"));
        }
        let mut chunks = Vec::with_capacity(count);
        for _ in 0..count {
            chunks.push(ReceivedChunk { id: input.get()?, len_bytes: input.u32()? });
        }
        Ok(Self { node, vault_tag, time, chunks })
    }
}
