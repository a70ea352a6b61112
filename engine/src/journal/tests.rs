//! Frames and items: what comes back, what is refused.

mod spare;

use crate::journal::frame::{self, FrameHeader, FrameKind, SegmentHeader};
use crate::journal::item::{BodyImage, BodyMode, BodyOp, Item, NodeImage, Run, decode_all};
use crate::journal::replay::replay;
use crate::journal::space::Space as Reservation;
use crate::journal::staging::Staging;
use crate::journal::writer::JournalWriter;
use crate::journal::{Loc, Sealer, SegmentKind, Segments};
use crate::testing::{Draw, TraceDisk};
use crate::{Time, limits};
use bytes::Bytes;
use freehold_crypto::DeviceSecret;
use freehold_model::codec::{from_slice, to_vec};
use freehold_model::{ChunkId, CommitHash, FileId, VersionHash};
use freehold_store::{Disk, DiskFile, Space};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;

fn sealer() -> Arc<Sealer> {
    Arc::new(Sealer::new(Arc::new(DeviceSecret::from_bytes([5; 32]).local_key())))
}

fn meta(key: u16, len: usize) -> Item {
    Item::Meta { key, value: vec![key as u8; len] }
}

fn open(disk: &TraceDisk, last_batch: u64, chain: frame::Chain) -> JournalWriter {
    let shared: Arc<TraceDisk> = Arc::new(disk.clone());
    let segments = Arc::new(Mutex::new(Segments::open(shared.clone()).expect("a disk")));
    let space = Arc::new(Reservation::open(shared).expect("a disk"));
    JournalWriter::new(sealer(), segments, space, last_batch, chain)
}

fn write(writer: &mut JournalWriter, items: &[Item]) {
    writer.write(&[], |_| items.iter().map(to_vec).collect()).expect("a healthy disk");
}

fn read(disk: &TraceDisk) -> (Vec<Item>, crate::journal::replay::Report) {
    let mut segments = Segments::open(Arc::new(disk.clone())).expect("a disk");
    let mut items = Vec::new();
    let report = replay(&mut segments, &sealer(), |_, item| items.push(item)).expect("a disk");
    (items, report)
}

#[test]
fn every_item_survives_a_round_trip_and_refuses_trailing_bytes() {
    let time = Time { secs: -1, nanos: 999_999_999 };
    let file = FileId::from_bytes([1; 16]);
    let items = [
        Item::Node(NodeImage {
            ino: 7,
            file,
            atime: time,
            mtime: time,
            ctime: time,
            dirty_since: 3,
            heads: vec![VersionHash::from_bytes([2; 32])],
            unplaced: vec![],
            record: b"record".to_vec(),
        }),
        Item::Gone(file),
        Item::Body(BodyImage {
            file,
            detached: 9,
            generation: 4,
            mode: BodyMode::Delta,
            base: Some(b"base".to_vec()),
            contents: vec![b"content".to_vec()],
            ops: vec![
                BodyOp::Size(10),
                BodyOp::Clear { offset: 1, len: 2 },
                BodyOp::Show { offset: 0, len: 3, run: Run::Clean { content: 0, offset: 5 } },
                BodyOp::Show {
                    offset: 3,
                    len: 4,
                    run: Run::Piece { segment: 1, offset: 2, sealed_len: 46, piece_len: 4, skip: 0 },
                },
                BodyOp::Show { offset: 7, len: 1, run: Run::Lost },
            ],
        }),
        Item::BodyGone { file, detached: 9 },
        meta(3, 10),
        Item::Outbox { hash: CommitHash::from_bytes([4; 32]), commit: vec![1], payload: vec![] },
        Item::OutboxGone(CommitHash::from_bytes([4; 32])),
        Item::Pins { file, chunks: vec![ChunkId::from_bytes([6; 32])] },
    ];
    for item in &items {
        let mut bytes = to_vec(item);
        assert_eq!(from_slice(&bytes).as_ref(), Ok(item));
        bytes.push(0);
        assert!(from_slice::<Item>(&bytes).is_err());
    }
    let all: Vec<u8> = items.iter().flat_map(to_vec).collect();
    assert_eq!(decode_all(&all).as_deref(), Ok(&items[..]));
}

