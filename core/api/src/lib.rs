//! HTTP, WebSocket and peer messages, error codes, protocol version.
//!
//! Everything the coordination server and its clients say to each other is a type here, so the two
//! sides cannot drift apart. Small messages are JSON: ids in hexadecimal, other bytes as
//! [`Blob`] (base64url, no padding). Bulk transfer of commits and records ([`bulk`]) is binary in
//! the one codec of `freehold-model`. Errors are `application/problem+json` ([`Problem`]) with a
//! stable [`ErrorCode`]. Signed statements travel as opaque bytes; `freehold-trust` reads them.
//!
//! This crate holds no clock, file, socket or key and builds for the browser.

#![forbid(unsafe_code)]

mod account;
mod blob;
pub mod bulk;
pub mod control;
mod device;
pub mod device_peer;
mod error;
mod event;
pub mod limits;
mod login;
mod node;
pub mod path;
pub mod peer;
mod placement;
mod recovery;
mod server;
mod vault;

pub use account::{
    AccountBoxes, AccountLog, AppendEntries, AppendedEntries, KIND_PREVIOUS_ROOT, KIND_PREVIOUS_VAULT_KEY,
    KIND_VAULT_KEY, KeyBoxEntry, NewLogin, PasswordStart, PasswordStarted, UnlockBoxEntry, UnlockPath,
    VaultBoxes,
};
pub use blob::Blob;
pub use device::{
    DeviceAddressList, DeviceAddressesPut, DeviceChallenge, DeviceChallengeRequest, DeviceSessionRequest,
};
pub use error::{ErrorCode, FieldError, PROBLEM_CONTENT_TYPE, Problem, UnknownErrorCode};
pub use event::Event;
pub use login::{
    Kdf, LoginFinish, LoginStart, LoginStarted, RegisterFinish, RegisterStart, RegisterStarted, Scope,
    Session,
};
pub use node::{Heartbeat, NodeJoin, NodeJoined};
pub use placement::{Capabilities, CapabilityGrant, CapabilityRequest, ChunkOp, LayoutInfo, NodeAddresses};
pub use recovery::{RecoveryChallenge, RecoveryChallengeRequest, RecoverySessionRequest};
pub use server::{Health, Registration, ServerInfo, VersionInfo};
pub use vault::{
    ChainHead, ChainState, PushOutcome, PushResponse, ReceiptsAccepted, VaultList, VaultState, VaultSummary,
};

/// The protocol version this build speaks, in [`ServerInfo`] and the `freehold-protocol` header.
pub const PROTOCOL: u16 = 1;

/// The header that carries [`PROTOCOL`] on every response.
pub const PROTOCOL_HEADER: &str = "freehold-protocol";

/// The header that carries the request id, repeated in problem bodies.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// Content type of the binary bodies in [`bulk`].
pub const BULK_CONTENT_TYPE: &str = "application/octet-stream";
