//! Which segments stay, which go, and what compaction keeps.

use super::remote::{cut_all, version_of};
use crate::testing::{Rig, child, file, names, read};
use crate::{ROOT, SignedCommit, Volume, limits};
use freehold_model::CommitHash;
use std::sync::Arc;

fn rig(dir: &tempfile::TempDir) -> Rig {
    Rig { index: Some(dir.path().join("index.db")), ..Rig::new() }
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Commits, numbers and places everything unsent.
fn send_all(volume: &Arc<Volume>, number: u8) {
    cut_all(volume);
    let hash = CommitHash::from_bytes([number; 32]);
    let batch = volume.take_batch(10_000, 1 << 30).expect("something to send");
    let versions: Vec<_> =
        batch.records.iter().map(|record| (record.file, version_of(&record.record))).collect();
    let signed = SignedCommit { hash, commit: vec![number], payload: Vec::new(), versions: versions.clone() };
    volume.commit_written(&batch, signed, Vec::new()).expect("a healthy disk");
    volume.commit_numbered(hash);
    volume.versions_placed(&versions.iter().map(|(_, version)| *version).collect::<Vec<_>>(), |_| false);
}

/// Fills the current journal segment, so that the next batch opens another.
fn fill_segment(volume: &Arc<Volume>) {
    let ino = volume.lock().insert(ROOT, b"filler", file()).expect("free");
    let mut written = 0;
    while written <= limits::JOURNAL_SEGMENT_BYTES {
        volume.write(ino, 0, &[1; 60_000]).expect("room");
        volume.fsync(None).expect("a healthy disk");
        written += 60_000;
    }
    volume.lock().remove_link(ROOT, b"filler").expect("there");
    volume.fsync(None).expect("a healthy disk");
}

#[test]
fn staged_bytes_nobody_shows_are_deleted() {
    let rig = Rig::new();
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    let bytes = vec![1; 1024 * 1024];
    // More than one staging segment, because the newest one stays open.
    for _ in 0..limits::STAGING_SEGMENT_BYTES / bytes.len() as u64 + 2 {
        volume.write(ino, 0, &bytes).expect("room");
    }
    volume.fsync(None).expect("a healthy disk");
    assert_eq!(rig.disk.names(".staging").len(), 2);
    volume.write(ino, 0, b"x").expect("room");
    volume.fsync(None).expect("a healthy disk");
    assert_eq!(rig.disk.names(".staging").len(), 1);
    let found = rig.on(rig.disk.cut(rig.disk.operations(), 0)).open();
    let ino = child(&found, ROOT, b"a").expect("kept");
    assert_eq!(read(&found, ino).map(|read| read.len()), Ok(1024 * 1024));
}

#[test]
fn journal_segments_go_once_their_state_is_in_the_index_and_on_the_server() {
    let dir = dir();
    let rig = rig(&dir);
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"kept", file()).expect("free");
    volume.write(ino, 0, b"content").expect("room");
    volume.fsync(None).expect("a healthy disk");
    fill_segment(&volume);
    volume.lock().insert(ROOT, b"next", file()).expect("free");
    volume.tend();
    assert_eq!(rig.disk.names(".journal").len(), 2, "unsent state keeps its segment");
    send_all(&volume, 1);
    volume.tend();
    assert_eq!(rig.disk.names(".journal").len(), 1);
    volume.close().expect("a healthy disk");
    drop(volume);
    let (volume, recovery) = rig.on(rig.disk.reopened()).open_reporting();
    assert_eq!(recovery, crate::Recovery::default());
    assert_eq!(names(&volume, ROOT), ["kept", "next"]);
    let ino = child(&volume, ROOT, b"kept").expect("kept");
    assert_eq!(read(&volume, ino), Ok(b"content".to_vec()));
    assert_eq!(volume.pending(), crate::Pending::default());
}

#[test]
fn compaction_writes_what_is_live_again_and_frees_the_oldest_segment() {
    let dir = dir();
    let rig = rig(&dir);
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"old", file()).expect("free");
    volume.write(ino, 0, b"written long ago").expect("room");
    volume.fsync(None).expect("a healthy disk");
    let oldest = rig.disk.names(".journal").remove(0);
    for _ in 0..=limits::JOURNAL_SEGMENTS_MAX {
        fill_segment(&volume);
    }
    for _ in 0..4 {
        volume.tend();
    }
    assert!(!rig.disk.names(".journal").contains(&oldest));
    assert!(rig.disk.names(".journal").len() <= limits::JOURNAL_SEGMENTS_MAX + 1);
    let found = rig.on(rig.disk.cut(rig.disk.operations(), 0));
    drop(volume);
    let (volume, recovery) = found.open_reporting();
    assert_eq!(recovery.damaged_files, Vec::<u64>::new());
    let ino = child(&volume, ROOT, b"old").expect("kept");
    assert_eq!(read(&volume, ino), Ok(b"written long ago".to_vec()));
    assert_eq!(volume.pending().dirty_bodies, 1);
}

