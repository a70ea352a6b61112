//! The account log and the sealed boxes beside it.
//!
//! Log entries and boxes are opaque to this crate and to the server's storage: entries are read
//! and verified with `freehold-trust`, boxes only by clients. A box is named by what it is for, so
//! that the server can replace and hand out the right ones.

use crate::Blob;
use freehold_model::VaultId;
use serde::{Deserialize, Serialize};

/// The kinds of unlock path; the numbers are those of `freehold-trust`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnlockPath {
    /// The password.
    Password,
    /// The recovery key.
    Recovery,
    /// A device's own key pair.
    Device,
}

impl UnlockPath {
    /// The kind as the number it is stored by.
    #[must_use]
    pub const fn to_u8(self) -> u8 {
        match self {
            Self::Password => 1,
            Self::Recovery => 2,
            Self::Device => 3,
        }
    }

    /// The kind of a stored number.
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Password),
            2 => Some(Self::Recovery),
            3 => Some(Self::Device),
            _ => None,
        }
    }
}

/// One account root generation sealed to one unlock path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlockBoxEntry {
    /// Kind of the path.
    pub path: UnlockPath,
    /// Which path of that kind, 16 bytes, as in the account log; the device id for a device.
    pub path_id: Blob,
    /// Account root generation inside.
    pub generation: u32,
    /// The sealed box.
    pub sealed: Blob,
}

/// One key generation wrapped under another symmetric key of the hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyBoxEntry {
    /// Kind of the box, as in its own header.
    pub kind: u8,
    /// Generation of the key inside.
    pub generation: u32,
    /// Generation of the wrapping key.
    pub wrapper_generation: u32,
    /// The sealed box.
    pub sealed: Blob,
}

/// The key boxes of one vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultBoxes {
    /// The vault.
    pub vault_id: VaultId,
    /// Its keys under the account root, and earlier ones under later ones.
    pub boxes: Vec<KeyBoxEntry>,
}

/// Answer to `GET /api/v1/account/log`: every entry from genesis on, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLog {
    /// Encoded entries.
    pub entries: Vec<Blob>,
}

/// `POST /api/v1/account/log`: appends one entry when it extends the head, and stores the boxes
/// that belong to it in the same transaction. Repeating an appended entry is answered as before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendEntry {
    /// The encoded entry.
    pub entry: Blob,
    /// Account roots sealed to unlock paths: of the new device, or of a new generation.
    #[serde(default)]
    pub boxes: Vec<UnlockBoxEntry>,
    /// Earlier account roots under the new one.
    #[serde(default)]
    pub account_keys: Vec<KeyBoxEntry>,
    /// New vault key generations.
    #[serde(default)]
    pub vault_keys: Vec<VaultBoxes>,
}

/// Answer to [`AppendEntry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendedEntry {
    /// Place of the entry in the log; genesis is 0.
    pub seq: u64,
}

/// Answer to `GET /api/v1/account/boxes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountBoxes {
    /// Account roots sealed to unlock paths.
    pub boxes: Vec<UnlockBoxEntry>,
    /// Earlier account roots under later ones.
    #[serde(default)]
    pub account_keys: Vec<KeyBoxEntry>,
}
