//! What a signature is and is not.

use super::*;
use std::collections::BTreeSet;

#[test]
fn labels_are_distinct_and_hold_no_zero_byte() {
    let texts: BTreeSet<&str> = Label::ALL.iter().map(|label| label.text()).collect();
    assert_eq!(texts.len(), Label::ALL.len());
    assert!(texts.iter().all(|text| !text.is_empty() && !text.contains('\0')));
}

#[test]
fn a_signature_counts_under_its_own_label_only() {
    let key = SignKey::from_seed(&[1; 32]);
    for made in Label::ALL {
        let signature = key.sign(made, b"message");
        for checked in Label::ALL {
            let verdict = key.public().verify(checked, b"message", &signature);
            assert_eq!(verdict.is_ok(), made == checked, "{made:?} as {checked:?}");
        }
    }
}

#[test]
fn another_key_or_message_is_refused() {
    let key = SignKey::from_seed(&[1; 32]);
    let signature = key.sign(Label::Commit, b"message");
    let other = SignKey::from_seed(&[2; 32]).public();
    assert_eq!(other.verify(Label::Commit, b"message", &signature), Err(BadSignature));
    assert_eq!(key.public().verify(Label::Commit, b"massage", &signature), Err(BadSignature));
}

#[test]
fn a_scalar_above_the_group_order_is_refused() {
    let key = SignKey::from_seed(&[1; 32]);
    let mut bytes = key.sign(Label::Commit, b"message").to_bytes();
    add_group_order(&mut bytes);
    let malleated = Signature::from_bytes(bytes);
    assert_eq!(key.public().verify(Label::Commit, b"message", &malleated), Err(BadSignature));
}

#[test]
fn small_order_keys_verify_nothing() {
    // The identity point, and the zero key of order 4 (RFC 8032 encodings).
    let mut identity = [0; 32];
    identity[0] = 1;
    for key in [identity, [0; 32]] {
        let mut forged = [0; 64];
        forged[0] = 1;
        let verdict =
            PublicKey::from_bytes(key).verify(Label::Commit, b"anything", &Signature::from_bytes(forged));
        assert_eq!(verdict, Err(BadSignature));
    }
}

#[test]
fn keys_and_signatures_print_no_secret() {
    let key = SignKey::from_seed(&[0x5a; 32]);
    assert_eq!(format!("{key:?}"), "SignKey(..)");
    assert!(!format!("{:?}", key.public()).contains("5a5a"));
}

/// Adds ℓ = 2^252 + 27742317777372353535851937790883648493 to the scalar half, in the little-endian
/// order that RFC 8032 gives it: the same signature to a checker that does not reduce.
fn add_group_order(signature: &mut [u8; 64]) {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0u16;
    for (byte, add) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
}
