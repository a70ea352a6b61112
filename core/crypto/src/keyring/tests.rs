//! Records and commit bodies open in their own place only, and vaults across rotations.

use super::{CommitContext, VaultKeyring};
use crate::error::{KeyringError, OpenError};
use crate::limits::{RECORD_PLAIN_BYTES_MAX, SEALED_OVERHEAD};
use crate::secret::Secret32;
use crate::testing::{Seeded, bit_flips};
use crate::vault_key::VaultKey;
use freehold_model::limits::RECORD_BYTES_MAX;
use freehold_model::padding::record_len;
use freehold_model::{DeviceId, FileId, RecordId, VaultId};
use std::collections::BTreeSet;

const VAULT: VaultId = VaultId::from_bytes([9; 16]);
const RECORD: RecordId = RecordId::from_bytes([5; 16]);
const COMMIT: CommitContext = CommitContext { device: DeviceId::from_bytes([6; 16]), incarnation: 1, seq: 7 };

fn keys(newest: u32) -> Vec<VaultKey> {
    (1..=newest)
        .map(|generation| VaultKey::from_parts(generation, Secret32::from_bytes([generation as u8; 32])))
        .collect()
}

fn keyring(newest: u32) -> VaultKeyring {
    VaultKeyring::new(VAULT, keys(newest)).expect("complete")
}

#[test]
fn records_of_every_length_come_back_from_their_size_class() {
    for len in (0..600).chain([4_091, 4_092, 4_093, 16_383, 16_384, 16_385, RECORD_PLAIN_BYTES_MAX]) {
        let plain = Seeded::new("record").bytes(len);
        let sealed = keyring(1).seal_record(&RECORD, &plain);
        assert_eq!(sealed.len() as u64, record_len(len as u64 + 4) + SEALED_OVERHEAD as u64, "{len}");
        assert!(sealed.len() <= RECORD_BYTES_MAX, "{len}");
        assert_eq!(keyring(1).open_record(&RECORD, &sealed), Ok(plain), "{len}");
    }
}

#[test]
fn equal_records_seal_to_equal_bytes_and_different_ones_share_no_nonce() {
    let keyring = keyring(1);
    assert_eq!(keyring.seal_record(&RECORD, b"same"), keyring.seal_record(&RECORD, b"same"));
    let other = RecordId::from_bytes([4; 16]);
    let sealed = [
        keyring.seal_record(&RECORD, b""),
        keyring.seal_record(&RECORD, b"\0"),
        keyring.seal_record(&RECORD, b"a"),
        keyring.seal_record(&other, b"a"),
        keyring.seal_commit_body(&COMMIT, b"a"),
        self::keyring(2).seal_record(&RECORD, b"a"),
    ];
    let nonces: BTreeSet<&[u8]> = sealed.iter().map(|bytes| &bytes[9..33]).collect();
    assert_eq!(nonces.len(), sealed.len());
}

#[test]
fn any_flipped_bit_of_a_record_is_refused() {
    let keyring = keyring(1);
    for (bit, flipped) in bit_flips(&keyring.seal_record(&RECORD, b"state of a file")).enumerate() {
        let in_generation = (40..72).contains(&bit);
        match keyring.open_record(&RECORD, &flipped) {
            Err(OpenError::UnknownGeneration(_)) => assert!(in_generation, "bit {bit}"),
            opened => assert_eq!(opened, Err(OpenError::Refused), "bit {bit}"),
        }
    }
}

#[test]
fn any_truncation_of_a_record_is_refused() {
    let sealed = keyring(1).seal_record(&RECORD, b"state of a file");
    for len in 0..sealed.len() {
        assert_eq!(keyring(1).open_record(&RECORD, &sealed[..len]), Err(OpenError::Refused), "{len}");
    }
    assert_eq!(keyring(1).open_record(&RECORD, &[&sealed[..], &[0]].concat()), Err(OpenError::Refused));
    assert_eq!(keyring(1).open_record(&RECORD, &vec![0; RECORD_BYTES_MAX + 1]), Err(OpenError::Refused));
}

#[test]
fn a_record_of_another_node_or_vault_is_refused() {
    let sealed = keyring(1).seal_record(&RECORD, b"mine");
    assert_eq!(keyring(1).open_record(&RecordId::from_bytes([4; 16]), &sealed), Err(OpenError::Refused));
    let other = VaultKeyring::new(VaultId::from_bytes([8; 16]), keys(1)).expect("complete");
    assert_eq!(other.open_record(&RECORD, &sealed), Err(OpenError::Refused));
}

#[test]
fn a_record_relabelled_to_another_generation_is_refused() {
    let keyring = keyring(3);
    let mut sealed = keyring.seal_record(&RECORD, b"generation three");
    sealed[5..9].copy_from_slice(&2u32.to_be_bytes());
    assert_eq!(keyring.open_record(&RECORD, &sealed), Err(OpenError::Refused));
    sealed[5..9].copy_from_slice(&0u32.to_be_bytes());
    assert_eq!(keyring.open_record(&RECORD, &sealed), Err(OpenError::Refused));
    sealed[5..9].copy_from_slice(&4u32.to_be_bytes());
    assert_eq!(keyring.open_record(&RECORD, &sealed), Err(OpenError::UnknownGeneration(4)));
}

#[test]
fn a_rotation_keeps_old_records_readable_and_new_ones_from_old_keyrings() {
    let before = keyring(1).seal_record(&RECORD, b"before");
    let after = keyring(2).seal_record(&RECORD, b"after");
    assert_eq!(keyring(2).open_record(&RECORD, &before).as_deref(), Ok(&b"before"[..]));
    assert_eq!(keyring(1).open_record(&RECORD, &after), Err(OpenError::UnknownGeneration(2)));
}

