//! Segments that were prepared: where they end, what a power cut leaves, who gives way to whom.

use super::{meta, read, sealer};
use crate::journal::frame::{self, HEADER_LEN};
use crate::journal::item::Item;
use crate::journal::space::Space;
use crate::journal::spare;
use crate::journal::writer::JournalWriter;
use crate::journal::{SegmentKind, Segments};
use crate::testing::TraceDisk;
use crate::{FsError, limits};
use freehold_model::codec::to_vec;
use freehold_store::Disk;
use parking_lot::Mutex;
use std::sync::Arc;

/// A journal whose next segment can be prepared.
struct Journal {
    disk: TraceDisk,
    space: Arc<Space>,
    writer: JournalWriter,
}

impl Journal {
    fn on(disk: TraceDisk) -> Self {
        let (_, report) = read(&disk);
        let shared: Arc<TraceDisk> = Arc::new(disk.clone());
        let segments = Arc::new(Mutex::new(Segments::open(shared.clone()).expect("a disk")));
        let space = Arc::new(Space::open(shared).expect("a disk"));
        let writer =
            JournalWriter::new(sealer(), segments, Arc::clone(&space), report.last_batch, report.chain);
        Self { disk, space, writer }
    }

    /// With the first segment at hand.
    fn prepared() -> Self {
        let journal = Self::on(TraceDisk::default());
        journal.prepare();
        journal
    }

    fn prepare(&self) {
        while self.space.prepare() {}
    }

    fn try_write(&mut self, key: u16, len: usize) -> Result<bool, FsError> {
        Ok(self.writer.write(&[], |_| vec![to_vec(&meta(key, len))])?.runs_out)
    }

    fn write(&mut self, key: u16, len: usize) -> bool {
        self.try_write(key, len).expect("a healthy disk")
    }

    fn newest(&self) -> String {
        self.disk.names(".journal").pop().expect("a journal")
    }

    fn len(&self, name: &str) -> u64 {
        self.disk.open(name).and_then(|file| file.len_bytes()).expect("there")
    }

    fn has_spare(&self) -> bool {
        !self.disk.names(spare::NAME).is_empty()
    }
}

#[test]
fn appends_within_a_prepared_segment_do_not_grow_the_file() {
    let mut journal = Journal::prepared();
    for key in 0..40 {
        journal.write(key, 5_000);
        assert_eq!(journal.len(&journal.newest()), limits::SPARE_BYTES_MIN);
    }
    assert_eq!(journal.disk.names(".journal").len(), 1);
}

#[test]
fn zeroes_after_the_last_batch_are_a_clean_end() {
    let mut journal = Journal::prepared();
    journal.write(1, 100);
    journal.write(2, 100);
    let (items, report) = read(&journal.disk);
    assert_eq!(items, [meta(1, 100), meta(2, 100)]);
    assert_eq!((report.torn_bytes, report.damaged_segments.len()), (0, 0));
    assert!(journal.len(&journal.newest()) < 1_000, "what nobody will use is given back");
}

#[test]
fn a_prepared_segment_without_a_batch_is_a_clean_end_too() {
    let mut journal = Journal::prepared();
    journal.write(1, 100);
    let name = journal.newest();
    journal.disk.damage(&name, |bytes| bytes[HEADER_LEN..].fill(0));
    let (items, report) = read(&journal.disk);
    assert_eq!((items.len(), report.torn_bytes, report.damaged_segments.len()), (0, 0, 0));
}

#[test]
fn zeroes_in_the_middle_are_damage_and_not_the_end() {
    let mut journal = Journal::prepared();
    for key in 1..=3 {
        journal.write(key, 2_000);
    }
    let name = journal.newest();
    // The first two kilobytes and their frame; the second lie behind them.
    let second = HEADER_LEN + 2_200;
    journal.disk.damage(&name, |bytes| bytes[second..second + 1_500].fill(0));
    let (items, report) = read(&journal.disk);
    assert_eq!(items, [meta(1, 2_000), meta(3, 2_000)]);
    assert_eq!(report.damaged_segments.len(), 1);
    assert_eq!(journal.disk.names(".quarantine").len(), 1);
}

#[test]
fn a_torn_batch_before_the_zeroes_is_cut_and_counted_without_them() {
    let mut journal = Journal::prepared();
    journal.write(1, 100);
    journal.write(2, 5_000);
    let name = journal.newest();
    journal.disk.damage(&name, |bytes| bytes[3_000..8_000].fill(0));
    let (items, report) = read(&journal.disk);
    assert_eq!((items, report.damaged_segments.len()), (vec![meta(1, 100)], 0));
    assert!((2_000..3_000).contains(&report.torn_bytes), "{}", report.torn_bytes);
}