#[test]
fn decoders_take_any_bytes_without_panic() {
    let mut draw = Draw(0x5EED);
    for _ in 0..20_000 {
        let len = draw.next() % 80;
        let bytes: Vec<u8> = (0..len).map(|_| (draw.next() % 12) as u8).collect();
        // Whatever decodes has exactly this encoding.
        if let Ok(item) = from_slice::<Item>(&bytes) {
            assert_eq!(to_vec(&item), bytes);
        }
    }
}

#[test]
fn batches_come_back_in_order_across_segments_and_starts() {
    let disk = TraceDisk::default();
    let mut expected = Vec::new();
    let (mut last, mut chain) = (0, [0; 32]);
    for start in 0..3_u16 {
        let mut writer = open(&disk, last, chain);
        for batch in 0..4 {
            let items = vec![meta(start * 100 + batch, 6 * 1024 * 1024), meta(start * 100 + batch + 50, 3)];
            write(&mut writer, &items);
            expected.extend(items);
        }
        let (_, report) = read(&disk);
        (last, chain) = (report.last_batch, report.chain);
    }
    let (items, report) = read(&disk);
    assert!(items == expected);
    assert_eq!((report.last_batch, report.damaged_segments.len(), report.torn_bytes), (12, 0, 0));
    assert!(disk.names(".journal").len() >= 6, "segments are cut at {}", limits::JOURNAL_SEGMENT_BYTES);
}

#[test]
fn a_batch_of_many_parts_is_applied_whole_or_not_at_all() {
    let disk = TraceDisk::default();
    let mut writer = open(&disk, 0, [0; 32]);
    write(&mut writer, &[meta(1, 10)]);
    let many: Vec<Item> = (0..40).map(|key| meta(key, 100_000)).collect();
    write(&mut writer, &many);
    for cut in 0..=disk.operations() {
        for seed in [0, 1, 9, 1234] {
            let (items, report) = read(&disk.cut(cut, seed));
            assert!([0, 1, 41].contains(&items.len()), "cut {cut} seed {seed}: {}", items.len());
            assert_eq!(report.damaged_segments.len(), 0, "cut {cut} seed {seed}");
        }
    }
}

#[test]
fn leftovers_of_a_failed_flush_never_count() {
    let disk = TraceDisk::default();
    let mut writer = open(&disk, 0, [0; 32]);
    write(&mut writer, &[meta(1, 10)]);
    disk.fail_syncs_of(Some(".journal"));
    assert!(writer.write(&[], |_| vec![to_vec(&meta(2, 10))]).is_err());
    disk.fail_syncs_of(None);
    write(&mut writer, &[meta(3, 10)]);
    let (items, report) = read(&disk.reopened());
    assert_eq!(items, [meta(1, 10), meta(3, 10)]);
    assert_eq!((report.last_batch, report.damaged_segments.len()), (2, 0));
}

#[test]
fn a_segment_that_a_power_cut_left_without_its_header_is_never_damage() {
    let disk = TraceDisk::default();
    write(&mut open(&disk, 0, [0; 32]), &[meta(1, 10)]);
    for cut in 0..=disk.operations() {
        let found = disk.cut(cut, 0);
        let (items, report) = read(&found);
        write(&mut open(&found, report.last_batch, report.chain), &[meta(2, 10)]);
        let (again, report) = read(&found);
        assert_eq!((again.len(), report.damaged_segments.len()), (items.len() + 1, 0), "cut {cut}");
    }
}

#[test]
fn a_missing_segment_is_damage() {
    let disk = TraceDisk::default();
    let mut writer = open(&disk, 0, [0; 32]);
    for key in 0..3 {
        write(&mut writer, &[meta(key, 17 * 1024 * 1024)]);
    }
    let names = disk.names(".journal");
    assert_eq!(names.len(), 3);
    Disk::remove(&disk, &names[1]).expect("there");
    let (items, report) = read(&disk);
    assert_eq!((items.len(), report.damaged_segments.len()), (2, 1));
}

