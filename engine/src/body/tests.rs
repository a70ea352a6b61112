//! Versions read through manifests and the chunk cache.

use crate::testing::{Rig, file, read};
use crate::{
    ChunkPart, ChunkSource, FetchDone, FetchError, FsError, Ino, PartsDone, ROOT, RunKind, Volume, limits,
};
use bytes::Bytes;
use freehold_crypto::{Cek, SealedChunk, VaultKeyring};
use freehold_model::ChunkId;
use freehold_store::{CacheStore, Pin};
use freehold_vault::compress::maybe_compress;
use freehold_vault::manifest::{Builder, ManifestEntry};
use freehold_vault::record::{Body, Chunked};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BLOCK: usize = 262_144;

/// Every chunk of a version, as a node would hold them.
type Remote = BTreeMap<ChunkId, Vec<u8>>;

/// Seals content the way a cut does.
fn seal(keyring: &VaultKeyring, plain: &[u8]) -> (Body, Remote) {
    let mut remote = Remote::new();
    let entry = |plain: &[u8], remote: &mut Remote| {
        let SealedChunk { id, key, bytes } = keyring.seal_chunk(&maybe_compress(plain));
        remote.insert(id, bytes);
        ManifestEntry { chunk: id, key, h: keyring.dedup_hash(plain), plain_len: plain.len() as u32 }
    };
    let entries: Vec<_> = plain.chunks(BLOCK).map(|piece| entry(piece, &mut remote)).collect();
    let mut builder = Builder::new(|_, plain: &[u8]| Ok::<_, ()>(entry(plain, &mut remote)));
    entries.into_iter().for_each(|entry| builder.push(entry).expect("a valid piece"));
    let root = builder.finish().expect("not empty");
    let cek = Cek::from_bytes([8; 32]);
    let sealed = cek.seal_root(&root.plain);
    remote.insert(sealed.id, sealed.bytes);
    let body = Chunked {
        size: root.size,
        profile: 2,
        root: sealed.id,
        root_salt: sealed.salt,
        cek,
        plain_hash: *blake3::hash(plain).as_bytes(),
    };
    (Body::Chunked(body), remote)
}

/// Text that compresses and noise that does not, in turn.
fn content(len: usize) -> Vec<u8> {
    let mut draw = crate::testing::Draw(0xC0FFEE);
    let mut bytes: Vec<u8> = (0..len).map(|_| draw.next() as u8).collect();
    for block in bytes.chunks_mut(BLOCK).step_by(2) {
        block.iter_mut().enumerate().for_each(|(i, byte)| *byte = b"text "[i % 5]);
    }
    bytes
}

/// A volume with a file of that content, none of it on the device.
fn remote_file(rig: &Rig, plain: &[u8]) -> (Arc<Volume>, Ino, Remote) {
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"f", file()).expect("free");
    volume.write(ino, 0, plain).expect("room");
    let (body, remote) = seal(&rig.keyring, plain);
    let job = volume.next_cut(true).expect("dirty");
    volume.finish_cut(&job.token, body, Vec::new());
    (volume, ino, remote)
}

/// Answers with what a node has, after a count of every chunk asked for.
struct Source {
    remote: Remote,
    cache: Arc<CacheStore>,
    asked: Mutex<Vec<ChunkId>>,
    part_bytes: Mutex<usize>,
    spoils_parts: Mutex<bool>,
}

impl ChunkSource for Source {
    fn want(&self, chunks: Vec<ChunkId>, _: Instant, done: FetchDone) {
        self.asked.lock().extend(&chunks);
        for id in chunks {
            let Some(bytes) = self.remote.get(&id) else { return done(Err(FetchError::Unreachable)) };
            self.cache.put(id, bytes, Pin::Evictable).expect("room");
        }
        done(Ok(()));
    }

    fn want_parts(&self, parts: Vec<ChunkPart>, _: Instant, done: PartsDone) {
        let part = |part: &ChunkPart| {
            let bytes = self.remote.get(&part.chunk)?;
            let end = bytes.len().min(part.range.end as usize);
            Some(Bytes::copy_from_slice(bytes.get(part.range.start as usize..end)?))
        };
        let mut found: Vec<Bytes> = parts.iter().filter_map(part).collect();
        *self.part_bytes.lock() += found.iter().map(Bytes::len).sum::<usize>();
        if *self.spoils_parts.lock()
            && let Some(frames) = found.last_mut()
        {
            *frames = frames.iter().map(|byte| byte ^ 1).collect();
        }
        done(if found.len() == parts.len() { Ok(found) } else { Err(FetchError::Unreachable) });
    }
}

