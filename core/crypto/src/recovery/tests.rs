//! The published word vectors, and what a person gets wrong.

use super::RecoveryKey;
use crate::error::RecoveryWordsError;
use crate::testing::Seeded;

/// From BIP39's own test vectors (trezor/python-mnemonic, vectors.json), 256-bit entropies.
#[test]
fn the_published_vectors_hold() {
    let zeros = format!("{}art", "abandon ".repeat(23));
    let ones = format!("{}vote", "zoo ".repeat(23));
    let sevens = "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth \
                  useful legal winner thank year wave sausage worth title";
    for (byte, words) in [(0x00, zeros.as_str()), (0xff, &ones), (0x7f, sevens)] {
        assert_eq!(RecoveryKey::from_bytes([byte; 32]).words().as_str(), words);
        assert_eq!(RecoveryKey::from_words(words), Ok(RecoveryKey::from_bytes([byte; 32])));
    }
}

#[test]
fn case_and_white_space_do_not_matter() {
    let key = RecoveryKey::generate(&mut Seeded::new("recovery"));
    let typed = key.words().to_uppercase().replace(' ', "\n\t ");
    assert_eq!(RecoveryKey::from_words(&format!("  {typed}\n")), Ok(key));
}

#[test]
fn mistakes_are_named_without_repeating_a_word() {
    let key = RecoveryKey::generate(&mut Seeded::new("recovery"));
    let words = key.words();
    let list: Vec<&str> = words.split(' ').collect();
    let short = RecoveryKey::from_words(&list[..23].join(" "));
    assert_eq!(short, Err(RecoveryWordsError::WordCount { found: 23 }));
    let mut misspelt = list.clone();
    misspelt[4] = "secretword";
    let unknown = RecoveryKey::from_words(&misspelt.join(" "));
    assert_eq!(unknown, Err(RecoveryWordsError::UnknownWord { position: 5 }));
    assert!(!RecoveryWordsError::UnknownWord { position: 5 }.to_string().contains("secretword"));
    let mut other = list.clone();
    other[23] = if list[23] == "zoo" { "zone" } else { "zoo" };
    assert_eq!(RecoveryKey::from_words(&other.join(" ")), Err(RecoveryWordsError::Checksum));
    assert_eq!(RecoveryKey::from_words(""), Err(RecoveryWordsError::WordCount { found: 0 }));
}

#[test]
fn secrets_print_nothing() {
    let key = RecoveryKey::from_bytes([0xab; 32]);
    assert_eq!(format!("{key:?}"), "RecoveryKey(SecretBytes<32>(..))");
}
