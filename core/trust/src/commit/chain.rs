//! Following one device's commit chain, and keeping proof when it forks.
//!
//! Whoever stores commits keeps one [`ChainHead`] per (vault, device) and asks it about each new
//! header. A second header at a position already taken is evidence, not an error to drop.

use super::{Commit, CommitHeader};
use crate::sign::{BadSignature, PublicKey, Signature};
use freehold_model::CommitHash;
use freehold_model::codec::{self, Decode, DecodeError, Encode, Reader, Writer};

/// Why a header does not continue a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The position is at or before the head: a repeat, or a fork. Compare with what is stored.
    #[error("commit {seq} of incarnation {incarnation} is already in the chain")]
    Past {
        /// The header's incarnation.
        incarnation: u32,
        /// The header's position.
        seq: u64,
    },
    /// Commits are missing before it: send from the position named.
    #[error("commits are missing; send from {expected_seq} of incarnation {incarnation}")]
    Gap {
        /// The incarnation that is expected.
        incarnation: u32,
        /// The position that is expected.
        expected_seq: u64,
    },
    /// Its predecessor is another commit than the head: the chain forks here.
    #[error("commit {seq} of incarnation {incarnation} follows another commit than the head")]
    WrongPrev {
        /// The header's incarnation.
        incarnation: u32,
        /// The header's position.
        seq: u64,
    },
}

/// The newest commit of one device in one vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// Its incarnation.
    pub incarnation: u32,
    /// Its position.
    pub seq: u64,
    /// Its name.
    pub hash: CommitHash,
}

impl ChainHead {
    /// The head that a commit is.
    #[must_use]
    pub fn of(header: &CommitHeader) -> Self {
        Self { incarnation: header.incarnation, seq: header.seq, hash: header.hash() }
    }

    /// Checks that a header is the next one after `head` (none: the first of all) and gives the
    /// new head. A new incarnation restarts at 1 and names the old head as its predecessor.
    ///
    /// # Errors
    /// [`ChainError`] says whether it is old, too new, or a fork.
    pub fn follow(head: Option<&Self>, header: &CommitHeader) -> Result<Self, ChainError> {
        let (incarnation, seq) = (header.incarnation, header.seq);
        let (expected_incarnation, expected_seq, expected_prev) = match head {
            None => (incarnation, 1, CommitHash::default()),
            Some(head) if incarnation > head.incarnation => (incarnation, 1, head.hash),
            Some(head) => (head.incarnation, head.seq.saturating_add(1), head.hash),
        };
        if (incarnation, seq) < (expected_incarnation, expected_seq) {
            return Err(ChainError::Past { incarnation, seq });
        }
        if seq > expected_seq {
            return Err(ChainError::Gap { incarnation, expected_seq });
        }
        if header.prev != expected_prev {
            return Err(ChainError::WrongPrev { incarnation, seq });
        }
        Ok(Self::of(header))
    }
}

/// A commit's header with its author's signature: what a commit starts with, and all that is needed
/// to prove that a device signed a commit at a place. The signature may still be bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedHead {
    header: CommitHeader,
    signature: Signature,
}

impl SignedHead {
    /// Encoded bytes.
    pub const LEN_BYTES: usize = CommitHeader::LEN_BYTES + Signature::LEN;

    /// The head that a commit proves.
    #[must_use]
    pub const fn of(commit: &Commit) -> Self {
        Self { header: commit.header, signature: commit.signature }
    }

    /// Reads the start of a commit, or a head alone; what follows is not looked at.
    ///
    /// # Errors
    /// As [`Decode::decode`]: what no commit starts with is refused.
    pub fn from_start(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::from_slice(bytes.get(..Self::LEN_BYTES).unwrap_or(bytes))
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::to_vec(self)
    }

    /// Checks the author's signature.
    ///
    /// # Errors
    /// [`BadSignature`] when the key did not sign it.
    pub fn verify(&self, key: &PublicKey) -> Result<(), BadSignature> {
        self.header.verify(key, &self.signature)
    }

    /// The signed part.
    #[must_use]
    pub const fn header(&self) -> &CommitHeader {
        &self.header
    }

    /// Place and name of the commit.
    #[must_use]
    pub fn head(&self) -> ChainHead {
        ChainHead::of(&self.header)
    }
}

impl Encode for SignedHead {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.header).put(&self.signature);
    }
}

impl Decode for SignedHead {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let head = Self { header: input.get()?, signature: input.get()? };
        head.header.check_place()?;
        Ok(head)
    }
}

/// Two commits of one device at one position: proof that its chain was forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForkEvidence {
    headers: [(CommitHeader, Signature); 2],
}

impl ForkEvidence {
    /// Evidence from two commits, if they are any: same vault, device, incarnation and position,
    /// different content.
    #[must_use]
    pub fn of(a: &Commit, b: &Commit) -> Option<Self> {
        let place = |header: &CommitHeader| (header.vault, header.device, header.incarnation, header.seq);
        let forked = place(&a.header) == place(&b.header) && a.header != b.header;
        forked.then_some(Self { headers: [(a.header, a.signature), (b.header, b.signature)] })
    }

    /// Checks both signatures: only then is it the device's own doing, or its key's.
    ///
    /// # Errors
    /// [`BadSignature`] when one of them is somebody else's.
    pub fn verify(&self, key: &PublicKey) -> Result<(), BadSignature> {
        self.headers.iter().try_for_each(|(header, signature)| header.verify(key, signature))
    }

    /// The two headers.
    #[must_use]
    pub const fn headers(&self) -> [&CommitHeader; 2] {
        let [(a, _), (b, _)] = &self.headers;
        [a, b]
    }
}
