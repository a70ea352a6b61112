//! Sealing against a real cache: every byte comes back, and nothing unchanged is sealed or read again.
//!
//! Here the machine has no fast AES, so files are cut in fixed blocks; [`by_content`] has the chunker's cuts.

mod by_content;
mod delta;
mod on_a_volume;

use super::cutting::{Cutting, Shape};
use super::known::Known;
use super::refs::manifest_refs;
use super::seal::{Run, Sealed, Sealer, Snapshot};
use crate::FsError;
use crate::body::AheadPieces;
use crate::body::ahead::AheadPiece;
use crate::entropy::OsEntropy;
use freehold_crypto::{Cek, Secret32, VaultKey, VaultKeyring, open_chunk};
use freehold_model::{ChunkId, VaultId};
use freehold_store::{CacheOptions, CacheStore, Pin};
use freehold_vault::compress::unfold;
use freehold_vault::manifest::{Builder, ManifestEntry, Node, Target};
use freehold_vault::{Body, Chunked, Profile};
use parking_lot::Mutex;
use std::collections::BTreeSet;

const BLOCK: usize = 256 * 1024;

struct Bench {
    _dir: tempfile::TempDir,
    keyring: VaultKeyring,
    cache: CacheStore,
    known: Known,
    cutting: Cutting,
}

/// Content in memory; ranges of it may be part of a version.
struct Plain<'a> {
    bytes: &'a [u8],
    clean: Option<&'a Chunked>,
    /// Where `clean` shows, in order, each range at its own offset.
    runs: Vec<std::ops::Range<u64>>,
    ahead: AheadPieces,
    shape: Shape,
    reads: Mutex<Vec<(u64, usize)>>,
}

impl Snapshot for Plain<'_> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn run_at(&self, offset: u64, max: u64) -> Run {
        let end = (offset + max).min(self.bytes.len() as u64);
        match self.runs.iter().find(|range| range.end > offset) {
            Some(range) if range.start <= offset => {
                let content = self.clean.expect("runs show a version");
                Run { len: range.end.min(end) - offset, clean: Some((content.clone(), offset)) }
            }
            Some(range) => Run { len: range.start.min(end) - offset, clean: None },
            None => Run { len: end - offset, clean: None },
        }
    }

    fn sealed_ahead(&self, offset: u64) -> Option<AheadPiece> {
        self.ahead.get(&offset).cloned()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FsError> {
        self.reads.lock().push((offset, buffer.len()));
        let start = usize::try_from(offset).map_err(|_| FsError::Invalid)?;
        let found = self.bytes.get(start..start + buffer.len()).ok_or(FsError::Invalid)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn fetch(&self, _: &[ChunkId]) -> Result<(), FsError> {
        Err(FsError::Unreachable)
    }
}

impl Plain<'_> {
    /// Where it was read, in order of the offsets: pieces are read side by side.
    fn reads(&self) -> Vec<u64> {
        let mut reads: Vec<u64> = self.reads.lock().iter().map(|(offset, _)| *offset).collect();
        reads.sort_unstable();
        reads
    }

    fn bytes_read(&self) -> usize {
        self.reads.lock().iter().map(|(_, len)| len).sum()
    }
}

impl Bench {
    /// A machine without fast AES.
    fn new() -> Self {
        let bench = Self::with_fast_aes();
        Self { cutting: Cutting { has_fast_aes: false, ..bench.cutting }, ..bench }
    }

