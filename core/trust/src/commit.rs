//! The commit envelope: a signed, hash-chained list of sealed versions by one device.
//!
//! A fixed 186-byte header names the chain position, the account log head its author knew, and
//! the hashes of the entries and of the sealed body. Only the header is signed and hashed, so a
//! header with its signature is proof enough for gossip and for fork evidence, while entries and
//! body are bound through it. Everything a server checks (signature, chain, numbering) needs no
//! content key: the entries are record ids and ciphertext hashes, the body is opaque.
//!
//! One device has one chain per vault. `seq` counts from 1 within an incarnation; the first commit
//! of a later incarnation names the last commit of the earlier one as `prev`, so the chain stays
//! one chain. Source: DESIGN §4; SUNDR's fork consistency (Li et al., OSDI 2004).

mod chain;
mod entry;

pub use chain::{ChainError, ChainHead, ForkEvidence, SignedHead};
pub use entry::CommitEntry;

use crate::limits;
use crate::sign::{BadSignature, Label, PublicKey, SignKey, Signature};
use crate::statement::{read_preamble, write_preamble};
use freehold_model::codec::{self, Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::limits::COMMIT_ENTRIES_MAX;
use freehold_model::{CommitHash, DeviceId, LogHash, RootHash, VaultId};

const MAGIC: [u8; 4] = *b"FHCM";

/// The signed part of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitHeader {
    /// The vault.
    pub vault: VaultId,
    /// The author.
    pub device: DeviceId,
    /// Which life of the author.
    pub incarnation: u32,
    /// Position in the chain, from 1 within the incarnation.
    pub seq: u64,
    /// The commit before; zero for the first of all.
    pub prev: CommitHash,
    /// The newest account log entry the author knew.
    pub log_head: LogHash,
    /// The newest membership of the vault the author knew.
    pub member_epoch: u32,
    /// The vault key generation its records are sealed under.
    pub generation: u32,
    /// BLAKE3 over the encoded entries.
    pub records_root: RootHash,
    /// BLAKE3 over the sealed body.
    pub body_hash: [u8; 32],
}

/// What the author chooses; the roots are computed by [`Commit::sign`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitPlace {
    /// The vault.
    pub vault: VaultId,
    /// The author.
    pub device: DeviceId,
    /// Which life of the author.
    pub incarnation: u32,
    /// Position in the chain, from 1 within the incarnation.
    pub seq: u64,
    /// The commit before; zero for the first of all.
    pub prev: CommitHash,
    /// The newest account log entry the author knows.
    pub log_head: LogHash,
    /// The newest membership of the vault the author knows.
    pub member_epoch: u32,
    /// The vault key generation the records are sealed under.
    pub generation: u32,
}

impl CommitHeader {
    /// Encoded bytes, preamble included.
    pub const LEN_BYTES: usize = 186;

    /// The commit's name: BLAKE3 of the encoded header. The signature is not part of it.
    #[must_use]
    pub fn hash(&self) -> CommitHash {
        CommitHash::from_bytes(*blake3::hash(&codec::to_vec(self)).as_bytes())
    }

    /// Checks a signature over this header.
    ///
    /// # Errors
    /// [`BadSignature`] when the key did not sign it.
    pub fn verify(&self, key: &PublicKey, signature: &Signature) -> Result<(), BadSignature> {
        key.verify(Label::Commit, &codec::to_vec(self), signature)
    }

    fn check_place(&self) -> Result<(), DecodeError> {
        if self.seq == 0 {
            return Err(DecodeError::Invalid("commit seq"));
        }
        if self.seq > 1 && self.prev == CommitHash::default() {
            return Err(DecodeError::Invalid("commit prev"));
        }
        Ok(())
    }
}

/// A commit whose header, entries and body belong together. The signature may still be bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    header: CommitHeader,
    entries: Vec<CommitEntry>,
    sealed_body: Vec<u8>,
    signature: Signature,
}

