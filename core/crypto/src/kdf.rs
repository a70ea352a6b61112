//! The one derivation function and the one keyed hash.
//!
//! `KDF(label, key, context) = BLAKE3.derive_key("freehold v1 " ‖ label, key ‖ context)`. For a given
//! label the key and every context field have one fixed width, so the concatenation is unambiguous.

use crate::secret::SecretBytes;

/// Derives `N` bytes for one purpose.
pub(crate) fn kdf<const N: usize>(label: &'static str, key: &[u8], context: &[&[u8]]) -> SecretBytes<N> {
    let mut hasher = blake3::Hasher::new_derive_key(label);
    hasher.update(key);
    for field in context {
        hasher.update(field);
    }
    let mut derived = SecretBytes::from_bytes([0; N]);
    hasher.finalize_xof().fill(derived.expose_mut());
    zeroize::Zeroize::zeroize(&mut hasher);
    derived
}

/// A pseudo-random function: `N` bytes of BLAKE3 keyed with `key` over the concatenated parts.
pub(crate) fn prf<const N: usize>(key: &crate::secret::Secret32, parts: &[&[u8]]) -> [u8; N] {
    let mut hasher = blake3::Hasher::new_keyed(key.expose());
    for part in parts {
        hasher.update(part);
    }
    let mut output = [0; N];
    hasher.finalize_xof().fill(&mut output);
    output
}
