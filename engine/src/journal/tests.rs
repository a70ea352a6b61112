//! Frames and items: what comes back, what is refused.

use crate::journal::frame::{self, FrameHeader, FrameKind, SegmentHeader};
use crate::journal::item::{BodyImage, BodyMode, BodyOp, Item, NodeImage, Run, decode_all};
use crate::journal::replay::replay;
use crate::journal::space::Space;
use crate::journal::writer::JournalWriter;
use crate::journal::{Sealer, SegmentKind, Segments};
use crate::testing::{Draw, TraceDisk};
use crate::{Time, limits};
use bytes::Bytes;
use freehold_crypto::DeviceSecret;
use freehold_model::codec::{from_slice, to_vec};
use freehold_model::{ChunkId, CommitHash, FileId, VersionHash};
use parking_lot::Mutex;
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
    let space = Arc::new(Space::open(shared).expect("a disk"));
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
fn a_missing_segment_is_damage() {
    let disk = TraceDisk::default();
    let mut writer = open(&disk, 0, [0; 32]);
    for key in 0..3 {
        write(&mut writer, &[meta(key, 17 * 1024 * 1024)]);
    }
    let names = disk.names(".journal");
    assert_eq!(names.len(), 3);
    freehold_store::Disk::remove(&disk, &names[1]).expect("there");
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
