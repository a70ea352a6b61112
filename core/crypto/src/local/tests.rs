//! Local messages open for their purpose, place and device only.

use super::{LocalCipher, LocalKey, LocalPurpose};
use crate::device::DeviceSecret;
use crate::error::OpenError;
use crate::testing::{Seeded, bit_flips};

const PURPOSES: [LocalPurpose; 4] = [
    LocalPurpose::JournalFrame,
    LocalPurpose::StagingExtent,
    LocalPurpose::IndexRow,
    LocalPurpose::StateFile,
];

fn key(byte: u8) -> LocalKey {
    DeviceSecret::from_bytes([byte; 32]).local_key()
}

fn both_ciphers() -> [LocalKey; 2] {
    [LocalCipher::XChaCha, LocalCipher::AesGcm].map(|cipher| key(1).with_staging_cipher(cipher))
}

#[test]
fn every_length_comes_back() {
    let mut entropy = Seeded::new("local");
    for (key, purpose) in both_ciphers().iter().flat_map(|key| PURPOSES.map(|purpose| (key, purpose))) {
        for len in [0, 1, 255, 16_383, 16_384, 16_385, 1 << 20] {
            let plain = entropy.bytes(len);
            let sealed = key.seal(purpose, b"place 1", &plain, &mut entropy);
            assert_eq!(sealed.len(), len + LocalKey::OVERHEAD);
            assert_eq!(key.open(purpose, b"place 1", &sealed), Ok(plain));
        }
    }
}

#[test]
fn a_staged_extent_opens_whatever_cipher_the_machine_seals_with() {
    let [chacha, gcm] = both_ciphers();
    for (sealer, opener) in [(&chacha, &gcm), (&gcm, &chacha)] {
        let mut sealed =
            sealer.seal(LocalPurpose::StagingExtent, b"place", b"plain", &mut Seeded::new("local"));
        let opened = opener.open(LocalPurpose::StagingExtent, b"place", &sealed);
        assert_eq!(opened.as_deref(), Ok(&b"plain"[..]));
        sealed[0] ^= 3;
        let opened = opener.open(LocalPurpose::StagingExtent, b"place", &sealed);
        assert_eq!(opened, Err(OpenError::Refused), "one cipher's as the other's");
    }
}

#[test]
fn sealing_into_a_buffer_appends() {
    let mut out = b"before".to_vec();
    key(1).seal_into(LocalPurpose::IndexRow, b"row", b"plain", &mut Seeded::new("local"), &mut out);
    assert_eq!(out[..6], *b"before");
    assert_eq!(key(1).open(LocalPurpose::IndexRow, b"row", &out[6..]).as_deref(), Ok(&b"plain"[..]));
}

#[test]
fn another_purpose_place_or_device_is_refused() {
    for purpose in PURPOSES {
        let sealed = key(1).seal(purpose, b"place", b"plain", &mut Seeded::new("local"));
        for other in PURPOSES {
            let mut relabelled = sealed.clone();
            relabelled[1] = other.code();
            let opened = key(1).open(other, b"place", &relabelled);
            assert_eq!(opened.is_ok(), other == purpose, "{purpose:?} as {other:?}");
        }
        assert_eq!(key(1).open(purpose, b"elsewhere", &sealed), Err(OpenError::Refused));
        assert_eq!(key(2).open(purpose, b"place", &sealed), Err(OpenError::Refused));
    }
}

#[test]
fn any_flipped_bit_or_truncation_is_refused() {
    for (key, purpose) in both_ciphers().iter().flat_map(|key| PURPOSES.map(|purpose| (key, purpose))) {
        let sealed = key.seal(purpose, b"place", b"plain", &mut Seeded::new("local"));
        for flipped in bit_flips(&sealed) {
            assert_eq!(key.open(purpose, b"place", &flipped), Err(OpenError::Refused));
        }
        for len in 0..sealed.len() {
            assert_eq!(key.open(purpose, b"place", &sealed[..len]), Err(OpenError::Refused));
        }
    }
}

#[test]
fn equal_plaintext_in_one_place_seals_to_unrelated_bytes() {
    let mut entropy = Seeded::new("local");
    let (one, two) = (
        key(1).seal(LocalPurpose::IndexRow, b"row", b"plain", &mut entropy),
        key(1).seal(LocalPurpose::IndexRow, b"row", b"plain", &mut entropy),
    );
    assert_ne!(one[2..], two[2..]);
}
