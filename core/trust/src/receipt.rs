//! A storage receipt: a node's word that it holds a chunk durably for a vault.
//!
//! Receipts decide when a version counts as placed, so a device and the server check them against
//! the node's certificate, and compare node, vault pseudonym and chunk with what they asked for.

use crate::sign::Label;
use crate::statement::{Signed, Statement};
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::{ChunkId, NodeId, VaultTag};

/// A receipt with the node's signature.
pub type SignedReceipt = Signed<Receipt>;

/// What a node acknowledges after its disk did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The node.
    pub node: NodeId,
    /// The vault, by the node's own pseudonym.
    pub vault_tag: VaultTag,
    /// The chunk.
    pub chunk: ChunkId,
    /// The chunk's length.
    pub len_bytes: u32,
    /// When, in Unix seconds by the node's clock.
    pub time: u64,
}

impl Statement for Receipt {
    const MAGIC: [u8; 4] = *b"FHRC";
    const LABEL: Label = Label::Receipt;
}

impl Encode for Receipt {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.node).put(&self.vault_tag).put(&self.chunk);
        out.u32(self.len_bytes).u64(self.time);
    }
}

impl Decode for Receipt {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            node: input.get()?,
            vault_tag: input.get()?,
            chunk: input.get()?,
            len_bytes: input.u32()?,
            time: input.u64()?,
        })
    }
}
