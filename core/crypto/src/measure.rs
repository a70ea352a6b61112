//! The ciphers on their own, for `./x bench core`: one message under a key that nothing else has.

use crate::aead::{AwsLc, RustCrypto, XChaCha};
use crate::limits::TAG_LEN;
use crate::secret::Secret32;

/// An implementation of the AEAD. Native builds use [`AwsLc`](Self::AwsLc), browsers the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// aws-lc's assembly.
    AwsLc,
    /// Pure Rust.
    RustCrypto,
}

/// One message that is sealed and opened again and again. It is zeros under a constant key: nothing secret.
pub struct Trial {
    cipher: Cipher,
    sealed: Vec<u8>,
    tag: [u8; TAG_LEN],
    buffer: Vec<u8>,
}

enum Cipher {
    AwsLc(XChaCha<AwsLc>),
    RustCrypto(XChaCha<RustCrypto>),
}

impl Trial {
    /// A message of `len_bytes`, with the key expanded as for the frames of one chunk.
    #[must_use]
    pub fn new(backend: Backend, len_bytes: usize) -> Self {
        let (key, head) = (Secret32::from_bytes([1; 32]), [2; 16]);
        let cipher = match backend {
            Backend::AwsLc => Cipher::AwsLc(XChaCha::new(&key, &head)),
            Backend::RustCrypto => Cipher::RustCrypto(XChaCha::new(&key, &head)),
        };
        let mut trial = Self { cipher, sealed: Vec::new(), tag: [0; TAG_LEN], buffer: vec![0; len_bytes] };
        trial.tag = trial.seal_buffer();
        trial.sealed = trial.buffer.clone();
        trial
    }

    /// Seals it once.
    pub fn seal(&mut self) {
        std::hint::black_box(self.seal_buffer());
    }

    /// Opens it once; a copy of the message is part of it.
    ///
    /// # Panics
    /// When a backend does not open what it sealed.
    pub fn open(&mut self) {
        self.buffer.copy_from_slice(&self.sealed);
        let (nonce, aad) = ([3; 8], [4; 12]);
        let opened = match &self.cipher {
            Cipher::AwsLc(cipher) => cipher.open(&nonce, &aad, &mut self.buffer, &self.tag),
            Cipher::RustCrypto(cipher) => cipher.open(&nonce, &aad, &mut self.buffer, &self.tag),
        };
        opened.expect("it was sealed by the same cipher");
    }

    fn seal_buffer(&mut self) -> [u8; TAG_LEN] {
        let (nonce, aad) = ([3; 8], [4; 12]);
        match &self.cipher {
            Cipher::AwsLc(cipher) => cipher.seal(&nonce, &aad, &mut self.buffer),
            Cipher::RustCrypto(cipher) => cipher.seal(&nonce, &aad, &mut self.buffer),
        }
    }
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").field("len_bytes", &self.buffer.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_backends_open_what_they_seal_at_every_length() {
        for backend in [Backend::AwsLc, Backend::RustCrypto] {
            for len in [0, 1, 4_096, 1 << 20] {
                let mut trial = Trial::new(backend, len);
                trial.open();
                assert!(trial.buffer.iter().all(|byte| *byte == 0), "{backend:?} {len}");
                trial.seal();
            }
        }
    }
}
