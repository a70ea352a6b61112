//! Account roots (ARK): the key above all vault keys, one per generation.
//!
//! A rotation draws a new root, seals it to every live unlock path and boxes the old root under the
//! new one. Whoever holds the newest root therefore reaches every older one, and nobody who only
//! held an older one reaches a newer one.

use crate::error::{KeyringError, OpenError};
use crate::kdf::kdf;
use crate::keybox::{self, KeyBoxHeader, KeyBoxKind};
use crate::keyring::VaultKeyring;
use crate::labels;
use crate::limits::{FIRST_GENERATION, GENERATIONS_MAX};
use crate::secret::Secret32;
use crate::vault_key::VaultKey;
use freehold_model::{AccountId, Entropy, VaultId};
use std::collections::BTreeMap;

/// One generation of an account's root key.
#[derive(Debug, PartialEq, Eq)]
pub struct AccountRoot {
    generation: u32,
    key: Secret32,
}

impl AccountRoot {
    /// Draws the root of a new account.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self { generation: FIRST_GENERATION, key: Secret32::random(entropy) }
    }

    /// Draws the root of the next generation.
    ///
    /// # Panics
    /// After 2^32 generations.
    #[must_use]
    pub fn rotate(&self, entropy: &mut dyn Entropy) -> Self {
        let generation = self.generation.checked_add(1).expect("nobody rotates four billion times");
        Self { generation, key: Secret32::random(entropy) }
    }

    /// Wraps a key with its generation.
    #[must_use]
    pub const fn from_parts(generation: u32, key: Secret32) -> Self {
        Self { generation, key }
    }

    /// The generation.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// The bytes.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.key.expose()
    }

    /// Boxes a vault key under this root.
    pub fn seal_vault_key(
        &self,
        account: &AccountId,
        vault: &VaultId,
        key: &VaultKey,
        entropy: &mut dyn Entropy,
    ) -> Vec<u8> {
        let header = vault_key_header(account, vault, key.generation());
        keybox::seal(&header, &self.wrapping_key(labels::ARK_WRAP_VAULT, account), key.secret(), entropy)
    }

    /// Opens a vault key boxed under this root.
    ///
    /// # Errors
    /// `Refused` when the box is another vault's, another account's, or under another root.
    pub fn open_vault_key(
        &self,
        account: &AccountId,
        vault: &VaultId,
        generation: u32,
        sealed: &[u8],
    ) -> Result<VaultKey, OpenError> {
        let header = vault_key_header(account, vault, generation);
        keybox::open(&header, &self.wrapping_key(labels::ARK_WRAP_VAULT, account), sealed)
            .map(|key| VaultKey::from_parts(generation, key))
    }

    /// Boxes the root before this one.
    ///
    /// # Panics
    /// When `previous` is not of the generation just before.
    pub fn seal_previous(&self, account: &AccountId, previous: &Self, entropy: &mut dyn Entropy) -> Vec<u8> {
        assert_eq!(
            previous.generation.checked_add(1),
            Some(self.generation),
            "only the root just before is boxed"
        );
        let header = previous_root_header(account, previous.generation);
        keybox::seal(&header, &self.wrapping_key(labels::ARK_WRAP_PREVIOUS, account), &previous.key, entropy)
    }

    /// Opens the root before this one.
    ///
    /// # Errors
    /// `Refused` when the box is another account's, of another generation, or this is the first.
    pub fn open_previous(&self, account: &AccountId, sealed: &[u8]) -> Result<Self, OpenError> {
        let generation = self.generation.checked_sub(1).ok_or(OpenError::Refused)?;
        let header = previous_root_header(account, generation);
        keybox::open(&header, &self.wrapping_key(labels::ARK_WRAP_PREVIOUS, account), sealed)
            .map(|key| Self { generation, key })
    }

    fn wrapping_key(&self, label: &'static str, account: &AccountId) -> Secret32 {
        kdf(label, self.key.expose(), &[account.as_bytes(), &self.generation.to_be_bytes()])
    }
}

/// All roots of an account a device can reach.
#[derive(Debug)]
pub struct AccountKeyring {
    account: AccountId,
    roots: BTreeMap<u32, AccountRoot>,
}

