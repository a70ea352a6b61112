//! A node's heartbeat: where it can be reached and how full it is, in its own words.
//!
//! Signed, so that addresses handed on or cached by others stay the node's and not the carrier's.

use crate::limits;
use crate::sign::Label;
use crate::statement::{Signed, Statement};
use freehold_model::NodeId;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};

/// A heartbeat with the node's signature.
pub type SignedHeartbeat = Signed<Heartbeat>;

/// What a node says about itself every few seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    node: NodeId,
    time: u64,
    used_bytes: u64,
    free_bytes: u64,
    addresses: Vec<String>,
}

impl Heartbeat {
    /// A heartbeat; `addresses` are `host:port` in order of preference.
    ///
    /// # Errors
    /// `TooLong` for more than 16 addresses or one over 260 bytes, `Invalid` for an empty one or
    /// one that is not printable ASCII.
    pub fn new(
        node: NodeId,
        time: u64,
        used_bytes: u64,
        free_bytes: u64,
        addresses: Vec<String>,
    ) -> Result<Self, DecodeError> {
        if addresses.len() > limits::NODE_ADDRESSES_MAX {
            return Err(DecodeError::TooLong);
        }
        addresses.iter().try_for_each(|address| check_address(address))?;
        Ok(Self { node, time, used_bytes, free_bytes, addresses })
    }

    /// The node.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// When, in Unix seconds by the node's clock; only a later one replaces an earlier one.
    #[must_use]
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// Bytes stored.
    #[must_use]
    pub const fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Bytes that can still be stored.
    #[must_use]
    pub const fn free_bytes(&self) -> u64 {
        self.free_bytes
    }

    /// Where it listens, as `host:port`.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }
}

fn check_address(address: &str) -> Result<(), DecodeError> {
    if address.len() > limits::NODE_ADDRESS_BYTES_MAX {
        return Err(DecodeError::TooLong);
    }
    let printable = address.bytes().all(|byte| byte.is_ascii_graphic());
    if printable && !address.is_empty() { Ok(()) } else { Err(DecodeError::Invalid("address")) }
}

impl Statement for Heartbeat {
    const MAGIC: [u8; 4] = *b"FHHB";
    const LABEL: Label = Label::Heartbeat;
}

impl Encode for Heartbeat {
    fn encode(&self, out: &mut Writer) {
        let count = u32::try_from(self.addresses.len()).expect("the constructor bounds the list");
        out.put(&self.node).u64(self.time).u64(self.used_bytes).u64(self.free_bytes).u32(count);
        for address in &self.addresses {
            out.short_bytes(address.as_bytes());
        }
    }
}

impl Decode for Heartbeat {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (node, time) = (input.get()?, input.u64()?);
        let (used_bytes, free_bytes) = (input.u64()?, input.u64()?);
        let count = input.count(limits::NODE_ADDRESSES_MAX, 3)?;
        let addresses = (0..count)
            .map(|_| {
                let bytes = input.short_bytes(limits::NODE_ADDRESS_BYTES_MAX)?;
                let text = std::str::from_utf8(bytes);
                text.map(str::to_owned).map_err(|_| DecodeError::Invalid("address"))
            })
            .collect::<Result<_, DecodeError>>()?;
        Self::new(node, time, used_bytes, free_bytes, addresses)
    }
}
