//! A vault's keys, all generations: seals under the newest, opens any.

use crate::chunk::{ChunkKey, ChunkPayload, Encoding, SealedChunk};
use crate::error::{KeyringError, OpenError};
use crate::kdf::{kdf, prf};
use crate::labels;
use crate::limits::{
    COMMIT_BODY_PLAIN_BYTES_MAX, FIRST_GENERATION, GENERATIONS_MAX, HEADS_PLAIN_BYTES_MAX,
    RECORD_PLAIN_BYTES_MAX, SEALED_OVERHEAD,
};
use crate::secret::Secret32;
use crate::siv::{Parsed, Place, SivKey, SivKind};
use crate::vault_key::VaultKey;
use freehold_model::codec::Writer;
use freehold_model::limits::RECORD_BYTES_MAX;
use freehold_model::padding::record_len;
use freehold_model::{ChunkId, DeviceId, FileId, RecordId, VaultId};
use std::sync::{Arc, RwLock};

const RECORD: SivKind =
    SivKind { magic: *b"FHR1", encryption_label: labels::RECORD_ENC, nonce_label: labels::RECORD_NONCE };
const COMMIT_BODY: SivKind =
    SivKind { magic: *b"FHB1", encryption_label: labels::COMMIT_ENC, nonce_label: labels::COMMIT_NONCE };

const HEADS: SivKind =
    SivKind { magic: *b"FHD1", encryption_label: labels::HEADS_ENC, nonce_label: labels::HEADS_NONCE };

/// Bytes of the largest sealed heads.
const HEADS_SEALED_MAX: usize = SEALED_OVERHEAD + record_len(HEADS_PLAIN_BYTES_MAX as u64 + 4) as usize;

/// Bytes of the largest sealed commit body.
const COMMIT_BODY_SEALED_MAX: usize =
    SEALED_OVERHEAD + record_len(COMMIT_BODY_PLAIN_BYTES_MAX as u64 + 4) as usize;

/// Which commit a sealed body belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitContext {
    /// The committing device.
    pub device: DeviceId,
    /// Its incarnation.
    pub incarnation: u32,
    /// The commit's number in the device's chain.
    pub seq: u64,
}

/// Every key of one vault. Cheap to use, costly to build: derived keys are kept. It is shared by all who
/// seal and open, and takes later generations while they do.
pub struct VaultKeyring {
    vault: VaultId,
    index_key: Secret32,
    dedup_key: Secret32,
    content_key: Secret32,
    chunker_key: Secret32,
    /// Only ever grows, so a generation that was found stays right.
    generations: RwLock<Vec<Arc<Generation>>>,
}

/// Hashes one file's whole content, piece by piece.
pub struct ContentHasher(Box<blake3::Hasher>);

impl ContentHasher {
    /// Takes in the next bytes of the file.
    pub fn update(&mut self, plain: &[u8]) {
        self.0.update(plain);
    }

    /// The hash of everything taken in.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

/// The hasher holds the key.
impl Drop for ContentHasher {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut *self.0);
    }
}

impl std::fmt::Debug for ContentHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ContentHasher(..)")
    }
}

/// Keys of one generation; generation `g` stands at index `g - 1`.
struct Generation {
    lan: Secret32,
    number: u32,
    chunk_hash: Secret32,
    record: SivKey,
    commit_body: SivKey,
    heads: SivKey,
}

impl VaultKeyring {
    /// Takes over all generations of a vault's key, in any order.
    ///
    /// # Errors
    /// `Incomplete` when a generation between 1 and the newest is missing or there twice.
    pub fn new(vault: VaultId, mut keys: Vec<VaultKey>) -> Result<Self, KeyringError> {
        if keys.len() > GENERATIONS_MAX {
            return Err(KeyringError::TooMany);
        }
        keys.sort_by_key(VaultKey::generation);
        let complete =
            keys.iter().zip(FIRST_GENERATION..).all(|(key, generation)| key.generation() == generation);
        let (Some(first), true) = (keys.first(), complete) else {
            return Err(KeyringError::Incomplete);
        };
        Ok(Self {
            vault,
            index_key: kdf(labels::VAULT_INDEX, first.expose(), &[vault.as_bytes()]),
            dedup_key: kdf(labels::VAULT_DEDUP, first.expose(), &[vault.as_bytes()]),
            content_key: kdf(labels::VAULT_CONTENT, first.expose(), &[vault.as_bytes()]),
            chunker_key: kdf(labels::VAULT_CHUNKER, first.expose(), &[vault.as_bytes()]),
            generations: RwLock::new(
                keys.iter().map(|key| Arc::new(Generation::derive(&vault, key))).collect(),
            ),
        })
    }

