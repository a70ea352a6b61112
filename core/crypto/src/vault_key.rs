//! Vault keys (VK): the key above everything in one vault, one per generation.
//!
//! A rotation draws a new key and boxes the old one under it. Nothing old is encrypted again; what
//! is written from then on is sealed under the new generation.

use crate::error::OpenError;
use crate::kdf::kdf;
use crate::keybox::{self, KeyBoxHeader, KeyBoxKind};
use crate::labels;
use crate::limits::FIRST_GENERATION;
use crate::secret::Secret32;
use freehold_model::{Entropy, VaultId};

/// One generation of a vault's key.
#[derive(Debug, PartialEq, Eq)]
pub struct VaultKey {
    generation: u32,
    key: Secret32,
}

impl VaultKey {
    /// Draws the key of a new vault.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self { generation: FIRST_GENERATION, key: Secret32::random(entropy) }
    }

    /// Draws the key of the next generation.
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

    /// Boxes the key before this one.
    ///
    /// # Panics
    /// When `previous` is not of the generation just before.
    pub fn seal_previous(&self, vault: &VaultId, previous: &Self, entropy: &mut dyn Entropy) -> Vec<u8> {
        assert_eq!(
            previous.generation.checked_add(1),
            Some(self.generation),
            "only the key just before is boxed"
        );
        keybox::seal(&header(vault, previous.generation), &self.wrapping_key(vault), &previous.key, entropy)
    }

    /// Opens the key before this one.
    ///
    /// # Errors
    /// `Refused` when the box is another vault's, of another generation, or this is the first.
    pub fn open_previous(&self, vault: &VaultId, sealed: &[u8]) -> Result<Self, OpenError> {
        let generation = self.generation.checked_sub(1).ok_or(OpenError::Refused)?;
        keybox::open(&header(vault, generation), &self.wrapping_key(vault), sealed)
            .map(|key| Self { generation, key })
    }

    pub(crate) const fn secret(&self) -> &Secret32 {
        &self.key
    }

    fn wrapping_key(&self, vault: &VaultId) -> Secret32 {
        let context = [&vault.as_bytes()[..], &self.generation.to_be_bytes()];
        kdf(labels::VAULT_WRAP_PREVIOUS, self.key.expose(), &context)
    }
}

fn header(vault: &VaultId, generation: u32) -> KeyBoxHeader {
    let vault = vault.to_bytes();
    KeyBoxHeader { kind: KeyBoxKind::PreviousVaultKey, generation, wrapper: vault, subject: vault }
}
