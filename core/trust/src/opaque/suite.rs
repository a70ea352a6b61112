//! The cipher suite: ristretto255, triple Diffie-Hellman with SHA-512, our own Argon2id stretching.

use super::OpaqueError;
use crate::kdf_params::KdfParams;
use argon2::{Algorithm, Argon2, Params, Version};
use freehold_model::Entropy;
use opaque_ke::errors::{InternalError, ProtocolError};
use opaque_ke::ksf::Ksf;
use opaque_ke::{CipherSuite, Ristretto255, TripleDh};
use rand_core_06::{CryptoRng, Error, RngCore};
use sha2_010::Sha512;
use sha2_010::digest::generic_array::{ArrayLength, GenericArray};

/// Bound into every login's transcript.
pub(super) const CONTEXT: &[u8] = b"freehold v1 opaque login";

pub(super) struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = Stretch;
}

/// Argon2id with checked parameters. The salt is all zero: the OPRF output it stretches is already
/// salted per user by the server's key (RFC 9807 §7).
#[derive(Default)]
pub(super) struct Stretch(pub(super) KdfParams);

impl Ksf for Stretch {
    fn hash<L: ArrayLength<u8>>(
        &self,
        input: GenericArray<u8, L>,
    ) -> Result<GenericArray<u8, L>, InternalError> {
        let failed = |_| InternalError::KsfError;
        let mut output = GenericArray::default();
        let params = Params::new(self.0.m_kib(), self.0.t(), self.0.p(), Some(output.len()));
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(failed)?);
        argon.hash_password_into(&input, &[0; 16], &mut output).map_err(failed)?;
        Ok(output)
    }
}

/// Our entropy as the generator the library asks for.
pub(super) struct Rng<'a>(pub(super) &'a mut dyn Entropy);

impl RngCore for Rng<'_> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_be_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    fn fill_bytes(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        self.0.fill(buffer);
        Ok(())
    }
}

impl CryptoRng for Rng<'_> {}

/// Every failure of the other side is one of two; only the stretching is our own.
pub(super) const fn map_error(error: &ProtocolError) -> OpaqueError {
    match error {
        ProtocolError::InvalidLoginError => OpaqueError::WrongLogin,
        ProtocolError::LibraryError(InternalError::KsfError) => OpaqueError::Hashing,
        _ => OpaqueError::BadMessage,
    }
}

/// Refuses a message of any other length: the library's parsers take a prefix.
pub(super) const fn sized(bytes: &[u8], len_bytes: usize) -> Result<&[u8], OpaqueError> {
    if bytes.len() == len_bytes { Ok(bytes) } else { Err(OpaqueError::BadMessage) }
}
