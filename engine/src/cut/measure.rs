//! The sealing path on its own, for benchmarks and the tests of their bounds: contents in memory, a real cache.
//!
//! A content is sealed as a program left it that wrote all of the file anew, by a device that has just started: what
//! is used again is found through the manifest of the version before.

use super::cutting::{Cutting, Shape};
use super::job::chunked;
use super::known::Known;
use super::seal::{CutError, Run, Sealer, Snapshot};
use crate::FsError;
use crate::body::ahead::AheadPiece;
use crate::entropy::OsEntropy;
use freehold_crypto::{Secret32, VaultKey, VaultKeyring};
use freehold_model::{ChunkId, DeviceId, Dot, FileId, Hlc, LinkId, Stamp, VaultId};
use freehold_store::{CacheOptions, CacheStore};
use freehold_vault::{Body, NewNode, Owner, Place as FilePlace, ROOT, Record, Time};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// A vault of its own that only seals.
#[derive(Debug)]
pub struct SealBench {
    keyring: VaultKeyring,
    cache: CacheStore,
    cutting: Cutting,
}

/// A sealed content.
#[derive(Debug)]
pub struct SealedContent {
    body: Body,
    pinned: Vec<ChunkId>,
}

/// Where a byte is put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the first byte.
    Front,
    /// In the middle.
    Middle,
    /// Behind the last.
    End,
}

impl SealBench {
    /// A new vault with its cache in a directory, of at most `cap_bytes`. A seed gives its key.
    ///
    /// # Errors
    /// When the cache cannot be made there.
    pub fn open(dir: &Path, cap_bytes: u64, seed: u64) -> io::Result<Self> {
        let key = *blake3::hash(&seed.to_be_bytes()).as_bytes();
        let key = VaultKey::from_parts(1, Secret32::from_bytes(key));
        let keyring = VaultKeyring::new(VaultId::from_bytes([1; 16]), vec![key]).map_err(io::Error::other)?;
        let (cache, _) =
            CacheStore::open(dir, CacheOptions::with_cap(cap_bytes)).map_err(io::Error::other)?;
        let cutting = Cutting { has_fast_aes: true, ..Cutting::new(&keyring) };
        Ok(Self { keyring, cache, cutting })
    }

    /// Cuts, compresses and seals a content into the cache, on as many threads as a device does.
    ///
    /// # Errors
    /// When the cache does not take it.
    pub fn seal(&self, plain: &[u8], before: Option<&SealedContent>) -> io::Result<SealedContent> {
        let (known, mut entropy, mut pinned) = (Known::new(), OsEntropy, Vec::new());
        let Self { keyring, cache, cutting } = self;
        let mut sealer = Sealer { cutting, keyring, cache, known: &known, entropy: &mut entropy };
        let previous = before.and_then(|before| chunked(&before.body));
        let sealed = sealer.seal(plain.len() as u64, previous, &Memory(plain), &mut pinned);
        let sealed = sealed.map_err(|error: CutError| io::Error::other(error))?;
        Ok(SealedContent { body: sealed.body, pinned })
    }

    /// Sealed bytes that a device sends for `after` once it has sent `before`: new chunks, new manifest nodes, and
    /// the record.
    ///
    /// # Errors
    /// When the cache has lost some of it.
    pub fn sent_bytes(&self, before: &SealedContent, after: &SealedContent) -> io::Result<u64> {
        let old: BTreeSet<&ChunkId> = before.pinned.iter().collect();
        let new: BTreeSet<&ChunkId> = after.pinned.iter().filter(|id| !old.contains(id)).collect();
        let mut sent = self.record_bytes(after)?;
        for id in new {
            sent +=
                self.cache.get(id).ok_or_else(|| io::Error::other("a pinned chunk is gone"))?.len() as u64;
        }
        Ok(sent)
    }

    /// Bytes of the sealed record of a file with this content.
    fn record_bytes(&self, content: &SealedContent) -> io::Result<u64> {
        let stamp = |seq| {
            let dot = Dot { device: DeviceId::from_bytes([2; 16]), incarnation: 1, seq };
            Stamp { hlc: Hlc::from_millis(1_700_000_000_000 + seq), dot }
        };
        let new = NewNode { mode: 0o644, owner: Owner { uid: 1000, gid: 1000 }, mtime: Time::default() };
        let place = FilePlace { parent: ROOT, name: b"a name of some length.bin".to_vec() };
        let file = FileId::from_bytes([3; 16]);
        let record = Record::new_file(file, new, LinkId::from_bytes([4; 16]), place, stamp(1));
        let mut record = record.map_err(io::Error::other)?;
        record.set_content(content.body.clone(), Time::default(), stamp(2)).map_err(io::Error::other)?;
        Ok(self.keyring.seal_record(&self.keyring.record_id(&file), &record.to_bytes()).len() as u64)
    }
}

impl Place {
    /// Puts a byte in.
    pub fn insert(self, bytes: &mut Vec<u8>) {
        let at = match self {
            Self::Front => 0,
            Self::Middle => bytes.len() / 2,
            Self::End => bytes.len(),
        };
        bytes.insert(at, 0x5A);
    }
}

/// Random bytes of a seed.
#[must_use]
pub fn noise(len_bytes: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len_bytes];
    blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// What one byte put into a random file costs at each of the three places, in bytes sent. The file and the vault's key come
/// from the seed.
///
/// # Errors
/// When the cache in `dir` does not take it; the directory must be empty or new.
pub fn insert_one_byte(dir: &Path, len_bytes: usize, seed: u64) -> io::Result<[u64; 3]> {
    let bench = SealBench::open(dir, 4 * len_bytes as u64 + (1 << 26), seed)?;
    let bytes = noise(len_bytes, seed);
    let before = bench.seal(&bytes, None)?;
    let mut sent = [0; 3];
    for (sent, place) in sent.iter_mut().zip([Place::Front, Place::Middle, Place::End]) {
        let mut bytes = bytes.clone();
        place.insert(&mut bytes);
        *sent = bench.sent_bytes(&before, &bench.seal(&bytes, Some(&before))?)?;
    }
    Ok(sent)
}

/// A content that was written anew.
struct Memory<'a>(&'a [u8]);

impl Snapshot for Memory<'_> {
    fn shape(&self) -> Shape {
        Shape::default()
    }

    fn run_at(&self, _offset: u64, max: u64) -> Run {
        Run { len: max, clean: None }
    }

    fn sealed_ahead(&self, _offset: u64) -> Option<AheadPiece> {
        None
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FsError> {
        let start = usize::try_from(offset).map_err(|_| FsError::Invalid)?;
        buffer.copy_from_slice(self.0.get(start..start + buffer.len()).ok_or(FsError::Invalid)?);
        Ok(())
    }

    fn fetch(&self, _chunks: &[ChunkId]) -> Result<(), FsError> {
        Err(FsError::Unreachable)
    }
}
