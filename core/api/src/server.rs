//! What a server says about itself before anyone logs in.

use crate::Blob;
use serde::{Deserialize, Serialize};

/// Answer to `GET /api/v1/server`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// Version of the server program.
    pub version: String,
    /// [`crate::PROTOCOL`] of the server.
    pub protocol: u16,
    /// BLAKE3 of the signing key, 32 bytes: what session proofs and pins name.
    pub server_id: Blob,
    /// The Ed25519 key that signs capabilities, layouts and node certificates; 32 bytes.
    pub sign_pk: Blob,
    /// Who may register now.
    pub registration: Registration,
}

/// Who may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Nobody has registered yet: the first account is free.
    Open,
    /// Only with an invite.
    Invite,
}

/// Answer to `GET /version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Program name.
    pub program: String,
    /// Program version.
    pub version: String,
    /// [`crate::PROTOCOL`].
    pub protocol: u16,
}

/// Answer to `GET /readyz`; status 200 when ready, else 503.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether the server can do its work.
    pub ready: bool,
    /// Whether the database answers.
    pub database: bool,
    /// Storage nodes heard from lately.
    pub nodes_live: u32,
}
