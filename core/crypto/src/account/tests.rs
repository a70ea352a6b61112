//! Boxes open for their own account, vault, kind and generation only; chains unfold.

use super::{AccountKeyring, AccountRoot};
use crate::error::{KeyringError, OpenError};
use crate::keybox::{self, KeyBoxHeader, KeyBoxKind};
use crate::limits::KEY_BOX_LEN;
use crate::secret::Secret32;
use crate::testing::{Seeded, bit_flips};
use crate::vault_key::VaultKey;
use freehold_model::{AccountId, RecordId, VaultId};

const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);
const VAULT: VaultId = VaultId::from_bytes([2; 16]);
const HEADER: KeyBoxHeader =
    KeyBoxHeader { kind: KeyBoxKind::VaultKey, generation: 4, wrapper: [1; 16], subject: [2; 16] };

fn key(byte: u8) -> Secret32 {
    Secret32::from_bytes([byte; 32])
}

/// Three generations of roots and vault keys, and all their boxes.
struct Rotated {
    roots: [AccountRoot; 3],
    keys: [VaultKey; 3],
    root_boxes: Vec<Vec<u8>>,
    vault_boxes: Vec<Vec<u8>>,
}

impl Rotated {
    fn new() -> Self {
        let mut entropy = Seeded::new("rotated");
        let root = AccountRoot::generate(&mut entropy);
        let (next, vault) = (root.rotate(&mut entropy), VaultKey::generate(&mut entropy));
        let roots = [next.rotate(&mut entropy), next, root];
        let second = vault.rotate(&mut entropy);
        let keys = [second.rotate(&mut entropy), second, vault];
        let root_boxes =
            (0..2).map(|i| roots[i].seal_previous(&ACCOUNT, &roots[i + 1], &mut entropy)).collect();
        let mut vault_boxes: Vec<_> =
            (0..2).map(|i| keys[i].seal_previous(&VAULT, &keys[i + 1], &mut entropy)).collect();
        for (root, key) in roots.iter().zip(&keys) {
            vault_boxes.push(root.seal_vault_key(&ACCOUNT, &VAULT, key, &mut entropy));
        }
        Self { roots, keys, root_boxes, vault_boxes }
    }

    fn root(&self, index: usize) -> AccountRoot {
        AccountRoot::from_parts(
            self.roots[index].generation(),
            Secret32::from_bytes(*self.roots[index].expose()),
        )
    }
}

