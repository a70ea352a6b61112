//! A device's own secret and the keys made from it.
//!
//! One 32-byte secret lives in the Secret Service or in `device.key`. It derives the device's
//! Ed25519 signing key, its Ed25519 TLS key, its X-Wing pair (a device is an unlock path) and the
//! key of everything it seals on its own disk.

use crate::kdf::kdf;
use crate::labels;
#[cfg(not(target_arch = "wasm32"))]
use crate::local::LocalKey;
use crate::secret::Secret32;
use crate::xwing::XWingPair;
use freehold_model::Entropy;
use freehold_trust::SignKey;

/// The secret of one device.
#[derive(Debug, PartialEq, Eq)]
pub struct DeviceSecret(Secret32);

impl DeviceSecret {
    /// Draws a fresh secret.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self(Secret32::random(entropy))
    }

    /// Wraps the stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret32::from_bytes(bytes))
    }

    /// The bytes, to be stored in the device's one place for them.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Signs commits, log entries and sessions.
    #[must_use]
    pub fn sign_key(&self) -> SignKey {
        let seed: Secret32 = kdf(labels::DEVICE_SIGN, self.expose(), &[]);
        SignKey::from_seed(seed.expose())
    }

    /// Seed of the Ed25519 raw key of TLS. Never the signing key's.
    #[must_use]
    pub fn tls_seed(&self) -> Secret32 {
        kdf(labels::DEVICE_TLS, self.expose(), &[])
    }

    /// Opens unlock boxes sealed to this device.
    #[must_use]
    pub fn xwing_pair(&self) -> XWingPair {
        XWingPair::from_seed(kdf(labels::DEVICE_XWING, self.expose(), &[]))
    }

    #[cfg(not(target_arch = "wasm32"))]
    /// Seals what this device keeps on its own disk.
    #[must_use]
    pub fn local_key(&self) -> LocalKey {
        LocalKey::new(&kdf(labels::DEVICE_LOCAL, self.expose(), &[]))
    }
}
