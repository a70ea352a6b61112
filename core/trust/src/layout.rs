//! A placement layout: which nodes there are, how much each takes, and how many copies count.
//!
//! One layout per epoch, signed by the server. Everyone computes the same placement from it
//! (`freehold_model::placement`), so a chunk's nodes are never looked up. Each node comes with its
//! own certificate, which gives a client the keys to pin.

use crate::limits;
use crate::node_cert::{NodeCert, SignedNodeCert};
use crate::sign::{BadSignature, Label, PublicKey};
use crate::statement::{Signed, Statement};
use freehold_model::NodeId;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::limits::LAYOUT_NODES_MAX;
use freehold_model::placement::NodeWeight;

/// Encoded bytes of one node: weight, then a certificate with preamble and signature.
const NODE_BYTES: usize = 4 + 6 + 90 + 64;

/// A layout with the server's signature.
pub type SignedLayout = Signed<Layout>;

/// The nodes of one epoch, in ascending order of id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    epoch: u64,
    created: u64,
    copies: u8,
    write_quorum: u8,
    nodes: Vec<LayoutNode>,
}

/// One node of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutNode {
    /// Its share relative to the others; 0 keeps what it has and takes nothing new.
    pub weight: u32,
    /// Its certificate, by the same server.
    pub cert: SignedNodeCert,
}

impl LayoutNode {
    /// The node's id.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.cert.unverified().node
    }
}

impl Layout {
    /// A layout of these nodes; `write_quorum` of `copies` receipts make a chunk placed.
    ///
    /// # Errors
    /// `Invalid` when 1 ≤ quorum ≤ copies ≤ 16 does not hold or a node is named twice, `TooLong`
    /// for too many nodes.
    pub fn new(
        epoch: u64,
        created: u64,
        copies: u8,
        write_quorum: u8,
        mut nodes: Vec<LayoutNode>,
    ) -> Result<Self, DecodeError> {
        nodes.sort_by_key(LayoutNode::node);
        let layout = Self { epoch, created, copies, write_quorum, nodes };
        layout.checked()
    }

    /// The epoch; a higher one replaces a lower one.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// When it was made, in Unix seconds by the server's clock.
    #[must_use]
    pub const fn created(&self) -> u64 {
        self.created
    }

    /// Copies wanted of each chunk (N).
    #[must_use]
    pub const fn copies(&self) -> u8 {
        self.copies
    }

    /// Receipts that make a chunk placed (W).
    #[must_use]
    pub const fn write_quorum(&self) -> u8 {
        self.write_quorum
    }

    /// The nodes in ascending order of id.
    #[must_use]
    pub fn nodes(&self) -> &[LayoutNode] {
        &self.nodes
    }

    /// The certificate of a node.
    #[must_use]
    pub fn cert(&self, node: &NodeId) -> Option<&NodeCert> {
        let found = self.nodes.iter().find(|entry| entry.node() == *node);
        found.map(|entry| entry.cert.unverified())
    }

    /// The nodes as placement takes them.
    #[must_use]
    pub fn weights(&self) -> Vec<NodeWeight> {
        self.nodes
            .iter()
            .map(|entry| {
                let cert = entry.cert.unverified();
                NodeWeight { node: cert.node, weight: entry.weight, zone: cert.zone }
            })
            .collect()
    }

    fn checked(self) -> Result<Self, DecodeError> {
        if self.nodes.len() > LAYOUT_NODES_MAX {
            return Err(DecodeError::TooLong);
        }
        let quorum = (1..=self.copies).contains(&self.write_quorum);
        if !quorum || self.copies > limits::LAYOUT_COPIES_MAX {
            return Err(DecodeError::Invalid("layout copies"));
        }
        let ids: Vec<NodeId> = self.nodes.iter().map(LayoutNode::node).collect();
        crate::statement::ascending(&ids, "layout nodes")?;
        Ok(self)
    }
}

impl SignedLayout {
    /// Checks the layout's signature and every certificate in it.
    ///
    /// # Errors
    /// [`BadSignature`] when the server did not sign one of them.
    pub fn verify_all(&self, server: &PublicKey) -> Result<&Layout, BadSignature> {
        let layout = self.verify(server)?;
        layout.nodes.iter().try_for_each(|entry| entry.cert.verify(server).map(|_| ()))?;
        Ok(layout)
    }
}

impl Statement for Layout {
    const MAGIC: [u8; 4] = *b"FHLY";
    const LABEL: Label = Label::Layout;
}

impl Encode for Layout {
    fn encode(&self, out: &mut Writer) {
        let count = u32::try_from(self.nodes.len()).expect("the constructor bounds the list");
        out.u64(self.epoch).u64(self.created).u8(self.copies).u8(self.write_quorum).u32(count);
        for entry in &self.nodes {
            out.u32(entry.weight).put(&entry.cert);
        }
    }
}

impl Decode for Layout {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (epoch, created) = (input.u64()?, input.u64()?);
        let (copies, write_quorum) = (input.u8()?, input.u8()?);
        let count = input.count(LAYOUT_NODES_MAX, NODE_BYTES)?;
        let nodes = (0..count)
            .map(|_| Ok(LayoutNode { weight: input.u32()?, cert: input.get()? }))
            .collect::<Result<_, DecodeError>>()?;
        Self { epoch, created, copies, write_quorum, nodes }.checked()
    }
}
