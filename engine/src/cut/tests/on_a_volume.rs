//! Files written through a volume and cut as the cutting thread does: ahead while they grow, and at the close.

use crate::body::ahead::AheadPiece;
use crate::cut::cutting::{Cutting, Shape};
use crate::cut::known::Known;
use crate::cut::seal::{Run, Sealed, Sealer, Snapshot};
use crate::entropy::OsEntropy;
use crate::testing::{Rig, file, read};
use crate::{CutJob, CutOutcome, FsError, Ino, ROOT, Volume};
use freehold_model::ChunkId;
use freehold_vault::{Body, Chunked, Profile};
use parking_lot::Mutex;
use std::sync::Arc;

const MIB: usize = 1 << 20;

/// A job, and how much of it was read.
struct View {
    job: CutJob,
    bytes_read: Mutex<usize>,
}

impl Snapshot for View {
    fn shape(&self) -> Shape {
        self.job.shape()
    }

    fn run_at(&self, offset: u64, max: u64) -> Run {
        self.job.run_at(offset, max)
    }

    fn sealed_ahead(&self, offset: u64) -> Option<AheadPiece> {
        self.job.ahead.get(&offset).cloned()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FsError> {
        *self.bytes_read.lock() += buffer.len();
        self.job
            .reader
            .read_at(offset, buffer)
            .map_err(|blocked| blocked.err().unwrap_or(FsError::Unreachable))
    }

    fn fetch(&self, _: &[ChunkId]) -> Result<(), FsError> {
        Err(FsError::Unreachable)
    }
}

/// A device whose files are cut when the test says so.
struct Device {
    rig: Rig,
    volume: Arc<Volume>,
    cutting: Cutting,
    known: Known,
}

/// What a cut came to.
struct Cut {
    content: Chunked,
    bytes_read: usize,
    pinned: usize,
    taken_ahead: usize,
    outcome: CutOutcome,
}

impl Device {
    fn new() -> Self {
        let rig = Rig::new();
        let cutting = Cutting { has_fast_aes: true, ..Cutting::new(&rig.keyring) };
        Self { volume: rig.open(), rig, cutting, known: Known::new() }
    }

    fn sealer<'a>(&'a self, entropy: &'a mut OsEntropy) -> Sealer<'a> {
        let Self { cutting, known, rig, .. } = self;
        Sealer { cutting, keyring: &rig.keyring, cache: &rig.chunks, known, entropy }
    }

    fn file(&self, name: &[u8]) -> Ino {
        self.volume.lock().insert(ROOT, name, file()).expect("free")
    }

    /// Seals what can be sealed of files that are being written.
    fn seal_ahead(&self) {
        while let Some(job) = self.volume.next_ahead(|before| self.cutting.of_growing(before)) {
            let mut entropy = OsEntropy;
            let read = |offset, buffer: &mut [u8]| {
                job.reader.read_at(offset, buffer).expect("written here");
                Ok(())
            };
            let sealer = self.sealer(&mut entropy);
            let pieces = sealer.seal_ahead(job.profile, job.range.clone(), &mut Vec::new(), read);
            self.volume.keep_ahead(job.ino, pieces.expect("a healthy cache"));
        }
    }