    /// Whether another keyring is this vault's and has the same key wherever both have one.
    ///
    /// # Panics
    /// Never: no holder of the lock panics.
    #[must_use]
    pub fn is_continued_by(&self, newer: &Self) -> bool {
        let generations = self.generations.read().expect("no holder of this lock panics");
        let newer_generations = newer.generations.read().expect("no holder of this lock panics");
        let mut both = generations.iter().zip(newer_generations.iter());
        newer.vault == self.vault
            && newer.index_key == self.index_key
            && both.all(|(old, new)| old.chunk_hash == new.chunk_hash)
    }

    /// Takes over the generations that a newer keyring of this vault has beyond this one's.
    ///
    /// # Errors
    /// `Refused` when it does not continue this one: then nothing of it is taken.
    ///
    /// # Panics
    /// Never: no holder of the lock panics.
    pub fn catch_up(&self, newer: Self) -> Result<(), KeyringError> {
        if !self.is_continued_by(&newer) {
            return Err(KeyringError::Refused);
        }
        let newer = newer.generations.into_inner().expect("no holder of this lock panics");
        let mut generations = self.generations.write().expect("no holder of this lock panics");
        let known = generations.len();
        generations.extend(newer.into_iter().skip(known));
        Ok(())
    }

    /// The vault.
    #[must_use]
    pub const fn vault(&self) -> VaultId {
        self.vault
    }

    /// The generation that seals.
    ///
    /// # Panics
    /// Never: a keyring has a first generation.
    #[must_use]
    pub fn current_generation(&self) -> u32 {
        self.current().number
    }

    /// What the server knows a node of the tree by. Constant across generations.
    #[must_use]
    pub fn record_id(&self, file: &FileId) -> RecordId {
        RecordId::from_bytes(prf(&self.index_key, &[file.as_bytes()]))
    }

    /// A hash of a chunk's plaintext for the device's own dedup lookup. Constant across generations.
    #[must_use]
    pub fn dedup_hash(&self, plain: &[u8]) -> [u8; 16] {
        prf(&self.dedup_key, &[plain])
    }

    /// What says where this vault's contents are cut. Constant across generations, so that a rotation leaves the
    /// cuts, and with them all unchanged chunks, as they are.
    #[must_use]
    pub const fn chunker_key(&self) -> &Secret32 {
        &self.chunker_key
    }

    /// What this vault's devices announce themselves by on the local network in an hour (since 1970).
    /// Another generation has other tags, so a removed device cannot tell those after its removal.
    #[must_use]
    pub fn lan_tag(&self, hour: u64) -> [u8; 16] {
        prf(&self.current().lan, &[&hour.to_be_bytes()])
    }

    /// A hash of whole contents, for records: equal contents are no conflict. Constant across
    /// generations.
    #[must_use]
    pub fn content_hasher(&self) -> ContentHasher {
        ContentHasher(Box::new(blake3::Hasher::new_keyed(self.content_key.expose())))
    }

    /// Seals a chunk under the current generation. Equal payloads give equal chunks.
    ///
    /// # Panics
    /// When the body is over the largest chunk: profiles never cut one.
    #[must_use]
    pub fn seal_chunk(&self, payload: &ChunkPayload<'_>) -> SealedChunk {
        let mut bytes = Vec::new();
        let (id, key) = self.seal_chunk_into(payload, &mut bytes);
        SealedChunk { id, key, bytes }
    }

    /// As [`seal_chunk`](Self::seal_chunk), into a buffer whose content is replaced; the id and the key. Whoever seals
    /// one chunk after the other needs no fresh memory for each.
    ///
    /// # Panics
    /// As there.
    pub fn seal_chunk_into(&self, payload: &ChunkPayload<'_>, sealed: &mut Vec<u8>) -> (ChunkId, ChunkKey) {
        let encoding = Encoding::new(payload.compression, &payload.body);
        let key = ChunkKey::from_bytes(encoding.hash(&self.current().chunk_hash));
        (encoding.seal_into(key.secret(), sealed), key)
    }

    /// Seals a record under the current generation. Equal plaintext gives equal bytes.
    ///
    /// # Panics
    /// When the plaintext is over [`RECORD_PLAIN_BYTES_MAX`]: record mutators refuse before that.
    #[must_use]
    pub fn seal_record(&self, record: &RecordId, plain: &[u8]) -> Vec<u8> {
        assert!(plain.len() <= RECORD_PLAIN_BYTES_MAX, "record mutators refuse before a record is too long");
        let current = self.current();
        current.record.seal(&self.record_place(current.number, &self.record_context(record)), plain)
    }

