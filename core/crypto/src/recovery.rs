//! The recovery key: 32 random bytes, written down as 24 words.
//!
//! The words are BIP39's English list: 256 bits and an 8-bit checksum, 11 bits a word, so a slip of
//! the pen is found (255 of 256) before anything is asked of the server. BIP39's own seed function
//! (PBKDF2) is not used: the key has full entropy and is stretched by nothing.

use crate::error::RecoveryWordsError;
use crate::limits::RECOVERY_WORDS;
use crate::secret::Secret32;
use bip39::{Language, Mnemonic};
use freehold_model::Entropy;
use zeroize::Zeroizing;

/// A recovery key.
#[derive(Debug, PartialEq, Eq)]
pub struct RecoveryKey(Secret32);

impl RecoveryKey {
    /// Draws a fresh key.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self(Secret32::random(entropy))
    }

    /// Wraps the bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret32::from_bytes(bytes))
    }

    /// The 24 words, lower case, one space between.
    ///
    /// # Panics
    /// Never: 256 bits are a length BIP39 knows.
    #[must_use]
    pub fn words(&self) -> Zeroizing<String> {
        let mnemonic = Mnemonic::from_entropy_in(Language::English, self.0.expose())
            .expect("256 bits are a length BIP39 knows");
        let mut words = Zeroizing::new(String::with_capacity(RECOVERY_WORDS * 9));
        for (index, word) in mnemonic.words().enumerate() {
            if index > 0 {
                words.push(' ');
            }
            words.push_str(word);
        }
        words
    }

    /// Reads words as a person types them: any case, any white space, line numbers not allowed.
    ///
    /// # Errors
    /// Says which word to look at; never repeats a word.
    pub fn from_words(text: &str) -> Result<Self, RecoveryWordsError> {
        let found = text.split_whitespace().count();
        if found != RECOVERY_WORDS {
            return Err(RecoveryWordsError::WordCount { found });
        }
        let normal = Zeroizing::new(text.to_lowercase());
        let mnemonic =
            Mnemonic::parse_in_normalized(Language::English, &normal).map_err(|error| match error {
                bip39::Error::UnknownWord(index) => RecoveryWordsError::UnknownWord { position: index + 1 },
                bip39::Error::BadWordCount(found) => RecoveryWordsError::WordCount { found },
                bip39::Error::BadEntropyBitCount(_)
                | bip39::Error::InvalidChecksum
                | bip39::Error::AmbiguousLanguages(_) => RecoveryWordsError::Checksum,
            })?;
        let (entropy, _) = mnemonic.to_entropy_array();
        let entropy = Zeroizing::new(entropy);
        let mut key = Secret32::from_bytes([0; 32]);
        key.expose_mut().copy_from_slice(&entropy[..32]);
        Ok(Self(key))
    }

    /// The bytes.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

#[cfg(test)]
mod tests;