#[test]
fn a_full_disk_leaves_no_segment_for_every_attempt() {
    let rig = Rig::new();
    rig.disk.set_capacity(limits::RESERVE_BYTES_MIN + limits::RESERVE_MARGIN_BYTES + 1_000_000);
    let volume = rig.open();
    volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.fsync(None).expect("room");
    drop(volume);
    let rig = rig.on(rig.disk.reopened());
    let volume = rig.open();
    rig.disk.set_capacity(0);
    for _ in 0..5 {
        volume.lock().set_mode(ROOT, 0o711).expect("there");
        assert!(volume.fsync(None).is_err());
    }
    assert_eq!(rig.disk.names(".journal").len(), 1);
}

#[test]
fn a_closed_volume_has_no_spare_segment_and_a_reopened_one_no_unused_room() {
    let rig = Rig::new();
    let volume = rig.open();
    volume.tend();
    volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.tend();
    volume.lock().insert(ROOT, b"b", file()).expect("free");
    volume.tend();
    volume.close().expect("a healthy disk");
    assert_eq!(rig.disk.names("spare"), Vec::<String>::new());
    drop(volume);
    let rig = rig.on(rig.disk.reopened());
    let (volume, recovery) = rig.open_reporting();
    assert_eq!((recovery.torn_bytes, names(&volume, ROOT)), (0, vec!["a".to_owned(), "b".to_owned()]));
    let reserve = limits::RESERVE_BYTES_MAX;
    assert!(rig.disk.used() < reserve + 4_096, "{} bytes beside the reserve", rig.disk.used() - reserve);
}

#[test]
fn the_first_batch_of_a_prepared_segment_repeats_the_sync_state() {
    let dir = dir();
    let rig = rig(&dir);
    let volume = rig.open();
    volume.tend();
    volume.lock().insert(ROOT, b"kept", file()).expect("free");
    send_all(&volume, 1);
    let ino = child(&volume, ROOT, b"kept").expect("made above");
    let first = rig.disk.names(".journal");
    while rig.disk.names(".journal") == first {
        volume.write(ino, 0, &[1; 5_000]).expect("room");
        volume.fsync(None).expect("a healthy disk");
        volume.prepare();
    }
    volume.truncate(ino, 0).expect("there");
    send_all(&volume, 2);
    for _ in 0..3 {
        volume.tend();
    }
    assert!(!rig.disk.names(".journal").contains(&first[0]), "the older one is not needed");
    volume.close().expect("a healthy disk");
    let next = volume.lock().insert(ROOT, b"probe", file()).expect("free");
    drop(volume);
    std::fs::remove_file(dir.path().join("index.db")).expect("the index");
    let (volume, _) = rig.on(rig.disk.reopened()).open_reporting();
    let again = volume.lock().insert(ROOT, b"probe", file()).expect("free");
    assert!(again >= next, "numbers of nodes are not given out again: {again} after {next}");
}

#[test]
fn a_real_directory_is_locked_against_a_second_process_and_opens_again() {
    let dir = dir();
    let rig = Rig::new();
    let volume = rig.open_in(dir.path()).expect("an empty directory").0;
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.write(ino, 0, &[3; 100_000]).expect("room");
    assert!(matches!(rig.open_in(dir.path()), Err(crate::OpenError::Busy)));
    volume.close().expect("a healthy disk");
    drop(volume);
    let volume = rig.open_in(dir.path()).expect("closed").0;
    let ino = child(&volume, ROOT, b"a").expect("kept");
    assert!(read(&volume, ino) == Ok(vec![3; 100_000]));
    assert!(volume.statfs().blocks > 0);
}

#[test]
fn what_the_index_missed_before_a_crash_is_not_forgotten_by_the_start_after_the_next() {
    let dir = dir();
    let rig = rig(&dir);
    let volume = rig.open();
    volume.lock().insert(ROOT, b"removed", file()).expect("free");
    let kept = volume.lock().insert(ROOT, b"renamed", file()).expect("free");
    volume.write(kept, 0, b"old").expect("room");
    volume.close().expect("a healthy disk");
    let old_index = std::fs::read(dir.path().join("index.db")).expect("the index");

    volume.lock().remove_link(ROOT, b"removed").expect("there");
    volume.lock().move_link(ROOT, b"renamed", ROOT, b"new name").expect("there");
    volume.lock().insert(ROOT, b"made", file()).expect("free");
    volume.fsync(None).expect("a healthy disk");
    drop(volume);
    // As after a kill between the journal's flush and the index's: it has not heard of the last batch.
    std::fs::write(dir.path().join("index.db"), old_index).expect("the index");

    let expected = ["made", "new name"];
    let rig = rig.on(rig.disk.cut(rig.disk.operations(), 0));
    let volume = rig.open();
    assert_eq!(names(&volume, ROOT), expected);
    volume.lock().insert(ROOT, b"later", file()).expect("free");
    volume.fsync(None).expect("a healthy disk");
    volume.close().expect("a healthy disk");
    drop(volume);
    let volume = rig.on(rig.disk.cut(rig.disk.operations(), 0)).open();
    assert_eq!(names(&volume, ROOT), ["later", "made", "new name"]);
}