fn source(rig: &Rig, volume: &Volume, remote: Remote) -> Arc<Source> {
    let source = Arc::new(Source {
        remote,
        cache: Arc::clone(&rig.chunks),
        asked: Mutex::default(),
        part_bytes: Mutex::default(),
        spoils_parts: Mutex::default(),
    });
    volume.set_source(Arc::clone(&source) as Arc<dyn ChunkSource>);
    source
}

fn read_at(volume: &Arc<Volume>, ino: Ino, offset: u64, len: u32) -> Result<Vec<u8>, FsError> {
    let (send, receive) = std::sync::mpsc::channel();
    let deadline = Instant::now() + Duration::from_secs(10);
    volume.read(ino, offset, len, deadline, Box::new(move |result| drop(send.send(result))));
    receive.recv().expect("a read always answers").map(|bytes| bytes.to_vec())
}

#[test]
fn a_file_that_is_not_here_is_fetched_and_reads_equal() {
    let rig = Rig::new();
    let plain = content(5 * BLOCK + 12_345);
    let (volume, ino, remote) = remote_file(&rig, &plain);
    assert_eq!(read(&volume, ino), Err(FsError::Unreachable), "nobody brings chunks yet");
    source(&rig, &volume, remote);
    assert!(read(&volume, ino) == Ok(plain));
}

/// Bytes that no compression makes shorter.
fn noise(len: usize) -> Vec<u8> {
    let mut reader = blake3::Hasher::new().finalize_xof();
    let mut bytes = vec![0; len];
    reader.fill(&mut bytes);
    bytes
}

#[test]
fn a_small_read_fetches_the_manifest_and_the_frames_it_needs_and_then_the_chunk() {
    let rig = Rig::new();
    let plain = noise(200 * BLOCK);
    let (volume, ino, remote) = remote_file(&rig, &plain);
    let source = source(&rig, &volume, remote);
    let at = 150 * BLOCK + 100;
    let reads = |at: usize| read_at(&volume, ino, at as u64, 5_000) == Ok(plain[at..at + 5_000].to_vec());
    assert!(reads(at));
    let (asked, parts) = (source.asked.lock().len(), *source.part_bytes.lock());
    assert!(asked <= 3, "nodes of the manifest alone: {asked}");
    assert!((5_000..40_000).contains(&parts), "{parts} bytes for 5,000");
    assert!(reads(20 * BLOCK + 7), "a jump, so that the next read is one too");
    let (asked, parts) = (source.asked.lock().len(), *source.part_bytes.lock());
    assert!(reads(at + 100_000));
    assert_eq!((source.asked.lock().len(), *source.part_bytes.lock()), (asked + 1, parts), "the whole chunk");
    assert!(reads(20 * BLOCK + 7) && reads(at + 50_000));
    assert_eq!(source.asked.lock().len(), asked + 2, "the one is fetched whole as well, the other is here");
}

#[test]
fn a_part_that_does_not_open_is_not_believed() {
    let rig = Rig::new();
    let plain = noise(200 * BLOCK);
    let (volume, ino, remote) = remote_file(&rig, &plain);
    let source = source(&rig, &volume, remote);
    *source.spoils_parts.lock() = true;
    let at = 77 * BLOCK + 100;
    assert_eq!(read_at(&volume, ino, at as u64, 5_000), Ok(plain[at..at + 5_000].to_vec()));
    assert!(*source.part_bytes.lock() > 0, "a part was tried first");
}

#[test]
fn a_file_that_is_read_on_is_fetched_ahead_of_its_reader() {
    let rig = Rig::new();
    let plain = content(100 * BLOCK);
    let (volume, ino, remote) = remote_file(&rig, &plain);
    let source = source(&rig, &volume, remote);
    let step = BLOCK / 2;
    for at in (0..20 * BLOCK).step_by(step) {
        assert_eq!(read_at(&volume, ino, at as u64, step as u32), Ok(plain[at..at + step].to_vec()));
    }
    let asked = source.asked.lock().len();
    assert!((30..110).contains(&asked), "well ahead of 20 chunks: {asked}");
    assert_eq!(*source.part_bytes.lock(), 0);
}

