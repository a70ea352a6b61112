//! How a device gets a session: proof that it holds its signing key.
//!
//! The device asks for a nonce and signs (server id ‖ nonce ‖ device id) under the label
//! `session`; the exact bytes are `freehold-trust`'s.

use crate::Blob;
use freehold_model::DeviceId;
use serde::{Deserialize, Serialize};

/// `POST /api/v1/device/challenge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceChallengeRequest {
    /// The device that wants a session.
    pub device_id: DeviceId,
}

/// Answer to [`DeviceChallengeRequest`]; the same shape for an unknown device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceChallenge {
    /// 32 random bytes, good once and for one minute.
    pub nonce: Blob,
}

/// `POST /api/v1/device/session`; the answer is a [`crate::Session`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSessionRequest {
    /// The device.
    pub device_id: DeviceId,
    /// From [`DeviceChallenge`].
    pub nonce: Blob,
    /// The device's signature, 64 bytes.
    pub signature: Blob,
}

/// Where this device can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAddressesPut {
    /// Its signed statement (`freehold-trust`).
    pub statement: Blob,
}

/// What the account's live devices said last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAddressList {
    /// Their signed statements, for the reader to verify.
    pub statements: Vec<Blob>,
}
