//! The native backend: aws-lc's assembly, which rustls links anyway.

use super::ChaChaPoly;
use crate::error::OpenError;
use crate::limits::TAG_LEN;
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

pub(crate) struct AwsLc(LessSafeKey);

impl ChaChaPoly for AwsLc {
    fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("32 bytes are this cipher's key length");
        Self(LessSafeKey::new(key))
    }

    fn seal(&self, nonce: [u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), data)
            .expect("no message of ours nears the 256 GiB the cipher allows");
        tag.as_ref().try_into().expect("this cipher's tag has 16 bytes")
    }

    fn open(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        self.0
            .open_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), tag, data)
            .map(|_| ())
            .map_err(|_| OpenError::Refused)
    }
}
