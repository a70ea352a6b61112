//! Registration and login: OPAQUE messages and the sessions they end in.
//!
//! The password never appears here: `request`, `upload`, `ke1` to `ke3` are OPAQUE messages (RFC
//! 9807) that `freehold-trust` makes and reads. A password login yields a session of scope
//! [`Scope::Account`], which may read the account log, boxes and vault keys and append to the log;
//! everything else needs a session of a device.

use crate::{Blob, KeyBoxEntry, UnlockBoxEntry, VaultBoxes};
use freehold_model::{AccountId, DeviceId};
use serde::{Deserialize, Serialize};

/// Argon2id parameters the server proposes; clients enforce the compiled floor and ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kdf {
    /// Memory in KiB.
    pub m_kib: u32,
    /// Passes.
    pub t: u32,
    /// Lanes.
    pub p: u32,
}

/// `POST /api/v1/register/start`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterStart {
    /// Login name, 1 to 128 bytes, no control characters.
    pub user: String,
    /// OPAQUE registration request.
    pub request: Blob,
    /// Invite code, needed once the first account exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<String>,
}

/// Answer to [`RegisterStart`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterStarted {
    /// Fresh random account id to build the genesis entry with.
    pub account_id: AccountId,
    /// OPAQUE registration response.
    pub response: Blob,
    /// Proposed parameters.
    pub kdf: Kdf,
}

/// `POST /api/v1/register/finish`: creates account, first device and first vault at once.
///
/// Repeating the same body within ten minutes yields a session again (the answer was lost).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterFinish {
    /// As in [`RegisterStart`].
    pub user: String,
    /// From [`RegisterStarted`].
    pub account_id: AccountId,
    /// OPAQUE registration upload.
    pub upload: Blob,
    /// Encoded genesis entry of the account log.
    pub genesis: Blob,
    /// The first account root, sealed to every unlock path.
    pub boxes: Vec<UnlockBoxEntry>,
    /// Earlier account roots under later ones; empty at registration.
    #[serde(default)]
    pub account_keys: Vec<KeyBoxEntry>,
    /// The first vault with its keys under the account root.
    pub vault: VaultBoxes,
    /// The user name sealed to the recovery key.
    pub user_box: Blob,
    /// Invite code, needed once the first account exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<String>,
}

/// `POST /api/v1/login/start`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginStart {
    /// Login name.
    pub user: String,
    /// OPAQUE KE1.
    pub ke1: Blob,
}

/// Answer to [`LoginStart`]; the same shape for a name nobody has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginStarted {
    /// Names this attempt for one minute.
    pub login_id: Blob,
    /// OPAQUE KE2.
    pub ke2: Blob,
    /// Parameters the account was registered with.
    pub kdf: Kdf,
}

/// `POST /api/v1/login/finish`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginFinish {
    /// From [`LoginStarted`]; spent by this request.
    pub login_id: Blob,
    /// OPAQUE KE3.
    pub ke3: Blob,
}

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// After a login by password or recovery key: read the account log, boxes and vault keys, append to
    /// the log.
    Account,
    /// After a device's proof of possession: everything.
    Device,
}

/// A session. Sent as `authorization: Bearer TOKEN`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The secret; the server keeps only its hash.
    pub token: String,
    /// End of the session, seconds since 1970 by the server's clock.
    pub expires: u64,
    /// What it may do.
    pub scope: Scope,
    /// Whose it is.
    pub account_id: AccountId,
    /// The device it belongs to, when of scope [`Scope::Device`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("expires", &self.expires)
            .field("scope", &self.scope)
            .field("device_id", &self.device_id)
            .finish_non_exhaustive()
    }
}
