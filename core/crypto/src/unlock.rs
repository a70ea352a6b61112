//! Unlock paths: ways to reach the account root, each owning an X-Wing pair.
//!
//! ```text
//! KEK  = KDF("kek/password", export_key ‖ account)       export_key: OPAQUE, 64 B, Argon2id inside
//!      | KDF("kek/recovery", recovery key ‖ account)
//! pair = X-Wing(KDF("unlock/xwing", KEK))                account roots are sealed to its public half
//! sign = Ed25519(KDF("unlock/sign", KEK))                the second signature of the account log
//! ```
//!
//! The public halves stand in the account log, so a rotation reaches every path without the path's
//! secret. A path that is not a device is named by a hash of its public key: another password is
//! another path.

use crate::kdf::kdf;
use crate::labels;
use crate::recovery::RecoveryKey;
use crate::secret::{Secret32, SecretBytes};
use crate::xwing::XWingPair;
use freehold_model::codec::DecodeError;
use freehold_model::{AccountId, DeviceId};
use freehold_trust::{SignKey, XWingPublic};

/// The kind of an unlock path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathKind {
    /// The account's password.
    Password,
    /// The written recovery key.
    Recovery,
    /// A device's own secret.
    Device,
}

impl PathKind {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Password => 1,
            Self::Recovery => 2,
            Self::Device => 3,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Result<Self, DecodeError> {
        match code {
            1 => Ok(Self::Password),
            2 => Ok(Self::Recovery),
            3 => Ok(Self::Device),
            _ => Err(DecodeError::Unknown("unlock path kind")),
        }
    }
}

/// One unlock path of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnlockPath {
    /// What kind of path it is.
    pub kind: PathKind,
    /// Which one: a device's id, else the first half of a hash of the public key.
    pub id: [u8; 16],
}

impl UnlockPath {
    /// A device's path.
    #[must_use]
    pub const fn device(device: DeviceId) -> Self {
        Self { kind: PathKind::Device, id: device.to_bytes() }
    }

    /// The password's path.
    #[must_use]
    pub fn password(public: &XWingPublic) -> Self {
        Self { kind: PathKind::Password, id: path_id(public) }
    }

    /// The recovery key's path.
    #[must_use]
    pub fn recovery(public: &XWingPublic) -> Self {
        Self { kind: PathKind::Recovery, id: path_id(public) }
    }
}

/// The secret keys of the password's or the recovery key's path.
#[derive(Debug)]
pub struct UnlockKeys {
    path: UnlockPath,
    pair: XWingPair,
    public: XWingPublic,
    sign_key: SignKey,
}

impl UnlockKeys {
    /// From OPAQUE's export key, which only the right password yields.
    #[must_use]
    pub fn from_password(export_key: &SecretBytes<64>, account: &AccountId) -> Self {
        let kek = kdf(labels::KEK_PASSWORD, export_key.expose(), &[account.as_bytes()]);
        Self::from_kek(&kek, UnlockPath::password)
    }

    /// From the recovery key.
    #[must_use]
    pub fn from_recovery(recovery: &RecoveryKey, account: &AccountId) -> Self {
        let kek = kdf(labels::KEK_RECOVERY, recovery.expose(), &[account.as_bytes()]);
        Self::from_kek(&kek, UnlockPath::recovery)
    }

    fn from_kek(kek: &Secret32, path: fn(&XWingPublic) -> UnlockPath) -> Self {
        let pair = XWingPair::from_seed(kdf(labels::UNLOCK_XWING, kek.expose(), &[]));
        let public = pair.public();
        let sign_seed: Secret32 = kdf(labels::UNLOCK_SIGN, kek.expose(), &[]);
        Self { path: path(&public), pair, public, sign_key: SignKey::from_seed(sign_seed.expose()) }
    }

    /// The path these keys belong to.
    #[must_use]
    pub const fn path(&self) -> UnlockPath {
        self.path
    }

    /// Opens unlock boxes of this path.
    #[must_use]
    pub const fn pair(&self) -> &XWingPair {
        &self.pair
    }

    /// The pair's public half, as it stands in the account log.
    #[must_use]
    pub const fn public(&self) -> &XWingPublic {
        &self.public
    }

    /// Makes the second signature of account log entries. Its public half stands in the log.
    #[must_use]
    pub const fn sign_key(&self) -> &SignKey {
        &self.sign_key
    }
}

fn path_id(public: &XWingPublic) -> [u8; 16] {
    *kdf::<16>(labels::UNLOCK_PATH_ID, public.as_bytes(), &[]).expose()
}

#[cfg(test)]
mod tests;