    /// Opens a record of any generation.
    ///
    /// # Errors
    /// `Refused` when it is damaged or of another vault or record; `UnknownGeneration` when its key
    /// is not here yet.
    pub fn open_record(&self, record: &RecordId, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let parsed = Parsed::read(RECORD.magic, sealed, RECORD_BYTES_MAX)?;
        let context = self.record_context(record);
        self.generation(parsed.generation)?
            .record
            .open(&self.record_place(parsed.generation, &context), &parsed)
    }

    /// Seals a commit's body under the current generation. Equal plaintext gives equal bytes.
    ///
    /// # Panics
    /// When the plaintext is over [`COMMIT_BODY_PLAIN_BYTES_MAX`]: commits are cut before that.
    #[must_use]
    pub fn seal_commit_body(&self, commit: &CommitContext, plain: &[u8]) -> Vec<u8> {
        assert!(plain.len() <= COMMIT_BODY_PLAIN_BYTES_MAX, "commits are cut before their body is too long");
        let context = self.commit_context(commit);
        let current = self.current();
        let place = Place { magic: COMMIT_BODY.magic, generation: current.number, context: &context };
        current.commit_body.seal(&place, plain)
    }

    /// Opens a commit's body of any generation.
    ///
    /// # Errors
    /// `Refused` when it is damaged or another commit's; `UnknownGeneration` when its key is not
    /// here yet.
    pub fn open_commit_body(&self, commit: &CommitContext, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let parsed = Parsed::read(COMMIT_BODY.magic, sealed, COMMIT_BODY_SEALED_MAX)?;
        let context = self.commit_context(commit);
        let place = Place { magic: COMMIT_BODY.magic, generation: parsed.generation, context: &context };
        self.generation(parsed.generation)?.commit_body.open(&place, &parsed)
    }

    /// Seals the heads that a device leaves at a storage node under the current generation. Equal
    /// plaintext gives equal bytes.
    ///
    /// # Panics
    /// When the plaintext is over [`HEADS_PLAIN_BYTES_MAX`]: devices leave no more.
    #[must_use]
    pub fn seal_heads(&self, plain: &[u8]) -> Vec<u8> {
        assert!(plain.len() <= HEADS_PLAIN_BYTES_MAX, "devices leave no more heads than fit");
        let current = self.current();
        let place = Place { magic: HEADS.magic, generation: current.number, context: self.vault.as_bytes() };
        current.heads.seal(&place, plain)
    }

    /// Opens heads of any generation.
    ///
    /// # Errors
    /// `Refused` when they are damaged or another vault's; `UnknownGeneration` when their key is not
    /// here yet.
    pub fn open_heads(&self, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let parsed = Parsed::read(HEADS.magic, sealed, HEADS_SEALED_MAX)?;
        let place =
            Place { magic: HEADS.magic, generation: parsed.generation, context: self.vault.as_bytes() };
        self.generation(parsed.generation)?.heads.open(&place, &parsed)
    }

    fn current(&self) -> Arc<Generation> {
        let generations = self.generations.read().expect("no holder of this lock panics");
        Arc::clone(generations.last().expect("a keyring has a first generation"))
    }

    fn generation(&self, generation: u32) -> Result<Arc<Generation>, OpenError> {
        let index = generation.checked_sub(FIRST_GENERATION).ok_or(OpenError::Refused)?;
        let generations = self.generations.read().expect("no holder of this lock panics");
        generations.get(index as usize).cloned().ok_or(OpenError::UnknownGeneration(generation))
    }

    fn record_context(&self, record: &RecordId) -> Vec<u8> {
        [&self.vault.as_bytes()[..], record.as_bytes()].concat()
    }

    fn record_place<'a>(&self, generation: u32, context: &'a [u8]) -> Place<'a> {
        Place { magic: RECORD.magic, generation, context }
    }

    fn commit_context(&self, commit: &CommitContext) -> Vec<u8> {
        let mut out = Writer::with_capacity(44);
        out.put(&self.vault).put(&commit.device).u32(commit.incarnation).u64(commit.seq);
        out.into_vec()
    }
}

impl Generation {
    fn derive(vault: &VaultId, key: &VaultKey) -> Self {
        let context = [&vault.as_bytes()[..], &key.generation().to_be_bytes()];
        Self {
            lan: kdf(labels::VAULT_LAN, key.expose(), &context),
            number: key.generation(),
            chunk_hash: kdf(labels::CHUNK_HASH, key.expose(), &context),
            record: SivKey::derive(&RECORD, key.secret(), &context),
            commit_body: SivKey::derive(&COMMIT_BODY, key.secret(), &context),
            heads: SivKey::derive(&HEADS, key.secret(), &context),
        }
    }
}

impl std::fmt::Debug for VaultKeyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VaultKeyring({:?}, {} generations)", self.vault, self.current_generation())
    }
}

#[cfg(test)]
mod tests;
