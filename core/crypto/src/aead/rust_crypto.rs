//! The portable backend: pure Rust, for wasm32 and as the oracle of the native one.

use super::ChaChaPoly;
use crate::error::OpenError;
use crate::limits::TAG_LEN;
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};

pub(crate) struct RustCrypto(ChaCha20Poly1305);

impl ChaChaPoly for RustCrypto {
    fn new(key: &[u8; 32]) -> Self {
        Self(ChaCha20Poly1305::new(key.into()))
    }

    fn seal(&self, nonce: [u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        self.0
            .encrypt_inout_detached(&nonce.into(), aad, data.into())
            .expect("no message of ours nears the 256 GiB the cipher allows")
            .into()
    }

    fn open(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        self.0
            .decrypt_inout_detached(&nonce.into(), aad, data.into(), &(*tag).into())
            .map_err(|_| OpenError::Refused)
    }
}
