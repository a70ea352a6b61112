//! Unlock paths: ways to reach the account root, each owning an X-Wing pair.
//!
//! ```text
//! KEK  = KDF("kek/password", export_key ‖ account)       export_key: OPAQUE, 64 B, Argon2id inside
//!      | KDF("kek/recovery", recovery key)
//! pair = X-Wing(KDF("unlock/xwing", KEK))                account roots are sealed to its public half
//! sign = Ed25519(KDF("unlock/sign", KEK))                the second signature of the account log
//! user = KDF("unlock/user", KEK)                         seals the user name, for the recovery key
//! ```
//!
//! The recovery key names its path without the account: whoever has nothing but the words finds the
//! account by the path's id. It is random and of one account, so there is nothing to keep apart.
//!
//! The public halves stand in the account log, so a rotation reaches every path without the path's
//! secret. A path that is not a device is named by a hash of its public halves: another password is
//! another path.

use crate::kdf::kdf;
use crate::labels;
use crate::recovery::RecoveryKey;
use crate::secret::Secret32;
use crate::xwing::XWingPair;
use freehold_model::AccountId;
use freehold_trust::SignKey;
use freehold_trust::account_log::{PathId, UnlockPath};

/// The secret keys of the password's or the recovery key's path.
#[derive(Debug)]
pub struct UnlockKeys {
    id: PathId,
    public: UnlockPath,
    pair: XWingPair,
    sign_key: SignKey,
    user_key: Secret32,
}

impl UnlockKeys {
    /// From OPAQUE's export key, which only the right password yields.
    #[must_use]
    pub fn from_password(export_key: &[u8; 64], account: &AccountId) -> Self {
        let kek = kdf(labels::KEK_PASSWORD, export_key, &[account.as_bytes()]);
        Self::from_kek(&kek, UnlockPath::password_id)
    }

    /// From the recovery key.
    #[must_use]
    pub fn from_recovery(recovery: &RecoveryKey) -> Self {
        let kek = kdf(labels::KEK_RECOVERY, recovery.expose(), &[]);
        Self::from_kek(&kek, UnlockPath::recovery_id)
    }

    fn from_kek(kek: &Secret32, id: fn(&UnlockPath) -> PathId) -> Self {
        let pair = XWingPair::from_seed(kdf(labels::UNLOCK_XWING, kek.expose(), &[]));
        let sign_seed: Secret32 = kdf(labels::UNLOCK_SIGN, kek.expose(), &[]);
        let sign_key = SignKey::from_seed(sign_seed.expose());
        let public = UnlockPath { xwing_pk: pair.public(), sign_pk: sign_key.public() };
        let user_key = kdf(labels::UNLOCK_USER, kek.expose(), &[]);
        Self { id: id(&public), public, pair, sign_key, user_key }
    }

    /// The path's id, which unlock boxes name.
    #[must_use]
    pub const fn path_id(&self) -> PathId {
        self.id
    }

    /// The public halves. An account log that names others for this path is not this account's.
    #[must_use]
    pub const fn public(&self) -> &UnlockPath {
        &self.public
    }

    /// Opens unlock boxes of this path.
    #[must_use]
    pub const fn pair(&self) -> &XWingPair {
        &self.pair
    }

    /// Makes the second signature of account log entries.
    #[must_use]
    pub const fn sign_key(&self) -> &SignKey {
        &self.sign_key
    }

    pub(crate) const fn user_key(&self) -> &Secret32 {
        &self.user_key
    }
}

#[cfg(test)]
mod tests;