    fn with_fast_aes() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let key = VaultKey::from_parts(1, Secret32::from_bytes([7; 32]));
        let keyring = VaultKeyring::new(VaultId::from_bytes([1; 16]), vec![key]).expect("complete");
        let (cache, _) = CacheStore::open(dir.path(), CacheOptions::with_cap(1 << 30)).expect("a new cache");
        let cutting = Cutting { has_fast_aes: true, ..Cutting::new(&keyring) };
        Self { _dir: dir, keyring, cache, known: Known::new(), cutting }
    }

    fn sealer<'a>(&'a self, entropy: &'a mut OsEntropy) -> Sealer<'a> {
        let Self { cutting, keyring, cache, known, .. } = self;
        Sealer { cutting, keyring, cache, known, entropy }
    }

    fn seal(&self, snapshot: &Plain<'_>, previous: Option<&Chunked>) -> (Sealed, Vec<ChunkId>) {
        let mut entropy = OsEntropy;
        let mut sealer = self.sealer(&mut entropy);
        let mut pinned = Vec::new();
        let size = snapshot.bytes.len() as u64;
        let sealed = sealer.seal(size, previous, snapshot, &mut pinned).expect("a healthy cache");
        (sealed, pinned)
    }

    fn ahead(&self, plain: &[u8]) -> AheadPiece {
        let mut entropy = OsEntropy;
        self.sealer(&mut entropy).ahead_bench().ahead(plain, &mut Vec::new()).expect("a healthy cache")
    }

    /// Reads a sealed content back through its manifest.
    fn open(&self, content: &Chunked) -> Vec<u8> {
        let sealed = self.cache.get(&content.root).expect("the root is in the cache");
        let plain = content.cek.root_key(&content.root_salt).open(&sealed).expect("the root opens");
        let root = Node::decode_root(&plain, content.size).expect("the root covers the content");
        let mut bytes = Vec::new();
        self.append(&root, &mut bytes);
        bytes
    }

    fn append(&self, node: &Node, bytes: &mut Vec<u8>) {
        for located in node.locate(0..u64::MAX) {
            let (id, key, len) = match located.target {
                Target::Piece(entry) => (&entry.chunk, &entry.key, entry.plain_len),
                Target::Child(child) => (&child.node.chunk, &child.node.key, child.node.plain_len),
            };
            let sealed = self.cache.get(id).expect("every chunk is in the cache");
            let plain = unfold(open_chunk(key, &sealed).expect("a chunk opens"), len).expect("a sound body");
            match located.target {
                Target::Piece(_) => bytes.extend(plain),
                Target::Child(child) => {
                    self.append(&node.decode_child(child, &plain).expect("a sound child"), bytes);
                }
            }
        }
    }
}

/// A version of these pieces, as another device might write it, whatever they are.
fn forged(bench: &Bench, pieces: Vec<ManifestEntry>, profile: Profile) -> Chunked {
    let size = pieces.iter().map(|piece| u64::from(piece.plain_len)).sum();
    let mut builder = Builder::new(|_: &Node, _: &[u8]| -> Result<ManifestEntry, ()> { Err(()) });
    pieces.into_iter().for_each(|piece| builder.push(piece).expect("few enough for one leaf"));
    let root = builder.finish().expect("some pieces");
    let cek = Cek::random(&mut OsEntropy);
    let sealed = cek.seal_root(&root.plain);
    bench.cache.put(sealed.id, &sealed.bytes, Pin::Evictable).expect("a healthy cache");
    let plain_hash = [0; 32];
    Chunked { size, profile: profile.number(), root: sealed.id, root_salt: sealed.salt, cek, plain_hash }
}

#[test]
fn what_a_version_says_of_its_pieces_is_not_believed() {
    let mut bench = Bench::new();
    let bytes = noise(4 * BLOCK, 3);
    let (honest, _) = bench.seal(&plain(&bytes), None);
    let mut pieces = honest.entries;
    assert_eq!(pieces.len(), 4);
    // Each names the chunk of the one before it.
    for at in (1..4).rev() {
        pieces[at] = ManifestEntry { h: pieces[at].h, ..pieces[at - 1].clone() };
    }
    let lie = forged(&bench, pieces, Profile::Fixed256K);
    bench.known = Known::new();
    let moved = [&bytes[BLOCK..], &bytes[..BLOCK]].concat();
    for content in [&bytes, &moved] {
        let (sealed, _) = bench.seal(&plain(content), Some(&lie));
        assert!(bench.open(chunked(&sealed)) == *content);
    }
}

fn plain(bytes: &[u8]) -> Plain<'_> {
    let (ahead, shape) = (AheadPieces::default(), Shape::default());
    Plain { bytes, clean: None, runs: Vec::new(), ahead, shape, reads: Mutex::default() }
}

fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

fn chunked(sealed: &Sealed) -> &Chunked {
    match &sealed.body {
        Body::Chunked(chunked) => chunked,
        Body::Inline(_) => panic!("the content is too large for the record"),
    }
}

#[test]
fn contents_of_every_size_class_come_back() {
    let bench = Bench::new();
    for len in [0, 1, 2_048] {
        let bytes = noise(len, 1);
        let (sealed, pinned) = bench.seal(&plain(&bytes), None);
        assert_eq!((sealed.body, pinned.len()), (Body::Inline(bytes), 0), "{len}");
    }
    for len in [2_049, 65_536, 65_537, BLOCK, BLOCK + 1, 5 * BLOCK + 7] {
        let bytes = noise(len, 2);
        let (sealed, _) = bench.seal(&plain(&bytes), None);
        assert!(bench.open(chunked(&sealed)) == bytes, "{len}");
    }
}