#[test]
fn ranges_across_chunks_and_frames_read_equal() {
    let rig = Rig::new();
    let plain = content(3 * BLOCK + 777);
    let (volume, ino, remote) = remote_file(&rig, &plain);
    source(&rig, &volume, remote);
    for (at, len) in [
        (0, 1),
        (16_383, 2),
        (BLOCK - 1, 2),
        (BLOCK, 16_384),
        (2 * BLOCK - 7, BLOCK + 700),
        (plain.len() - 3, 3),
    ] {
        assert_eq!(
            read_at(&volume, ino, at as u64, len as u32),
            Ok(plain[at..at + len].to_vec()),
            "{at} {len}"
        );
    }
    assert_eq!(read_at(&volume, ino, plain.len() as u64 - 2, 100), Ok(plain[plain.len() - 2..].to_vec()));
}

#[test]
fn a_chunk_that_is_not_what_its_id_says_is_never_delivered() {
    let rig = Rig::new();
    let plain = content(2 * BLOCK);
    let (volume, ino, mut remote) = remote_file(&rig, &plain);
    // A version whose manifest names a chunk that another key sealed.
    let (body, others) = seal(&rig.keyring, &content(BLOCK));
    let Body::Chunked(mut chunked) = body else { unreachable!("sealed as chunks") };
    chunked.cek = Cek::from_bytes([77; 32]);
    remote.extend(others);
    source(&rig, &volume, remote);
    volume.write(ino, 0, b"x").expect("room");
    let job = volume.next_cut(true).expect("dirty");
    volume.finish_cut(&job.token, Body::Chunked(chunked), Vec::new());
    assert_eq!(read_at(&volume, ino, 0, 100), Err(FsError::Damaged));
}

/// Row 15 of the attack list: an older manifest with its older chunks, in the place of the newest.
#[test]
fn an_older_version_in_the_place_of_the_newest_is_never_delivered() {
    let rig = Rig::new();
    let newer = content(3 * BLOCK);
    let mut older = newer.clone();
    older[..4].copy_from_slice(b"old!");
    let (volume, ino, genuine) = remote_file(&rig, &newer);
    let (Body::Chunked(old), replayed) = seal(&rig.keyring, &older) else { unreachable!("chunks") };
    let (Body::Chunked(new), _) = seal(&rig.keyring, &newer) else { unreachable!("chunks") };
    assert!(genuine.contains_key(&new.root) && new.root != old.root);
    let root = replayed[&old.root].clone();
    assert!(rig.chunks.put(new.root, &root, Pin::Evictable).is_err(), "not the root that the record names");
    source(&rig, &volume, replayed);
    assert_eq!(read_at(&volume, ino, 0, 100), Err(FsError::Unreachable));
}

#[test]
fn an_edit_of_a_remote_file_shows_at_once_and_tells_the_cut_what_is_unchanged() {
    let rig = Rig::new();
    let mut plain = content(3 * BLOCK);
    let (volume, ino, remote) = remote_file(&rig, &plain);
    source(&rig, &volume, remote);
    volume.write(ino, BLOCK as u64 + 10, b"edited").expect("room");
    plain[BLOCK + 10..BLOCK + 16].copy_from_slice(b"edited");
    let job = volume.next_cut(true).expect("dirty");
    let kinds: Vec<_> = job.reader.runs(0, job.size).into_iter().collect();
    assert!(matches!(kinds[0], (0, len, RunKind::Clean { offset: 0, .. }) if len == BLOCK as u64 + 10));
    assert!(matches!(kinds[1], (_, 6, RunKind::Dirty)));
    volume.drop_cut(&job.token);
    // The edit is one extent in the journal; the rest is still the version's.
    volume.fsync(None).expect("a healthy disk");
    assert!(rig.disk.used() < 100_000 + 5 * BLOCK as u64 + limits::RESERVE_BYTES_MAX);
    assert!(read(&volume, ino) == Ok(plain.clone()));
    drop(volume);
    let again = rig.on(rig.disk.cut(rig.disk.operations(), 0)).open();
    assert!(read(&again, ino) == Ok(plain));
}
