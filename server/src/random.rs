//! Randomness from the operating system, and the tokens made of it.

use freehold_api::Blob;
use freehold_model::Entropy;

/// The operating system's generator.
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("a Linux kernel past early boot has randomness");
    }
}

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsEntropy.fill(&mut bytes);
    bytes
}

/// A fresh token: the prefix says what it is for, 32 random bytes follow.
pub(crate) fn token(prefix: &str) -> String {
    format!("{prefix}{}", Blob::from(bytes::<32>()).to_text())
}

/// What the database keeps of a token. Tokens hold 256 random bits, so a plain hash suffices.
pub(crate) fn token_hash(token: &str) -> [u8; 32] {
    blake3::derive_key("freehold v1 server token", token.as_bytes())
}