#[test]
fn frames_of_a_segment_before_are_not_taken_for_those_of_a_prepared_one() {
    let mut journal = Journal::prepared();
    journal.write(1, 100);
    journal.write(2, 100);
    let old = journal.newest();
    let mut journal = Journal::on(journal.disk);
    journal.prepare();
    journal.write(3, 100);
    let mut frames = Vec::new();
    journal.disk.damage(&old, |bytes| frames = bytes[bytes.len() / 2..].to_vec());
    // As if the file had been in use before, the second frame of then where the second would be.
    let name = journal.newest();
    journal.disk.damage(&name, |bytes| {
        let end = bytes.iter().rposition(|byte| *byte != 0).expect("a batch") + 1;
        bytes[end..end + frames.len()].copy_from_slice(&frames);
    });
    let (items, report) = read(&journal.disk);
    assert_eq!(items, [meta(1, 100), meta(2, 100), meta(3, 100)]);
    assert_eq!(report.damaged_segments.len(), 0);
}

#[test]
fn a_segment_is_left_for_the_spare_when_its_zeroes_are_used_up() {
    let mut journal = Journal::prepared();
    let mut asked = Vec::new();
    for key in 0..60 {
        if journal.write(key, 5_000) {
            asked.push(key);
            journal.prepare();
        }
    }
    let names = journal.disk.names(".journal");
    assert_eq!((names.len(), asked.len()), (2, 1), "asked for once, at half: {asked:?}");
    assert!(journal.len(&names[0]) < limits::SPARE_BYTES_MIN + 6_000, "one batch went over the end");
    assert_eq!(journal.len(&names[1]), limits::SPARE_BYTES_MIN * limits::SPARE_GROWTH);
    assert_eq!(read(&journal.disk).0.len(), 60);
}

#[test]
fn without_a_spare_at_hand_a_segment_grows() {
    let mut journal = Journal::prepared();
    for key in 0..60 {
        journal.write(key, 5_000);
    }
    assert_eq!(journal.disk.names(".journal").len(), 1);
    assert!(journal.len(&journal.newest()) > limits::SPARE_BYTES_MIN);
    assert_eq!(read(&journal.disk).0.len(), 60);
}

#[test]
fn nothing_is_prepared_for_large_batches() {
    let mut journal = Journal::prepared();
    for key in 0..20 {
        assert!(!journal.write(key, 500_000), "batch {key}");
        journal.prepare();
    }
    assert!(!journal.has_spare());
    assert_eq!(journal.disk.names(".journal").len(), 1);
}

/// Tells a story of small batches and a preparation that is never quite in time, up to the third
/// segment; returns what was promised after which operation.
fn story(journal: &mut Journal) -> Vec<(usize, usize)> {
    let mut promised = vec![(journal.disk.operations(), 0)];
    for key in 0..44 {
        if key % 3 == 1 {
            journal.space.prepare();
        }
        journal.write(key, 30_000);
        promised.push((journal.disk.operations(), usize::from(key) + 1));
    }
    promised
}

#[test]
fn every_power_cut_while_preparing_keeps_every_acknowledged_batch() {
    let mut journal = Journal::on(TraceDisk::default());
    let promised = story(&mut journal);
    assert_eq!(journal.disk.names(".journal").len(), 3);
    let all: Vec<Item> = (0..44).map(|key| meta(key, 30_000)).collect();
    for cut in 0..=journal.disk.operations() {
        let floor = promised.iter().rev().find(|(at, _)| *at <= cut).map_or(0, |(_, count)| *count);
        for seed in [0, 1, 9, 1234] {
            let (items, report) = read(&journal.disk.cut(cut, seed));
            assert!(items.len() >= floor, "cut {cut} seed {seed}: {} of {floor}", items.len());
            assert!(items == all[..items.len()], "cut {cut} seed {seed}");
            assert_eq!(report.damaged_segments, Vec::<u64>::new(), "cut {cut} seed {seed}");
        }
    }
}

#[test]
fn a_start_after_any_power_cut_goes_on() {
    let mut journal = Journal::on(TraceDisk::default());
    story(&mut journal);
    for cut in 0..=journal.disk.operations() {
        let mut found = Journal::on(journal.disk.cut(cut, 77));
        let before = read(&found.disk).0.len();
        assert!(!found.has_spare(), "cut {cut}: what was left of one is gone");
        found.prepare();
        found.write(99, 10);
        let (items, report) = read(&found.disk.cut(found.disk.operations(), 0));
        assert_eq!((items.len(), items.last()), (before + 1, Some(&meta(99, 10))), "cut {cut}");
        assert_eq!(report.damaged_segments, Vec::<u64>::new(), "cut {cut}");
    }
}

