//! What can go wrong, as decisions a caller makes.
//!
//! A failed opening is one opaque variant: telling *why* a ciphertext was refused helps an attacker
//! who asks again, and nobody else.

/// Sealed bytes were not opened. Nothing of their content was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Damaged, forged, or sealed for another place, purpose or key. Fetch another copy.
    #[error("sealed data was refused: damaged, forged, or not made for this place; fetch another copy")]
    Refused,
    /// Sealed under a key generation this keyring does not hold. Fetch the newer key boxes.
    #[error("sealed data names key generation {0}, which is not in this keyring; fetch the key boxes")]
    UnknownGeneration(u32),
}

/// A keyring cannot be built from these keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Generation 1 is missing, or there is a gap or a duplicate.
    #[error("the key generations are not 1, 2, 3 and so on without a gap; fetch every key box")]
    Incomplete,
    /// A box did not open: damaged, forged, or under a key this account never had.
    #[error("a key box was refused: damaged, forged, or not made for this account; do not use the vault")]
    Refused,
    /// More generations than any honest account has.
    #[error("more than {} key generations", crate::limits::GENERATIONS_MAX)]
    TooMany,
}

/// The typed recovery words are not a recovery key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryWordsError {
    /// Not 24 words.
    #[error("a recovery key has 24 words, {found} were given")]
    WordCount {
        /// Words that were given.
        found: usize,
    },
    /// A word is not in the list.
    #[error("word {position} is not one of the 2,048 recovery words; check its spelling")]
    UnknownWord {
        /// Position of the word, counted from 1.
        position: usize,
    },
    /// All words exist but do not belong together.
    #[error("the words do not fit together; check their order and that none is mixed up")]
    Checksum,
}
