//! Who a machine is on the network: one Ed25519 key, shown raw (RFC 7250) instead of a certificate.
//!
//! Both carriers (quinn, FHP) use the same identity. The public half is pinned by the other side;
//! there is no name, no issuer and no expiry in it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use rustls::crypto::aws_lc_rs::sign::any_eddsa_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

/// `SubjectPublicKeyInfo` of an Ed25519 key up to the 32 key bytes (RFC 8410 §4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// PKCS#8 version 1 of an Ed25519 key up to the 32 seed bytes (RFC 8410 §7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The raw Ed25519 public key a machine is known by on links; not its signing key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey([u8; 32]);

impl PeerKey {
    /// Wraps the 32 key bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 key bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads the key out of a raw-public-key "certificate"; anything but Ed25519 is none.
    pub(crate) fn from_spki(der: &[u8]) -> Option<Self> {
        der.strip_prefix(&SPKI_PREFIX).and_then(|key| key.try_into().ok()).map(Self)
    }

    fn to_spki(self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.0].concat()
    }
}

impl From<[u8; 32]> for PeerKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// The first 8 hex digits: enough to tell two peers apart in a test, too little to be a directory.
impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// This machine's own key pair for links.
#[derive(Clone)]
pub struct Identity {
    public: PeerKey,
    certified: Arc<CertifiedKey>,
    reset: hmac::Key,
}

impl Identity {
    /// The identity that grows from a 32-byte secret seed.
    ///
    /// # Panics
    /// Never: every 32-byte seed is an Ed25519 key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let mut pkcs8 = Zeroizing::new([0_u8; 48]);
        let (prefix, secret) = pkcs8.split_at_mut(PKCS8_PREFIX.len());
        prefix.copy_from_slice(&PKCS8_PREFIX);
        secret.copy_from_slice(seed);
        let key =
            any_eddsa_type(&PrivatePkcs8KeyDer::from(&pkcs8[..])).expect("every seed is an Ed25519 key");
        let spki = key.public_key().expect("an Ed25519 key knows its public half");
        let public = PeerKey::from_spki(&spki).expect("the library encodes Ed25519 keys by RFC 8410");
        let certified = CertifiedKey::new(vec![CertificateDer::from(public.to_spki())], key);
        let root = hmac::Key::new(hmac::HMAC_SHA256, seed);
        let reset = hmac::sign(&root, b"freehold-net stateless reset v1");
        Self {
            public,
            certified: Arc::new(certified),
            reset: hmac::Key::new(hmac::HMAC_SHA256, reset.as_ref()),
        }
    }

    /// The public half, which other machines pin.
    #[must_use]
    pub const fn public_key(&self) -> PeerKey {
        self.public
    }

    /// Key pair in the form the TLS library wants.
    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// The secret behind FHP's cookies and reset tokens, from the seed for the same reason as
    /// [`Self::reset_key`].
    pub(crate) fn fhp_secret(&self) -> Zeroizing<[u8; 32]> {
        let tag = hmac::sign(&self.reset, b"freehold-net fhp/1 v1");
        Zeroizing::new(*tag.as_ref().first_chunk().expect("HMAC-SHA256 gives 32 bytes"))
    }

    /// Key of stateless resets. It comes from the seed, so that after a restart the peers of the
    /// earlier run are told at once that their links are gone, instead of waiting for a timeout.
    pub(crate) fn reset_key(&self) -> hmac::Key {
        self.reset.clone()
    }
}

/// Shows the public half only.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.public).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_has_the_public_key_of_rfc_8032() {
        // RFC 8032 §7.1, test 1.
        let seed: [u8; 32] = from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = from_hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(Identity::from_seed(&seed).public_key(), PeerKey::from_bytes(public));
    }

    #[test]
    fn debug_shows_no_secret() {
        let text = format!("{:?}", Identity::from_seed(&[0xab; 32]));
        assert!(!text.contains("abab"), "{text}");
        assert!(text.len() < 24, "{text}");
    }

    #[test]
    fn foreign_key_types_and_trailing_bytes_are_no_peer_key() {
        let mut spki = PeerKey::from_bytes([7; 32]).to_spki();
        assert_eq!(PeerKey::from_spki(&spki), Some(PeerKey::from_bytes([7; 32])));
        spki.push(0);
        assert_eq!(PeerKey::from_spki(&spki), None);
        spki.truncate(43);
        assert_eq!(PeerKey::from_spki(&spki), None);
        spki.push(0);
        spki[8] = 0x71;
        assert_eq!(PeerKey::from_spki(&spki), None, "Ed448 is not Ed25519");
    }

    fn from_hex(text: &str) -> [u8; 32] {
        std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex"))
    }
}