impl AccountKeyring {
    /// Starts from the newest root and unfolds the older ones from their boxes, in any order.
    ///
    /// # Errors
    /// `Incomplete` when a previous root's box is missing, `Refused` when one does not open.
    pub fn unfold<'a>(
        account: AccountId,
        newest: AccountRoot,
        boxes: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, KeyringError> {
        let boxes = sort_boxes(boxes, KeyBoxKind::PreviousRoot, account.as_bytes())?;
        let mut roots = BTreeMap::new();
        let mut root = newest;
        while root.generation > FIRST_GENERATION {
            let sealed = boxes.get(&(root.generation - 1)).ok_or(KeyringError::Incomplete)?;
            let previous = root.open_previous(&account, sealed).map_err(|_| KeyringError::Refused)?;
            roots.insert(root.generation, root);
            root = previous;
        }
        roots.insert(root.generation, root);
        Ok(Self { account, roots })
    }

    /// The account.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// The newest root.
    ///
    /// # Panics
    /// Never: a keyring is built from a root.
    #[must_use]
    pub fn newest(&self) -> &AccountRoot {
        self.roots.values().next_back().expect("a keyring is built from a root")
    }

    /// The newest root, the rest forgotten.
    ///
    /// # Panics
    /// Never: a keyring is built from a root.
    #[must_use]
    pub fn into_newest(mut self) -> AccountRoot {
        self.roots.pop_last().expect("a keyring is built from a root").1
    }

    /// The root of one generation.
    #[must_use]
    pub fn root(&self, generation: u32) -> Option<&AccountRoot> {
        self.roots.get(&generation)
    }

    /// Opens the newest key of a vault, to rotate from.
    ///
    /// # Errors
    /// `Incomplete` when there is no box, `Refused` when the newest one does not open.
    pub fn newest_vault_key<'a>(
        &self,
        vault: &VaultId,
        boxes: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<VaultKey, KeyringError> {
        let current = sort_boxes(boxes, KeyBoxKind::VaultKey, vault.as_bytes())?;
        let (&generation, sealed) = current.last_key_value().ok_or(KeyringError::Incomplete)?;
        self.open_under_any_root(vault, generation, sealed)
    }

    /// Opens a vault: the newest vault key from its box, the older ones from theirs, in any order.
    ///
    /// # Errors
    /// `Incomplete` when a generation's box is missing, `Refused` when a box does not open.
    pub fn open_vault<'a>(
        &self,
        vault: VaultId,
        boxes: impl IntoIterator<Item = &'a [u8]> + Clone,
    ) -> Result<VaultKeyring, KeyringError> {
        let mut key = self.newest_vault_key(&vault, boxes.clone())?;
        let previous = sort_boxes(boxes, KeyBoxKind::PreviousVaultKey, vault.as_bytes())?;
        let mut keys = Vec::new();
        while key.generation() > FIRST_GENERATION {
            let sealed = previous.get(&(key.generation() - 1)).ok_or(KeyringError::Incomplete)?;
            let older = key.open_previous(&vault, sealed).map_err(|_| KeyringError::Refused)?;
            keys.push(key);
            key = older;
        }
        keys.push(key);
        VaultKeyring::new(vault, keys)
    }

    /// Newest root first: a wrong root fails at the commitment, before anything is decrypted.
    fn open_under_any_root(
        &self,
        vault: &VaultId,
        generation: u32,
        sealed: &[u8],
    ) -> Result<VaultKey, KeyringError> {
        let mut roots = self.roots.values().rev();
        roots
            .find_map(|root| root.open_vault_key(&self.account, vault, generation, sealed).ok())
            .ok_or(KeyringError::Refused)
    }
}

/// The boxes of one kind and subject by generation; others belong to somebody else.
fn sort_boxes<'a>(
    boxes: impl IntoIterator<Item = &'a [u8]>,
    kind: KeyBoxKind,
    subject: &[u8; 16],
) -> Result<BTreeMap<u32, &'a [u8]>, KeyringError> {
    let mut sorted = BTreeMap::new();
    for sealed in boxes {
        let header = KeyBoxHeader::read(sealed).map_err(|_| KeyringError::Refused)?;
        if header.kind == kind && header.subject == *subject {
            sorted.insert(header.generation, sealed);
        }
        if sorted.len() > GENERATIONS_MAX {
            return Err(KeyringError::TooMany);
        }
    }
    Ok(sorted)
}

fn vault_key_header(account: &AccountId, vault: &VaultId, generation: u32) -> KeyBoxHeader {
    KeyBoxHeader {
        kind: KeyBoxKind::VaultKey,
        generation,
        wrapper: account.to_bytes(),
        subject: vault.to_bytes(),
    }
}

fn previous_root_header(account: &AccountId, generation: u32) -> KeyBoxHeader {
    let account = account.to_bytes();
    KeyBoxHeader { kind: KeyBoxKind::PreviousRoot, generation, wrapper: account, subject: account }
}

#[cfg(test)]
mod tests;
