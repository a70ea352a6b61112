//! One root key opens one root.

use super::{Cek, RootKey, RootSalt};
use crate::chunk::{ChunkPayload, Compression};
use crate::error::OpenError;
use crate::keyring::VaultKeyring;
use crate::limits::ROOT_BODY_BYTES_MAX;
use crate::secret::Secret32;
use crate::testing::bit_flips;
use crate::vault_key::VaultKey;
use freehold_model::VaultId;

fn cek(byte: u8) -> Cek {
    Cek::from_bytes([byte; 32])
}

#[test]
fn a_root_opens_by_cek_and_salt_and_by_its_handed_over_key() {
    for len in [0, 1, 84, 16_380, 16_384, ROOT_BODY_BYTES_MAX] {
        let plain = vec![7; len];
        let root = cek(1).seal_root(&plain);
        assert_eq!(root.id.as_bytes(), blake3::hash(&root.bytes).as_bytes());
        let key = cek(1).root_key(&root.salt);
        assert_eq!(key.open(&root.bytes).as_ref(), Ok(&plain), "{len}");
        assert_eq!(RootKey::from_bytes(*key.expose()).open(&root.bytes), Ok(plain), "{len}");
    }
}

/// Row 15 of the attack list: a record names its root by hash and salt, so no other version's root opens.
#[test]
fn the_key_of_one_version_opens_no_other() {
    let (one, two) = (cek(1).seal_root(b"version 1"), cek(1).seal_root(b"version 2"));
    assert_ne!(one.salt, two.salt);
    assert_eq!(cek(1).root_key(&one.salt).open(&two.bytes), Err(OpenError::Refused));
    assert_eq!(cek(2).root_key(&one.salt).open(&one.bytes), Err(OpenError::Refused));
    let mut salt = *one.salt.as_bytes();
    salt[0] ^= 1;
    assert_eq!(cek(1).root_key(&RootSalt::from_bytes(salt)).open(&one.bytes), Err(OpenError::Refused));
}

#[test]
fn files_with_equal_manifests_share_no_salt_and_no_bytes() {
    let (one, two) = (cek(1).seal_root(b"same"), cek(2).seal_root(b"same"));
    assert_ne!(one.salt, two.salt);
    assert_ne!(one.bytes, two.bytes);
}

#[test]
fn any_flipped_bit_is_refused() {
    let root = cek(1).seal_root(b"entries");
    let key = cek(1).root_key(&root.salt);
    for flipped in bit_flips(&root.bytes) {
        assert_eq!(key.open(&flipped), Err(OpenError::Refused));
    }
}

#[test]
fn a_chunk_that_no_root_can_be_is_refused_even_under_its_key() {
    let vault_key = VaultKey::from_parts(1, Secret32::from_bytes([1; 32]));
    let keyring = VaultKeyring::new(VaultId::from_bytes([2; 16]), vec![vault_key]).expect("one generation");
    let compressed = ChunkPayload { compression: Compression::Zstd, body: b"zstd"[..].into() };
    let too_long =
        ChunkPayload { compression: Compression::None, body: vec![0; ROOT_BODY_BYTES_MAX + 1].into() };
    for payload in [compressed, too_long] {
        let chunk = keyring.seal_chunk(&payload);
        assert_eq!(RootKey::from_bytes(*chunk.key.expose()).open(&chunk.bytes), Err(OpenError::Refused));
    }
}
