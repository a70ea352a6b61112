//! Signed statements and the OPAQUE suite: who may say what, and how anyone checks it.
//!
//! Every statement has one canonical byte form (magic, format, suite, fields big-endian, signature)
//! and is signed with Ed25519 under a label of its own, so a signature never counts as anything
//! else. The account log, the commit chain and the certificates here are all that a server, a
//! storage node or another device needs to judge an action; none of it needs a content key, and no
//! content cipher is reachable from this crate. Password login (OPAQUE) lives here for the same
//! reason: both sides run it, and the server must never link a cipher.
//!
//! There is no clock, file or socket: callers pass the time and an [`freehold_model::Entropy`].

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test stops on its own mistake"
    )
)]

pub mod account_log;
mod capability;
pub mod commit;
mod device_addresses;
mod device_cert;
mod heartbeat;
mod kdf_params;
mod layout;
pub mod limits;
mod node_cert;
pub mod opaque;
mod receipt;
mod session;
mod sign;
mod statement;
#[cfg(test)]
mod testing;

pub use capability::{Capability, CapabilityError, HolderHash, Ops, SignedCapability, Use};
pub use device_addresses::{DeviceAddresses, SignedDeviceAddresses};
pub use device_cert::{BadDeviceName, DeviceCert, DeviceName, SignedDeviceCert, XWingPublic};
pub use heartbeat::{Heartbeat, SignedHeartbeat};
pub use kdf_params::{KdfError, KdfParams};
pub use layout::{Layout, LayoutNode, SignedLayout};
pub use node_cert::{NodeCert, SignedNodeCert};
pub use receipt::{Receipt, ReceivedChunk, SignedReceipt};
pub use session::{RecoveryProof, SessionProof, SignedRecoveryProof, SignedSessionProof};
pub use sign::{BadSignature, Label, PublicKey, SignKey, Signature};
pub use statement::{Signed, Statement};
