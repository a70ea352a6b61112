//! A storage capability: what one TLS key may do at one node for one vault, and until when.
//!
//! The server signs it, the node checks it offline: the node needs the server's public key, its
//! own id, the time and the key on the other end of the link. It names the vault by the node's own
//! pseudonym and the client by a hash of its TLS key, so a stolen capability serves nobody.

use crate::limits;
use crate::sign::{Label, PublicKey};
use crate::statement::{Signed, Statement};
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::{NodeId, VaultTag};
use std::fmt;
use std::ops::BitOr;

/// A capability with the server's signature.
pub type SignedCapability = Signed<Capability>;

/// Why a node refuses a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// The server this node belongs to did not sign it.
    #[error("the capability is not signed by this node's server; ask the server for one")]
    BadSignature,
    /// It is for another node.
    #[error("the capability is for another node; ask the server for one for this node")]
    WrongNode,
    /// The client's TLS key is not the one named.
    #[error("the capability belongs to another client; ask the server for your own")]
    WrongHolder,
    /// Its time has not come; the clocks disagree.
    #[error("the capability is not valid yet; check the clocks of client, server and node")]
    NotYet,
    /// Its time is over.
    #[error("the capability has expired; ask the server for a new one")]
    Expired,
    /// It lives longer than any honest server allows.
    #[error("the capability lives longer than allowed; ask the server for a new one")]
    TooLong,
    /// The request needs an operation it does not grant.
    #[error("the capability does not allow this operation")]
    Forbidden,
}

/// What a server grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Random, so that one can be named and revoked.
    pub serial: [u8; 16],
    /// The node it is for.
    pub node: NodeId,
    /// The vault, by the node's own pseudonym.
    pub vault_tag: VaultTag,
    /// The operations allowed.
    pub ops: Ops,
    /// Bytes that may be put under it, in all.
    pub max_bytes: u64,
    /// First second it holds, Unix time.
    pub not_before: u64,
    /// First second it no longer holds, Unix time.
    pub not_after: u64,
    /// The client it is for.
    pub holder: HolderHash,
}

/// The circumstances a node checks a capability against.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// The server's public key.
    pub server: &'a PublicKey,
    /// The node's own id.
    pub node: &'a NodeId,
    /// The TLS key on the other end of the link.
    pub client_tls: &'a PublicKey,
    /// Unix seconds.
    pub now: u64,
    /// Seconds the node's clock may differ from the server's.
    pub skew_seconds: u64,
}

impl SignedCapability {
    /// Checks signature, node, client and time, and gives the terms.
    ///
    /// # Errors
    /// The first reason to refuse; the signature comes first.
    pub fn check(&self, circumstances: &Use<'_>) -> Result<&Capability, CapabilityError> {
        let terms = self.verify(circumstances.server).map_err(|_| CapabilityError::BadSignature)?;
        if terms.node != *circumstances.node {
            return Err(CapabilityError::WrongNode);
        }
        if terms.holder != HolderHash::of(circumstances.client_tls) {
            return Err(CapabilityError::WrongHolder);
        }
        terms.check_time(circumstances.now, circumstances.skew_seconds)?;
        Ok(terms)
    }
}

impl Capability {
    /// Whether the time is within the bounds, give or take the skew.
    ///
    /// # Errors
    /// `NotYet`, `Expired`, or `TooLong` for a life no honest server grants.
    pub const fn check_time(&self, now: u64, skew_seconds: u64) -> Result<(), CapabilityError> {
        if self.not_after.saturating_sub(self.not_before) > limits::CAPABILITY_SECONDS_MAX {
            return Err(CapabilityError::TooLong);
        }
        if now.saturating_add(skew_seconds) < self.not_before {
            return Err(CapabilityError::NotYet);
        }
        if now >= self.not_after.saturating_add(skew_seconds) {
            return Err(CapabilityError::Expired);
        }
        Ok(())
    }

    /// Whether the operations are granted.
    ///
    /// # Errors
    /// `Forbidden` when one of them is not.
    pub const fn allows(&self, ops: Ops) -> Result<(), CapabilityError> {
        if self.ops.contains(ops) { Ok(()) } else { Err(CapabilityError::Forbidden) }
    }
}

impl Statement for Capability {
    const MAGIC: [u8; 4] = *b"FHCP";
    const LABEL: Label = Label::Capability;
}

impl Encode for Capability {
    fn encode(&self, out: &mut Writer) {
        out.raw(&self.serial).put(&self.node).put(&self.vault_tag).u8(self.ops.0);
        out.u64(self.max_bytes).u64(self.not_before).u64(self.not_after).put(&self.holder);
    }
}

impl Decode for Capability {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let terms = Self {
            serial: input.array()?,
            node: input.get()?,
            vault_tag: input.get()?,
            ops: Ops::from_bits(input.u8()?).ok_or(DecodeError::Invalid("operations"))?,
            max_bytes: input.u64()?,
            not_before: input.u64()?,
            not_after: input.u64()?,
            holder: input.get()?,
        };
        if terms.not_before < terms.not_after {
            Ok(terms)
        } else {
            Err(DecodeError::Invalid("capability times"))
        }
    }
}

/// A set of node operations, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ops(u8);

impl Ops {
    /// Ask which chunks are there.
    pub const HAVE: Self = Self(1);
    /// Read chunks.
    pub const GET: Self = Self(2);
    /// Store chunks.
    pub const PUT: Self = Self(4);
    /// Everything a device does.
    pub const ALL: Self = Self(7);

    /// The set of these bits; none for unknown bits or the empty set.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits != 0 && bits & !Self::ALL.0 == 0 { Some(Self(bits)) } else { None }
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether every operation of the other set is in this one.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Ops {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A client's TLS key, hashed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HolderHash([u8; 32]);

impl HolderHash {
    /// The hash of a TLS public key.
    #[must_use]
    pub fn of(tls_pk: &PublicKey) -> Self {
        Self(blake3::derive_key("freehold v1 capability holder", tls_pk.as_bytes()))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for HolderHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "HolderHash({a:02x}{b:02x}{c:02x}{d:02x})")
    }
}

impl Encode for HolderHash {
    fn encode(&self, out: &mut Writer) {
        out.raw(&self.0);
    }
}

impl Decode for HolderHash {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.array().map(Self)
    }
}