#[test]
fn record_ids_and_dedup_hashes_outlive_rotations_and_differ_by_vault() {
    let file = FileId::from_bytes([3; 16]);
    assert_eq!(keyring(1).record_id(&file), keyring(3).record_id(&file));
    assert_eq!(keyring(1).dedup_hash(b"plain"), keyring(3).dedup_hash(b"plain"));
    let other = VaultKeyring::new(VaultId::from_bytes([8; 16]), keys(1)).expect("complete");
    assert_ne!(keyring(1).record_id(&file), other.record_id(&file));
    assert_ne!(keyring(1).dedup_hash(b"plain"), other.dedup_hash(b"plain"));
}

#[test]
fn a_commit_body_opens_for_its_own_commit_only() {
    let keyring = keyring(1);
    let sealed = keyring.seal_commit_body(&COMMIT, b"seen");
    assert_eq!(keyring.open_commit_body(&COMMIT, &sealed).as_deref(), Ok(&b"seen"[..]));
    let others = [
        CommitContext { device: DeviceId::from_bytes([7; 16]), ..COMMIT },
        CommitContext { incarnation: 2, ..COMMIT },
        CommitContext { seq: 8, ..COMMIT },
    ];
    for other in others {
        assert_eq!(keyring.open_commit_body(&other, &sealed), Err(OpenError::Refused), "{other:?}");
    }
    for flipped in bit_flips(&sealed) {
        assert!(keyring.open_commit_body(&COMMIT, &flipped).is_err());
    }
}

#[test]
fn heads_open_in_their_own_vault_only_and_for_holders_of_their_generation() {
    let sealed = keyring(2).seal_heads(b"heads");
    assert_eq!(keyring(3).open_heads(&sealed).as_deref(), Ok(&b"heads"[..]));
    assert_eq!(keyring(1).open_heads(&sealed), Err(OpenError::UnknownGeneration(2)));
    assert_eq!(keyring(2).seal_heads(b"heads"), sealed, "equal heads are one thing to a node");
    let other = VaultKeyring::new(VaultId::from_bytes([8; 16]), keys(2)).expect("complete");
    assert_eq!(other.open_heads(&sealed), Err(OpenError::Refused));
    for flipped in bit_flips(&sealed) {
        assert!(keyring(2).open_heads(&flipped).is_err());
    }
}

#[test]
fn records_and_commit_bodies_never_pass_for_each_other() {
    let keyring = keyring(1);
    let mut body = keyring.seal_commit_body(&COMMIT, b"body");
    assert_eq!(keyring.open_record(&RECORD, &body), Err(OpenError::Refused));
    body[..4].copy_from_slice(b"FHR1");
    assert_eq!(keyring.open_record(&RECORD, &body), Err(OpenError::Refused));
}

#[test]
fn a_keyring_with_a_gap_a_duplicate_or_nothing_is_refused() {
    let incomplete: [fn() -> Vec<VaultKey>; 4] = [
        Vec::new,
        || keys(3).into_iter().skip(1).collect(),
        || keys(3).into_iter().filter(|key| key.generation() != 2).collect(),
        || keys(2).into_iter().chain(keys(1)).collect(),
    ];
    for keys in incomplete {
        assert_eq!(VaultKeyring::new(VAULT, keys()).map(|_| ()), Err(KeyringError::Incomplete));
    }
    let mut reversed = keys(3);
    reversed.reverse();
    assert_eq!(VaultKeyring::new(VAULT, reversed).map(|keyring| keyring.current_generation()), Ok(3));
}

#[test]
fn content_hashes_do_not_depend_on_cuts_or_generations_but_on_the_vault() {
    let hash = |keyring: &VaultKeyring, cuts: &[&[u8]]| {
        let mut hasher = keyring.content_hasher();
        cuts.iter().for_each(|cut| hasher.update(cut));
        hasher.finish()
    };
    let whole = hash(&keyring(1), &[b"content"]);
    assert_eq!(hash(&keyring(3), &[b"con", b"", b"tent"]), whole);
    assert_ne!(hash(&keyring(1), &[b"contents"]), whole);
    let other = VaultKeyring::new(VaultId::from_bytes([8; 16]), keys(1)).expect("complete");
    assert_ne!(hash(&other, &[b"content"]), whole);
}

#[test]
fn a_keyring_takes_later_generations_while_it_is_in_use() {
    let old = keyring(1);
    let before = old.seal_record(&RECORD, b"before");
    let after = keyring(3).seal_record(&RECORD, b"after");
    assert_eq!(old.open_record(&RECORD, &after), Err(OpenError::UnknownGeneration(3)));
    old.catch_up(keyring(3)).expect("the same vault");
    assert_eq!(old.current_generation(), 3);
    assert_eq!(old.open_record(&RECORD, &before).as_deref(), Ok(&b"before"[..]));
    assert_eq!(old.open_record(&RECORD, &after).as_deref(), Ok(&b"after"[..]));
    assert_eq!(old.seal_record(&RECORD, b"after"), after);
    old.catch_up(keyring(2)).expect("an older one adds nothing");
    assert_eq!(old.current_generation(), 3);
}

#[test]
fn another_vaults_keyring_or_one_with_a_changed_key_is_not_taken() {
    let old = keyring(2);
    let mut changed = keys(3);
    changed[1] = VaultKey::from_parts(2, Secret32::from_bytes([0xee; 32]));
    let changed = VaultKeyring::new(VAULT, changed).expect("complete");
    assert_eq!(old.catch_up(changed), Err(KeyringError::Refused));
    let other = VaultKeyring::new(VaultId::from_bytes([8; 16]), keys(3)).expect("complete");
    assert_eq!(old.catch_up(other), Err(KeyringError::Refused));
    assert_eq!(old.current_generation(), 2);
}
