//! X-Wing pairs, and sealing to a public key by HPKE.
//!
//! X-Wing (X25519 + ML-KEM-768, draft-connolly-cfrg-xwing-kem) is HPKE's KEM 0x647a. The suite is
//! X-Wing, HKDF-SHA256, ChaCha20-Poly1305 in base mode (RFC 9180): who sealed is shown by an
//! Ed25519 signature around the whole message, because X-Wing has no authenticated mode.

use crate::error::OpenError;
use crate::limits::XWING_CIPHERTEXT_LEN;
use crate::secret::Secret32;
use freehold_model::Entropy;
use freehold_trust::XWingPublic;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use std::convert::Infallible;

type PrivateKey = <XWing as Kem>::PrivateKey;
type PublicKey = <XWing as Kem>::PublicKey;
type Encapsulation = <XWing as Kem>::EncappedKey;

/// The public key is not one X-Wing could have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receiver's X-Wing public key is malformed; do not seal to it")]
pub struct BadPublicKey;

/// An X-Wing key pair, kept as its 32-byte seed.
#[derive(Debug, PartialEq, Eq)]
pub struct XWingPair {
    seed: Secret32,
}

impl XWingPair {
    /// The pair of a seed (the seed is X-Wing's decapsulation key).
    #[must_use]
    pub const fn from_seed(seed: Secret32) -> Self {
        Self { seed }
    }

    /// The public half.
    ///
    /// # Panics
    /// Never: every 32-byte seed is a valid decapsulation key of one public key length.
    #[must_use]
    pub fn public(&self) -> XWingPublic {
        let public = XWing::sk_to_pk(&self.private()).to_bytes();
        XWingPublic::from_bytes(public.as_slice().try_into().expect("an X-Wing public key has 1,216 bytes"))
    }

    /// Opens what [`seal`] made for this pair.
    pub(crate) fn open(&self, info: &[u8], aad: &[u8], sealed: &Sealed<'_>) -> Result<Vec<u8>, OpenError> {
        let encapsulation =
            Encapsulation::from_bytes(sealed.encapsulation).map_err(|_| OpenError::Refused)?;
        hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.private(),
            &encapsulation,
            info,
            sealed.ciphertext,
            aad,
        )
        .map_err(|_| OpenError::Refused)
    }

    fn private(&self) -> PrivateKey {
        PrivateKey::from_bytes(self.seed.expose()).expect("every 32-byte seed is a decapsulation key")
    }
}

/// What travels to the receiver.
pub(crate) struct Sealed<'a> {
    pub(crate) encapsulation: &'a [u8; XWING_CIPHERTEXT_LEN],
    pub(crate) ciphertext: &'a [u8],
}

/// Seals to a public key: encapsulation, then ciphertext and tag.
pub(crate) fn seal(
    to: &XWingPublic,
    info: &[u8],
    aad: &[u8],
    plain: &[u8],
    entropy: &mut dyn Entropy,
) -> Result<([u8; XWING_CIPHERTEXT_LEN], Vec<u8>), BadPublicKey> {
    let public = PublicKey::from_bytes(to.as_bytes()).map_err(|_| BadPublicKey)?;
    let (encapsulation, ciphertext) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        &public,
        info,
        plain,
        aad,
        &mut EntropyRng(entropy),
    )
    .map_err(|_| BadPublicKey)?;
    let encapsulation = encapsulation.to_bytes().as_slice().try_into();
    Ok((encapsulation.expect("an X-Wing encapsulation has 1,120 bytes"), ciphertext))
}

/// [`Entropy`] as the generator trait hpke asks for.
struct EntropyRng<'a>(&'a mut dyn Entropy);

impl TryRng for EntropyRng<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(buffer);
        Ok(())
    }
}

/// [`Entropy`] is by contract good enough for keys.
impl TryCryptoRng for EntropyRng<'_> {}