    /// Cuts the one file that is due; `meanwhile` runs before the cut is installed.
    fn cut(&self, meanwhile: impl FnOnce()) -> Cut {
        let job = self.volume.next_cut(true).expect("one is due");
        let (token, size, previous) = (job.token, job.size, job.previous.clone());
        let previous = previous.as_ref().and_then(|content| crate::cut::job::chunked(&content.body));
        let (view, mut entropy, mut pins) =
            (View { job, bytes_read: Mutex::default() }, OsEntropy, Vec::new());
        let sealed = self.sealer(&mut entropy).seal(size, previous, &view, &mut pins);
        let Sealed { body, ahead, .. } = sealed.expect("a healthy cache");
        let Body::Chunked(content) = body.clone() else { panic!("too large for the record") };
        meanwhile();
        let (taken_ahead, pinned) = (ahead.len(), pins.len());
        self.volume.taken_ahead(&token, ahead);
        let outcome = self.volume.finish_cut(&token, body, pins);
        Cut { content, bytes_read: view.bytes_read.into_inner(), pinned, taken_ahead, outcome }
    }
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    crate::cut::measure::noise(len, seed)
}

#[test]
fn a_file_written_from_front_to_back_is_read_once_and_its_cut_reads_the_end_alone() {
    let device = Device::new();
    let (bytes, ino) = (noise(40 * MIB, 1), device.file(b"film"));
    for (index, part) in bytes.chunks(MIB).enumerate() {
        device.volume.write(ino, (index * MIB) as u64, part).expect("room");
        device.seal_ahead();
    }
    let grown = device.cut(|| ());
    assert_eq!(grown.content.profile, Profile::Medium.number());
    assert!(grown.taken_ahead > 200, "{}", grown.taken_ahead);
    assert!(grown.bytes_read <= 4 * MIB, "{} bytes were read", grown.bytes_read);
    assert!(read(&device.volume, ino) == Ok(bytes.clone()));
    // The same content in one go, elsewhere.
    let other = Device::new();
    let copy = other.file(b"copy");
    other.volume.write(copy, 0, &bytes).expect("room");
    assert_eq!(other.cut(|| ()).content.plain_hash, grown.content.plain_hash);
}

#[test]
fn a_patch_of_4_kib_in_a_large_file_reads_and_seals_what_lies_around_it() {
    let device = Device::new();
    let (mut bytes, ino) = (noise(40 * MIB, 2), device.file(b"mail"));
    device.volume.write(ino, 0, &bytes).expect("room");
    device.cut(|| ());
    device.volume.write(ino, 21_000_000, &[7; 4_096]).expect("room");
    bytes[21_000_000..21_004_096].fill(7);
    let patched = device.cut(|| ());
    assert!(patched.bytes_read <= MIB, "{} bytes were read", patched.bytes_read);
    assert!(patched.pinned <= 6, "a piece or two, a node or two, the root: {}", patched.pinned);
    assert!(read(&device.volume, ino) == Ok(bytes.clone()));
    let other = Device::new();
    let copy = other.file(b"copy");
    other.volume.write(copy, 0, &bytes).expect("room");
    assert_eq!(other.cut(|| ()).content.plain_hash, patched.content.plain_hash, "as if cut from scratch");
}

#[test]
fn a_file_that_is_written_on_while_it_is_cut_uses_what_is_sealed_of_it_again() {
    let device = Device::new();
    let (bytes, ino) = (noise(30 * MIB, 3), device.file(b"log"));
    device.volume.write(ino, 0, &bytes[..24 * MIB]).expect("room");
    device.seal_ahead();
    let write_on = || device.volume.write(ino, 24 * MIB as u64, &bytes[24 * MIB..]).expect("room");
    let first = device.cut(write_on);
    assert_eq!(first.outcome, CutOutcome::InstalledWithNewer);
    let second = device.cut(|| ());
    assert_eq!((second.outcome, second.taken_ahead), (CutOutcome::Installed, first.taken_ahead));
    assert!(second.pinned < 70, "the new part alone: {}", second.pinned);
    assert!(read(&device.volume, ino) == Ok(bytes));
}

#[test]
fn an_image_of_holes_is_cut_in_blocks_from_the_first_cut_on() {
    let device = Device::new();
    let ino = device.file(b"disk.img");
    device.volume.write(ino, 0, &noise(MIB, 4)).expect("room");
    device.volume.truncate(ino, 64 * MIB as u64).expect("room");
    assert_eq!(device.cut(|| ()).content.profile, Profile::Fixed256K.number());
    device.volume.write(ino, 30 * MIB as u64 + 5, &noise(4_096, 5)).expect("room");
    let patched = device.cut(|| ());
    assert_eq!(patched.content.profile, Profile::Fixed256K.number());
    assert!(patched.pinned <= 4, "a block, its leaf, the root: {}", patched.pinned);
}