#[test]
fn a_frame_moved_to_another_place_does_not_open() {
    let disk = TraceDisk::default();
    let mut writer = open(&disk, 0, [0; 32]);
    write(&mut writer, &[meta(1, 100)]);
    write(&mut writer, &[meta(2, 100)]);
    let name = disk.names(".journal").pop().expect("one");
    disk.damage(&name, |bytes| {
        let frame = (bytes.len() - frame::HEADER_LEN) / 2;
        let first = bytes[frame::HEADER_LEN..frame::HEADER_LEN + frame].to_vec();
        bytes[frame::HEADER_LEN + frame..].copy_from_slice(&first);
    });
    assert_eq!(read(&disk).0, [meta(1, 100)]);
}

#[test]
fn a_piece_reads_back_from_its_place_and_from_no_other() {
    let disk = TraceDisk::default();
    let mut writer = open(&disk, 0, [0; 32]);
    let mut places = Vec::new();
    let pieces = [Bytes::from_static(b"one"), Bytes::from_static(b"two")];
    writer
        .write(&pieces, |locs| {
            places = locs.to_vec();
            Vec::new()
        })
        .expect("a healthy disk");
    assert_eq!(places[0].segment.kind, SegmentKind::Journal);
    assert_eq!(places[1].read(&sealer()), Ok(b"two".to_vec()));
    let mut moved = places[1].clone();
    moved.offset += 1;
    assert_eq!(moved.read(&sealer()), Err(crate::FsError::Damaged));
}

#[test]
fn the_headers_are_as_drawn() {
    let header = SegmentHeader { number: 2, first_batch: 3, chain: [4; 32] };
    let bytes = header.encode();
    assert_eq!(bytes.len(), frame::HEADER_LEN);
    assert_eq!(
        bytes[..24],
        *b"FHJRNL\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x03"
    );
    assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
    let frame = FrameHeader { kind: FrameKind::State { last: true }, batch: 5, sealed_len: 258 };
    assert_eq!(frame.encode(), *b"FHJF\x03\x00\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x00\x00\x00\x05");
}

/// A disk that runs something of the test's just before the next write.
#[derive(Clone)]
struct Interrupted {
    disk: TraceDisk,
    before_write: Hook,
}

type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

struct InterruptedFile {
    file: Arc<dyn DiskFile>,
    before_write: Hook,
}

impl Interrupted {
    fn wrap(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(InterruptedFile { file, before_write: Arc::clone(&self.before_write) })
    }
}

impl Disk for Interrupted {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(self.disk.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(self.disk.open(name)?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }

    fn space(&self) -> io::Result<Space> {
        self.disk.space()
    }

    fn unix_now(&self) -> u64 {
        self.disk.unix_now()
    }

    fn fill_random(&self, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.fill_random(buffer)
    }
}

impl DiskFile for InterruptedFile {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(offset, buffer)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let hook = self.before_write.lock().take();
        if let Some(hook) = hook {
            hook();
        }
        self.file.write_all_at(offset, bytes)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.file.set_len(len_bytes)
    }

    fn reserve(&self, end: u64) -> io::Result<()> {
        self.file.reserve(end)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn drop_cached(&self) {}

    fn will_need(&self, _: u64, _: u64) {}

    fn release(&self, _: u64, _: u64) {}
}

#[test]
fn a_piece_written_after_a_sync_that_began_before_it_is_durable_with_the_next_sync() {
    let trace = TraceDisk::default();
    let disk = Interrupted { disk: trace.clone(), before_write: Hook::default() };
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let segments = Arc::new(Mutex::new(Segments::open(Arc::clone(&shared)).expect("a disk")));
    let space = Arc::new(Reservation::open(shared).expect("a disk"));
    let staging = Arc::new(Staging::new(sealer(), segments, space));
    staging.append(&[1; 100]).expect("room");
    let other = Arc::clone(&staging);
    *disk.before_write.lock() = Some(Box::new(move || other.sync().map_err(drop).expect("a healthy disk")));
    let piece = staging.append(&[7; 5_000]).expect("room");
    staging.sync().map_err(drop).expect("a healthy disk");
    let found = trace.cut(trace.operations(), 0);
    let segments = Segments::open(Arc::new(found)).expect("a disk");
    let segment = Arc::clone(segments.get(piece.segment.number).expect("its name is on the disk"));
    let loc = Loc { segment, ..piece };
    assert_eq!(loc.read(&sealer()).map(|plain| plain.to_vec()), Ok(vec![7; 5_000]));
}