fn slices(boxes: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> + Clone {
    boxes.iter().map(Vec::as_slice)
}

#[test]
fn a_box_opens_as_exactly_what_it_was_sealed_for() {
    let sealed = keybox::seal(&HEADER, &key(1), &key(2), &mut Seeded::new("box"));
    assert_eq!(sealed.len(), KEY_BOX_LEN);
    assert_eq!(KeyBoxHeader::read(&sealed), Ok(HEADER));
    assert_eq!(keybox::open(&HEADER, &key(1), &sealed), Ok(key(2)));
    let others = [
        KeyBoxHeader { kind: KeyBoxKind::PreviousVaultKey, ..HEADER },
        KeyBoxHeader { kind: KeyBoxKind::PreviousRoot, ..HEADER },
        KeyBoxHeader { generation: 5, ..HEADER },
        KeyBoxHeader { wrapper: [3; 16], ..HEADER },
        KeyBoxHeader { subject: [3; 16], ..HEADER },
    ];
    for other in others {
        assert_eq!(keybox::open(&other, &key(1), &sealed), Err(OpenError::Refused), "{other:?}");
    }
    assert_eq!(keybox::open(&HEADER, &key(3), &sealed), Err(OpenError::Refused));
}

#[test]
fn a_relabelled_box_is_refused_under_the_right_key() {
    let sealed = keybox::seal(&HEADER, &key(1), &key(2), &mut Seeded::new("box"));
    let other = KeyBoxHeader { subject: [3; 16], ..HEADER };
    let mut relabelled = sealed;
    relabelled[26..42].copy_from_slice(&[3; 16]);
    assert_eq!(KeyBoxHeader::read(&relabelled), Ok(other));
    assert_eq!(keybox::open(&other, &key(1), &relabelled), Err(OpenError::Refused));
}

#[test]
fn any_flipped_bit_or_other_length_of_a_box_is_refused() {
    let sealed = keybox::seal(&HEADER, &key(1), &key(2), &mut Seeded::new("box"));
    for flipped in bit_flips(&sealed) {
        assert_eq!(keybox::open(&HEADER, &key(1), &flipped), Err(OpenError::Refused));
    }
    for len in 0..sealed.len() {
        assert_eq!(keybox::open(&HEADER, &key(1), &sealed[..len]), Err(OpenError::Refused), "{len}");
    }
    assert_eq!(keybox::open(&HEADER, &key(1), &[&sealed[..], &[0]].concat()), Err(OpenError::Refused));
}

#[test]
fn the_commitment_names_the_wrapping_key_before_anything_is_decrypted() {
    let sealed = keybox::seal(&HEADER, &key(1), &key(2), &mut Seeded::new("box"));
    let other = keybox::seal(&HEADER, &key(3), &key(2), &mut Seeded::new("box"));
    assert_eq!(sealed[42..66], other[42..66], "the same nonce");
    assert_ne!(sealed[66..98], other[66..98], "another commitment");
    let swapped = [&sealed[..66], &other[66..98], &sealed[98..]].concat();
    for wrapping in [1, 3] {
        assert_eq!(keybox::open(&HEADER, &key(wrapping), &swapped), Err(OpenError::Refused));
    }
}

#[test]
fn the_newest_root_unfolds_every_vault_generation() {
    let rotated = Rotated::new();
    let account =
        AccountKeyring::unfold(ACCOUNT, rotated.root(0), slices(&rotated.root_boxes)).expect("complete");
    assert_eq!((account.account(), account.newest()), (ACCOUNT, &rotated.roots[0]));
    let vault = account.open_vault(VAULT, slices(&rotated.vault_boxes)).expect("complete");
    assert_eq!((vault.vault(), vault.current_generation()), (VAULT, 3));
    let first = crate::keyring::VaultKeyring::new(
        VAULT,
        vec![VaultKey::from_parts(1, Secret32::from_bytes(*rotated.keys[2].expose()))],
    )
    .expect("one generation");
    let record = RecordId::from_bytes([5; 16]);
    assert_eq!(vault.open_record(&record, &first.seal_record(&record, b"old")).as_deref(), Ok(&b"old"[..]));
}

#[test]
fn an_older_root_reaches_no_newer_vault_key() {
    let rotated = Rotated::new();
    let account =
        AccountKeyring::unfold(ACCOUNT, rotated.root(1), slices(&rotated.root_boxes)).expect("complete");
    assert_eq!(
        account.open_vault(VAULT, slices(&rotated.vault_boxes)).map(|_| ()),
        Err(KeyringError::Refused)
    );
}

#[test]
fn a_vault_key_boxed_under_an_older_root_still_opens() {
    let rotated = Rotated::new();
    let account =
        AccountKeyring::unfold(ACCOUNT, rotated.root(0), slices(&rotated.root_boxes)).expect("complete");
    let boxes = [rotated.vault_boxes[4].clone()];
    assert_eq!(account.open_vault(VAULT, slices(&boxes)).map(|vault| vault.current_generation()), Ok(1));
}

#[test]
fn a_missing_or_foreign_box_is_named() {
    let rotated = Rotated::new();
    let missing = AccountKeyring::unfold(ACCOUNT, rotated.root(0), slices(&rotated.root_boxes[..1]));
    assert_eq!(missing.map(|_| ()), Err(KeyringError::Incomplete));
    let other = AccountId::from_bytes([7; 16]);
    let foreign = AccountKeyring::unfold(other, rotated.root(0), slices(&rotated.root_boxes));
    assert_eq!(foreign.map(|_| ()), Err(KeyringError::Incomplete));
    let account =
        AccountKeyring::unfold(ACCOUNT, rotated.root(0), slices(&rotated.root_boxes)).expect("complete");
    let without_chain = account.open_vault(VAULT, slices(&rotated.vault_boxes[2..]));
    assert_eq!(without_chain.map(|_| ()), Err(KeyringError::Incomplete));
    let other_vault = account.open_vault(VaultId::from_bytes([8; 16]), slices(&rotated.vault_boxes));
    assert_eq!(other_vault.map(|_| ()), Err(KeyringError::Incomplete));
    let garbage = [vec![0; KEY_BOX_LEN]];
    assert_eq!(account.open_vault(VAULT, slices(&garbage)).map(|_| ()), Err(KeyringError::Refused));
}

#[test]
fn the_first_generation_has_nothing_before_it() {
    let rotated = Rotated::new();
    let root = AccountRoot::from_parts(0, key(1));
    assert_eq!(root.open_previous(&ACCOUNT, &rotated.root_boxes[0]), Err(OpenError::Refused));
    let newest = VaultKey::from_parts(3, Secret32::from_bytes(*rotated.keys[0].expose()));
    assert_eq!(newest.open_previous(&VAULT, &rotated.vault_boxes[0]).as_ref(), Ok(&rotated.keys[1]));
    assert_eq!(newest.open_previous(&VAULT, &rotated.vault_boxes[1]), Err(OpenError::Refused));
}