impl Commit {
    /// Sorts the entries, computes the roots and signs.
    ///
    /// # Errors
    /// `TooLong` over a limit, `Invalid` for two entries of one record, an entry that replaces
    /// itself, position 0, or a later position without a predecessor.
    pub fn sign(
        place: CommitPlace,
        entries: Vec<CommitEntry>,
        sealed_body: Vec<u8>,
        key: &SignKey,
    ) -> Result<Self, DecodeError> {
        let entries = entry::canonical(entries)?;
        let header = CommitHeader {
            vault: place.vault,
            device: place.device,
            incarnation: place.incarnation,
            seq: place.seq,
            prev: place.prev,
            log_head: place.log_head,
            member_epoch: place.member_epoch,
            generation: place.generation,
            records_root: entry::root(&entries),
            body_hash: *blake3::hash(&sealed_body).as_bytes(),
        };
        let signature = key.sign(Label::Commit, &codec::to_vec(&header));
        let commit = Self { header, entries, sealed_body, signature };
        commit.checked()
    }

    /// Reads a commit that fills the slice exactly, and checks that the header names these entries
    /// and this body. The signature is not checked.
    ///
    /// # Errors
    /// Anything but the canonical form of a consistent commit is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > limits::COMMIT_BYTES_MAX {
            return Err(DecodeError::TooLong);
        }
        codec::from_slice(bytes)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::to_vec(self)
    }

    /// Checks the author's signature.
    ///
    /// # Errors
    /// [`BadSignature`] when the key did not sign this commit.
    pub fn verify(&self, key: &PublicKey) -> Result<(), BadSignature> {
        self.header.verify(key, &self.signature)
    }

    /// The commit's name.
    #[must_use]
    pub fn hash(&self) -> CommitHash {
        self.header.hash()
    }

    /// The signed part.
    #[must_use]
    pub const fn header(&self) -> &CommitHeader {
        &self.header
    }

    /// The versions, in ascending order of record id.
    #[must_use]
    pub fn entries(&self) -> &[CommitEntry] {
        &self.entries
    }

    /// The body, sealed for the vault's members.
    #[must_use]
    pub fn sealed_body(&self) -> &[u8] {
        &self.sealed_body
    }

    /// The author's signature over the header.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    fn checked(self) -> Result<Self, DecodeError> {
        self.header.check_place()?;
        if self.sealed_body.len() > limits::COMMIT_BODY_BYTES_MAX
            || entry::encoded_len(&self.entries) > limits::COMMIT_ENTRIES_BYTES_MAX
        {
            return Err(DecodeError::TooLong);
        }
        if self.header.records_root != entry::root(&self.entries) {
            return Err(DecodeError::Invalid("records root"));
        }
        if self.header.body_hash != *blake3::hash(&self.sealed_body).as_bytes() {
            return Err(DecodeError::Invalid("body hash"));
        }
        Ok(self)
    }
}

impl Encode for CommitHeader {
    fn encode(&self, out: &mut Writer) {
        write_preamble(out, MAGIC);
        out.put(&self.vault).put(&self.device).u32(self.incarnation).u64(self.seq);
        out.put(&self.prev).put(&self.log_head).u32(self.member_epoch).u32(self.generation);
        out.put(&self.records_root).raw(&self.body_hash);
    }
}

impl Decode for CommitHeader {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read_preamble(input, MAGIC, "commit")?;
        Ok(Self {
            vault: input.get()?,
            device: input.get()?,
            incarnation: input.u32()?,
            seq: input.u64()?,
            prev: input.get()?,
            log_head: input.get()?,
            member_epoch: input.u32()?,
            generation: input.u32()?,
            records_root: input.get()?,
            body_hash: input.array()?,
        })
    }
}

impl Encode for Commit {
    fn encode(&self, out: &mut Writer) {
        let count = u32::try_from(self.entries.len()).expect("signing bounds the list");
        out.put(&self.header).put(&self.signature).u32(count);
        self.entries.iter().for_each(|entry| entry.encode(out));
        out.var_bytes(&self.sealed_body);
    }
}

impl Decode for Commit {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (header, signature) = (input.get()?, input.get()?);
        let count = input.count(COMMIT_ENTRIES_MAX, CommitEntry::LEN_BYTES_MIN)?;
        let entries = (0..count).map(|_| input.get()).collect::<Result<Vec<CommitEntry>, DecodeError>>()?;
        entry::check(&entries)?;
        let sealed_body = input.var_bytes(limits::COMMIT_BODY_BYTES_MAX)?.to_vec();
        Self { header, entries, sealed_body, signature }.checked()
    }
}

#[cfg(test)]
mod tests;