#[test]
fn a_content_of_many_pieces_gets_a_tree_and_lists_every_chunk() {
    let bench = Bench::new();
    // 600 pieces, most of them equal: two leaves under a root.
    let mut bytes = vec![0; 600 * BLOCK];
    bytes[550 * BLOCK..][..4].copy_from_slice(b"edit");
    let (sealed, pinned) = bench.seal(&plain(&bytes), None);
    assert!(bench.open(chunked(&sealed)) == bytes);
    let lists = manifest_refs(&bench.cache, chunked(&sealed));
    let listed: BTreeSet<ChunkId> =
        lists.iter().flat_map(|list| list.ids.iter().copied().chain([list.node])).collect();
    assert_eq!(listed, pinned.into_iter().collect());
    assert_eq!(lists.len(), 3);
}

#[test]
fn an_edit_seals_its_piece_and_the_root_and_reads_nothing_else() {
    let bench = Bench::new();
    let mut bytes = noise(6 * BLOCK, 3);
    let (before, _) = bench.seal(&plain(&bytes), None);
    bytes[2 * BLOCK + 5] ^= 1;
    // The edit split the version's run: what is before and after it is still clean.
    let unchanged = 3 * BLOCK as u64..6 * BLOCK as u64;
    let edited = Plain { clean: Some(chunked(&before)), runs: vec![unchanged], ..plain(&bytes) };
    let (after, pinned) = bench.seal(&edited, Some(chunked(&before)));
    assert!(bench.open(chunked(&after)) == bytes);
    assert_eq!(edited.reads(), [0, BLOCK as u64, 2 * BLOCK as u64]);
    assert_eq!(pinned.len(), 2, "the edited piece and the root");
    assert_eq!(chunked(&after).cek, chunked(&before).cek);
    assert_ne!(chunked(&after).plain_hash, chunked(&before).plain_hash);
}

#[test]
fn what_was_sealed_ahead_is_neither_read_nor_sealed_again_and_is_pinned_unless_named() {
    let bench = Bench::new();
    let bytes = noise(4 * BLOCK, 8);
    let (whole, _) = bench.seal(&plain(&bytes), None);
    let other = Bench::new();
    let mut ahead = AheadPieces::new();
    for at in [1, 2] {
        let mut piece = other.ahead(&bytes[at * BLOCK..][..BLOCK]);
        piece.is_named = at == 2;
        ahead.insert((at * BLOCK) as u64, piece);
    }
    let shape = Shape { ahead: Some(Profile::Fixed256K), ..Shape::default() };
    let snapshot = Plain { ahead, shape, ..plain(&bytes) };
    let (sealed, pinned) = other.seal(&snapshot, None);
    assert!(other.open(chunked(&sealed)) == bytes);
    assert_eq!(snapshot.reads(), [0, 3 * BLOCK as u64]);
    assert_eq!(pinned.len(), 4, "two sealed now, one ahead, and the root");
    assert_eq!(chunked(&sealed).plain_hash, chunked(&whole).plain_hash);
}

#[test]
fn equal_contents_are_told_by_their_hash_whatever_was_reused() {
    let bench = Bench::new();
    let bytes = noise(3 * BLOCK, 4);
    let (first, _) = bench.seal(&plain(&bytes), None);
    let (again, pinned) = bench.seal(&plain(&bytes), Some(chunked(&first)));
    assert_eq!(chunked(&again).plain_hash, chunked(&first).plain_hash);
    assert_eq!(pinned, [chunked(&first).root], "the same root, and nothing else");
    let other = Bench::new();
    let (elsewhere, _) = other.seal(&plain(&bytes), None);
    assert_eq!(chunked(&elsewhere).plain_hash, chunked(&first).plain_hash, "on another device too");
}

#[test]
fn a_piece_installed_in_another_file_is_not_sealed_again() {
    let bench = Bench::new();
    let bytes = noise(2 * BLOCK, 5);
    let (first, _) = bench.seal(&plain(&bytes), None);
    bench.known.add(first.entries);
    let (copy, pinned) = bench.seal(&plain(&bytes), None);
    assert_eq!(pinned, [chunked(&copy).root]);
    assert!(bench.open(chunked(&copy)) == bytes);
}
