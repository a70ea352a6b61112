//! The account log and the sealed boxes beside it.
//!
//! Log entries and boxes are opaque to this crate and to the server's storage: entries are read
//! and verified with `freehold-trust`, boxes only by clients. A box is named by what it is for, so
//! that the server can replace and hand out the right ones.

use crate::{Blob, Kdf};
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

/// [`KeyBoxEntry::kind`] of a vault key under an account root.
pub const KIND_VAULT_KEY: u8 = 1;
/// [`KeyBoxEntry::kind`] of a vault key under the vault key after it.
pub const KIND_PREVIOUS_VAULT_KEY: u8 = 2;
/// [`KeyBoxEntry::kind`] of an account root under the root after it.
pub const KIND_PREVIOUS_ROOT: u8 = 3;

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

/// `POST /api/v1/account/log`: appends entries, all or none, when they extend the head, and stores what
/// belongs to them in the same transaction. Repeating appended entries is answered as before.
///
/// A change that shuts somebody out (a device revoked, a secret replaced) ends with a rotation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendEntries {
    /// The encoded entries, in order.
    pub entries: Vec<Blob>,
    /// Account roots sealed to unlock paths: exactly those a rotation names, or one for each path that
    /// became live without one.
    #[serde(default)]
    pub boxes: Vec<UnlockBoxEntry>,
    /// The account root before a rotation under the new one.
    #[serde(default)]
    pub account_keys: Vec<KeyBoxEntry>,
    /// The next key of every vault, with a rotation.
    #[serde(default)]
    pub vault_keys: Vec<VaultBoxes>,
    /// The new login record, with a new password and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<NewLogin>,
    /// The user name sealed to the new recovery key, with a new recovery key and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_box: Option<Blob>,
}

/// The login record of a new password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLogin {
    /// Login name of the account, as in [`PasswordStart`].
    pub user: String,
    /// OPAQUE registration upload.
    pub upload: Blob,
}

/// Answer to [`AppendEntries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendedEntries {
    /// Place of the last entry in the log; genesis is 0.
    pub seq: u64,
}

/// `POST /api/v1/account/password/start`: first step of a new password for the session's account. The
/// second is [`AppendEntries`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordStart {
    /// Login name of the account: OPAQUE binds the password to it, and the server keeps only its hash.
    pub user: String,
    /// OPAQUE registration request.
    pub request: Blob,
}

/// Answer to [`PasswordStart`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordStarted {
    /// OPAQUE registration response.
    pub response: Blob,
    /// Proposed parameters.
    pub kdf: Kdf,
}

/// Answer to `GET /api/v1/account/boxes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountBoxes {
    /// Account roots sealed to unlock paths.
    pub boxes: Vec<UnlockBoxEntry>,
    /// Earlier account roots under later ones.
    #[serde(default)]
    pub account_keys: Vec<KeyBoxEntry>,
    /// The user name sealed to the recovery key in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_box: Option<Blob>,
}
