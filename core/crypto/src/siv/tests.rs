//! Only the canonical sealing opens.

use super::{Parsed, Place, SivKey, SivKind};
use crate::aead;
use crate::error::OpenError;
use crate::labels;
use crate::padded;
use crate::secret::Secret32;
use freehold_model::padding::{padme, record_len};

const KIND: SivKind =
    SivKind { magic: *b"TEST", encryption_label: labels::RECORD_ENC, nonce_label: labels::RECORD_NONCE };
const PLACE: Place<'_> = Place { magic: *b"TEST", generation: 1, context: b"context" };

fn key() -> SivKey {
    SivKey::derive(&KIND, &Secret32::from_bytes([1; 32]), &[])
}

fn open(sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    key().open(&PLACE, &Parsed::read(KIND.magic, sealed, 10_000)?)
}

/// Seals as a device that holds the keys but does not follow the format.
fn seal_by_hand(nonce: [u8; 24], padded: Vec<u8>) -> Vec<u8> {
    let (header, aad) = PLACE.header_and_aad();
    let mut data = padded;
    let tag = aead::seal(&key().encryption, &nonce, &aad, &mut data);
    [&header[..], &nonce, &data, &tag].concat()
}

fn pad(class: padded::Class, plain: &[u8]) -> Vec<u8> {
    [plain, &padded::tail(class, plain.len())].concat()
}

#[test]
fn the_two_keys_differ() {
    assert!(key().encryption != key().nonce);
}

#[test]
fn a_nonce_of_ones_own_choice_is_refused() {
    let honest = key().seal(&PLACE, b"plain");
    let nonce: [u8; 24] = honest[9..33].try_into().expect("24 bytes");
    assert_eq!(seal_by_hand(nonce, pad(record_len, b"plain")), honest);
    assert_eq!(open(&honest).as_deref(), Ok(&b"plain"[..]));
    assert_eq!(open(&seal_by_hand([7; 24], pad(record_len, b"plain"))), Err(OpenError::Refused));
}

#[test]
fn another_size_class_is_refused() {
    let padded = pad(padme, b"plain");
    let (_, aad) = PLACE.header_and_aad();
    let nonce = crate::kdf::prf(&key().nonce, &[&aad, &padded]);
    assert_eq!(open(&seal_by_hand(nonce, padded)), Err(OpenError::Refused));
}
