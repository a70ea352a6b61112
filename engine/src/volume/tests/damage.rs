//! Bytes that rot: what is cut, what is quarantined, what is named.

use crate::testing::{Rig, file, names, read};
use crate::{FsError, ROOT};

fn newest_journal(rig: &Rig) -> String {
    rig.disk.names(".journal").pop().expect("a journal")
}

#[test]
fn a_torn_tail_is_cut_and_counted() {
    let rig = Rig::new();
    let volume = rig.open();
    volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.fsync(None).expect("a healthy disk");
    drop(volume);
    let rig = rig.on(rig.disk.reopened());
    rig.disk.damage(&newest_journal(&rig), |bytes| bytes.extend_from_slice(&[0xAB; 300]));
    let (volume, recovery) = rig.open_reporting();
    assert_eq!((recovery.torn_bytes, recovery.damaged_segments.len()), (300, 0));
    assert_eq!(names(&volume, ROOT), ["a"]);
}

#[test]
fn a_bad_frame_before_good_ones_is_quarantined_and_the_rest_is_applied() {
    let rig = Rig::new();
    let volume = rig.open();
    let mut ends = Vec::new();
    for name in [b"a", b"b", b"c"] {
        volume.lock().insert(ROOT, name, file()).expect("free");
        volume.fsync(None).expect("a healthy disk");
        ends.push(rig.disk.used());
    }
    drop(volume);
    let rig = rig.on(rig.disk.reopened());
    let name = newest_journal(&rig);
    // A byte in the middle of the second batch.
    let from_end = (ends[2] - (ends[0] + ends[1]) / 2) as usize;
    rig.disk.damage(&name, |bytes| {
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
    });
    let (volume, recovery) = rig.open_reporting();
    assert_eq!(recovery.damaged_segments.len(), 1);
    assert_eq!(rig.disk.names(".quarantine").len(), 1);
    // The root's entries are its children's own state: only what the bad frame said is missing.
    assert_eq!(names(&volume, ROOT), ["a", "c"]);
}

#[test]
fn a_file_that_lost_writes_in_the_middle_is_named_and_not_read() {
    let rig = Rig::new();
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    let mut ends = Vec::new();
    for part in 0..3_u64 {
        volume.write(ino, part * 10_000, &[part as u8; 10_000]).expect("room");
        volume.fsync(None).expect("a healthy disk");
        ends.push(rig.disk.used());
    }
    drop(volume);
    let rig = rig.on(rig.disk.reopened());
    // The last byte of the second batch lies in its state frame.
    let from_end = (ends[2] - ends[1]) as usize + 1;
    rig.disk.damage(&newest_journal(&rig), |bytes| {
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
    });
    let (volume, recovery) = rig.open_reporting();
    assert_eq!(recovery.damaged_files, [ino]);
    assert_eq!(read(&volume, ino), Err(FsError::Damaged));
    assert!(volume.next_cut(true).is_none(), "nothing wrong is sent");
    volume.truncate(ino, 0).expect("there");
    volume.write(ino, 0, b"again").expect("room");
    assert_eq!(read(&volume, ino), Ok(b"again".to_vec()));
}

#[test]
fn a_rotten_piece_fails_its_own_range_only() {
    let rig = Rig::new();
    let volume = rig.open();
    let (a, b) = {
        let mut tables = volume.lock();
        (tables.insert(ROOT, b"a", file()).expect("free"), tables.insert(ROOT, b"b", file()).expect("free"))
    };
    volume.write(a, 0, &[1; 100_000]).expect("room");
    volume.write(b, 0, &[2; 100_000]).expect("room");
    volume.fsync(None).expect("a healthy disk");
    drop(volume);
    let rig = rig.on(rig.disk.reopened());
    let staging = rig.disk.names(".staging").pop().expect("staged");
    rig.disk.damage(&staging, |bytes| bytes[50_000] ^= 1);
    let volume = rig.open();
    assert_eq!(read(&volume, a), Err(FsError::Damaged));
    assert_eq!(read(&volume, b).map(|bytes| bytes == [2; 100_000]), Ok(true));
}
