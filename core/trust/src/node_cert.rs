//! A storage node's certificate: its keys and its failure zone, signed by the server.

use crate::sign::{Label, PublicKey};
use crate::statement::{Signed, Statement};
use freehold_model::NodeId;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};

/// A node certificate with the server's signature.
pub type SignedNodeCert = Signed<NodeCert>;

/// Who a storage node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeCert {
    /// Its id.
    pub node: NodeId,
    /// Signs receipts and heartbeats.
    pub sign_pk: PublicKey,
    /// Its TLS raw public key (Ed25519).
    pub tls_pk: PublicKey,
    /// Its failure zone, as placement counts them.
    pub zone: u16,
    /// When it joined, in Unix seconds by the server's clock.
    pub created: u64,
}

impl Statement for NodeCert {
    const MAGIC: [u8; 4] = *b"FHNC";
    const LABEL: Label = Label::NodeCert;
}

impl Encode for NodeCert {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.node).put(&self.sign_pk).put(&self.tls_pk).u16(self.zone).u64(self.created);
    }
}

impl Decode for NodeCert {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            node: input.get()?,
            sign_pk: input.get()?,
            tls_pk: input.get()?,
            zone: input.u16()?,
            created: input.u64()?,
        })
    }
}
