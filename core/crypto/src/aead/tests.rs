//! Both backends against the published vector, RustCrypto's own XChaCha and each other.

use super::aws_lc::AwsLc;
use super::rust_crypto::RustCrypto;
use super::{ChaChaPoly, XChaCha, split_nonce};
use crate::error::OpenError;
use crate::secret::Secret32;
use crate::testing::{Seeded, bit_flips};
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use proptest::prelude::*;

type Sealed = (Vec<u8>, [u8; 16]);

fn seal<B: ChaChaPoly>(key: [u8; 32], nonce: [u8; 24], aad: &[u8], plain: &[u8]) -> Sealed {
    let (head, tail) = split_nonce(&nonce);
    let mut data = plain.to_vec();
    let tag = XChaCha::<B>::new(&Secret32::from_bytes(key), &head).seal(&tail, aad, &mut data);
    (data, tag)
}

fn open<B: ChaChaPoly>(
    key: [u8; 32],
    nonce: [u8; 24],
    aad: &[u8],
    sealed: &Sealed,
) -> Result<Vec<u8>, OpenError> {
    let (head, tail) = split_nonce(&nonce);
    let mut data = sealed.0.clone();
    XChaCha::<B>::new(&Secret32::from_bytes(key), &head).open(&tail, aad, &mut data, &sealed.1)?;
    Ok(data)
}

fn oracle(key: [u8; 32], nonce: [u8; 24], aad: &[u8], plain: &[u8]) -> Sealed {
    let mut data = plain.to_vec();
    let tag = XChaCha20Poly1305::new(&key.into())
        .encrypt_inout_detached(&nonce.into(), aad, data.as_mut_slice().into())
        .expect("short message");
    (data, tag.into())
}

/// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
#[test]
fn the_published_vector_holds_on_both_backends() {
    let key = std::array::from_fn(|i| 0x80 + i as u8);
    let nonce = std::array::from_fn(|i| 0x40 + i as u8);
    let aad = hex::decode("50515253c0c1c2c3c4c5c6c7").expect("hexadecimal");
    let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the \
        future, sunscreen would be it.";
    let sealed = hex::decode(concat!(
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39",
        "ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9",
        "21f9664c97637da9768812f615c68b13b52e"
    ))
    .expect("hexadecimal");
    let tag = hex::decode("c0875924c1c7987947deafd8780acf49").expect("hexadecimal");
    for (data, found) in [seal::<AwsLc>(key, nonce, &aad, plain), seal::<RustCrypto>(key, nonce, &aad, plain)]
    {
        assert_eq!((data, found.to_vec()), (sealed.clone(), tag.clone()));
    }
}

#[test]
fn backends_agree_at_block_and_frame_edges() {
    let mut seeded = Seeded::new("aead edges");
    for len in [0, 1, 15, 16, 17, 63, 64, 65, 255, 256, 257, 16_383, 16_384, 16_385, 65_536] {
        let plain = seeded.bytes(len);
        let aad = seeded.bytes(len % 40);
        let key = seeded.bytes(32).try_into().expect("32 bytes");
        let nonce = seeded.bytes(24).try_into().expect("24 bytes");
        let expected = oracle(key, nonce, &aad, &plain);
        assert_eq!(seal::<AwsLc>(key, nonce, &aad, &plain), expected, "{len}");
        assert_eq!(seal::<RustCrypto>(key, nonce, &aad, &plain), expected, "{len}");
    }
}

#[test]
fn both_backends_refuse_every_flipped_bit() {
    let (key, nonce, aad) = ([1; 32], [2; 24], b"place");
    let (data, tag) = seal::<AwsLc>(key, nonce, aad, b"forty bytes of plaintext, more or less..");
    let joined = [&data[..], &tag].concat();
    for flipped in bit_flips(&joined) {
        let (data, tag) = flipped.split_last_chunk::<16>().expect("longer than a tag");
        let sealed = (data.to_vec(), *tag);
        assert_eq!(open::<AwsLc>(key, nonce, aad, &sealed), Err(OpenError::Refused));
        assert_eq!(open::<RustCrypto>(key, nonce, aad, &sealed), Err(OpenError::Refused));
    }
    for aad in bit_flips(aad) {
        assert_eq!(open::<AwsLc>(key, nonce, &aad, &(data.clone(), tag)), Err(OpenError::Refused));
        assert_eq!(open::<RustCrypto>(key, nonce, &aad, &(data.clone(), tag)), Err(OpenError::Refused));
    }
}

proptest! {
    #[test]
    fn backends_are_byte_equal_and_open_each_other(
        key: [u8; 32],
        nonce: [u8; 24],
        aad in prop::collection::vec(any::<u8>(), 0..80),
        plain in prop::collection::vec(any::<u8>(), 0..5_000),
    ) {
        let expected = oracle(key, nonce, &aad, &plain);
        prop_assert_eq!(&seal::<AwsLc>(key, nonce, &aad, &plain), &expected);
        prop_assert_eq!(&seal::<RustCrypto>(key, nonce, &aad, &plain), &expected);
        prop_assert_eq!(open::<AwsLc>(key, nonce, &aad, &expected), Ok(plain.clone()));
        prop_assert_eq!(open::<RustCrypto>(key, nonce, &aad, &expected), Ok(plain));
    }
}
