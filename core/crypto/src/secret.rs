//! Secret bytes: zeroed on drop, mute in `Debug`, never copied by accident.
//!
//! There is no `Clone`, no `Display` and no serde here. A copy is taken by name
//! ([`SecretBytes::duplicate`]) and the bytes are read by name ([`SecretBytes::expose`]), so both
//! can be found by searching for the word. Equality takes the same time for all inputs.

use freehold_model::Entropy;
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` secret bytes.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes<const N: usize>([u8; N]);

/// A 256-bit key.
pub type Secret32 = SecretBytes<32>;

impl<const N: usize> SecretBytes<N> {
    /// Takes over the bytes. The caller's own copy is the caller's to erase.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// Draws fresh random bytes.
    pub fn random(entropy: &mut dyn Entropy) -> Self {
        let mut secret = Self([0; N]);
        entropy.fill(&mut secret.0);
        secret
    }

    /// The bytes, for a cipher, a derivation or a sealed store.
    #[must_use]
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// A second copy, zeroed on its own drop.
    #[must_use]
    pub const fn duplicate(&self) -> Self {
        Self(self.0)
    }

    pub(crate) const fn expose_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> PartialEq for SecretBytes<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl<const N: usize> Eq for SecretBytes<N> {}

impl<const N: usize> fmt::Debug for SecretBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes<{N}>(..)")
    }
}