#[test]
fn a_failure_to_prepare_is_forgotten() {
    // Creating, writing, flushing.
    for operations in 0..3 {
        let mut journal = Journal::on(TraceDisk::default());
        journal.disk.fail_after(operations);
        journal.prepare();
        assert_eq!(journal.disk.take_failures(), 1);
        assert!(!journal.has_spare(), "operation {operations}");
        journal.write(1, 100);
        journal.prepare();
        assert!(journal.has_spare(), "operation {operations}");
        journal.write(2, 100);
        assert_eq!(read(&journal.disk).0.len(), 2);
    }
}

#[test]
fn a_failure_to_make_a_spare_the_segment_fails_one_flush_and_leaves_nothing() {
    // The header, its flush, the name, the names' flush, the batch, its flush.
    for operations in 0..6 {
        let mut journal = Journal::prepared();
        journal.disk.fail_after(operations);
        assert_eq!(journal.try_write(1, 100), Err(FsError::Io), "operation {operations}");
        assert!(!journal.has_spare() && journal.disk.names(".journal").is_empty());
        journal.write(2, 100);
        let (items, report) = read(&journal.disk.cut(journal.disk.operations(), 0));
        assert_eq!(items, [meta(2, 100)], "operation {operations}");
        assert_eq!(report.damaged_segments, Vec::<u64>::new(), "operation {operations}");
    }
}

#[test]
fn leftovers_of_a_failed_flush_in_a_prepared_segment_never_count() {
    let mut journal = Journal::prepared();
    journal.write(1, 100);
    journal.disk.fail_syncs_of(Some(".journal"));
    assert_eq!(journal.try_write(2, 100), Err(FsError::Io));
    journal.disk.fail_syncs_of(None);
    journal.write(3, 100);
    let (items, report) = read(&journal.disk.reopened());
    assert_eq!(items, [meta(1, 100), meta(3, 100)]);
    assert_eq!((report.last_batch, report.damaged_segments.len()), (2, 0));
}

#[test]
fn nothing_is_prepared_where_room_is_short() {
    let disk = TraceDisk::default();
    disk.set_capacity(limits::RESERVE_BYTES_MIN + limits::RESERVE_MARGIN_BYTES + 4 * limits::SPARE_BYTES_MIN);
    let mut journal = Journal::on(disk);
    journal.prepare();
    assert!(!journal.has_spare());
    journal.write(1, 100);
    assert_eq!(journal.disk.take_failures(), 0, "it was not even tried");
}

#[test]
fn a_full_disk_takes_the_spare_before_the_reserve_and_before_a_flush_fails() {
    let mut journal = Journal::on(TraceDisk::default());
    journal.write(1, 100);
    journal.prepare();
    assert!(journal.has_spare());
    // The room of the next batch is there only where the spare is; its segment is plain.
    journal.disk.set_capacity(journal.disk.used());
    journal.write(2, 100_000);
    assert!(!journal.has_spare());
    assert_eq!(journal.disk.names("reserve").len(), 1, "nobody has had to give that up");
    assert_eq!(journal.disk.names(".journal").len(), 1);
}

#[test]
fn a_prepared_segment_takes_batches_on_a_full_disk() {
    let mut journal = Journal::prepared();
    journal.disk.set_capacity(journal.disk.used());
    journal.write(1, 100_000);
    assert_eq!(journal.disk.take_failures(), 0);
}

#[test]
fn a_writer_gets_the_room_of_the_spare_before_being_refused() {
    let journal = Journal::prepared();
    let margin = limits::RESERVE_MARGIN_BYTES;
    journal.disk.set_capacity(journal.disk.used() + margin);
    assert_eq!(journal.space.check(1), Err(FsError::NoSpace));
    assert_eq!(journal.space.admit(limits::SPARE_BYTES_MIN / 2), Ok(()));
    assert!(!journal.has_spare());
    assert_eq!(journal.space.admit(2 * limits::SPARE_BYTES_MIN), Err(FsError::NoSpace));
}

#[test]
fn only_a_journal_segment_has_prepared_room() {
    let journal = Journal::prepared();
    let mut segments = Segments::open(Arc::new(journal.disk.clone())).expect("a disk");
    let staging = segments.create(SegmentKind::Staging).expect("a disk");
    assert_eq!(staging.file.len_bytes().expect("a disk"), 0);
    assert!(journal.has_spare());
    assert!(frame::is_blank(&[0; 9]) && !frame::is_blank(&[0, 1]));
}
