//! A full disk: writers are told, the journal never stops.

use crate::testing::{Rig, file, names, read};
use crate::{FsError, ROOT, limits};

/// A volume on a disk with room for little.
fn small() -> Rig {
    let rig = Rig::new();
    rig.disk.set_capacity(limits::RESERVE_BYTES_MIN + limits::RESERVE_MARGIN_BYTES + 2_000_000);
    rig
}

#[test]
fn writes_are_refused_while_reads_deletes_and_fsync_go_on() {
    let rig = small();
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.write(ino, 0, &[1; 50_000]).expect("room");
    let mut refused = 1;
    while volume.write(ino, refused * 100_000, &[2; 100_000]).is_ok() {
        refused += 1;
        assert!(refused < 100, "a disk of 7 MB takes no 10 MB");
    }
    assert_eq!(volume.write(ino, 0, &[3; 100_000]), Err(FsError::NoSpace));
    volume.fsync(Some(ino)).expect("room was kept for the journal");
    assert_eq!(read(&volume, ino).map(|bytes| bytes[..50_000] == [1; 50_000]), Ok(true));
    volume.lock().remove_link(ROOT, b"a").expect("there");
    volume.fsync(None).expect("room was kept for deletes");
    assert_eq!(names(&rig.on(rig.disk.cut(rig.disk.operations(), 0)).open(), ROOT), Vec::<String>::new());
}

#[test]
fn a_disk_filled_by_others_stops_creates_and_not_the_journal() {
    let rig = small();
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.write(ino, 0, b"abc").expect("room");
    // Somebody else takes every byte that is left.
    rig.disk.set_capacity(rig.disk.used());
    volume.fsync(Some(ino)).expect("the reservation gives way");
    assert_eq!(volume.lock().insert(ROOT, b"b", file()), Err(FsError::NoSpace));
    assert_eq!(volume.write(ino, 0, b"x"), Err(FsError::NoSpace));
    volume.lock().remove_link(ROOT, b"a").expect("there");
    volume.fsync(None).expect("the journal has the reservation's blocks");
}

#[test]
fn writers_are_let_in_again_once_there_is_room() {
    let rig = small();
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    rig.disk.set_capacity(rig.disk.used());
    volume.fsync(None).expect("the reservation gives way");
    assert_eq!(volume.write(ino, 0, b"x"), Err(FsError::NoSpace));
    rig.disk.set_capacity(100_000_000);
    assert_eq!(volume.write(ino, 0, b"x"), Ok(()));
}

#[test]
fn a_damaged_journal_opens_on_a_disk_without_room_for_its_copy() {
    let rig = Rig::new();
    let volume = rig.open();
    for name in [b"a", b"b", b"c"] {
        volume.lock().insert(ROOT, name, file()).expect("free");
        volume.fsync(None).expect("a healthy disk");
    }
    drop(volume);
    let rig = rig.on(rig.disk.reopened());
    let journal = rig.disk.names(".journal").pop().expect("a journal");
    rig.disk.damage(&journal, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    rig.disk.set_capacity(0);
    let (volume, recovery) = rig.open_reporting();
    assert_eq!(recovery.damaged_segments.len(), 1);
    assert_eq!(rig.disk.names(".quarantine"), Vec::<String>::new(), "no half copies");
    assert!(names(&volume, ROOT).contains(&"a".to_owned()));
    drop(volume);
    let rig = rig.on(rig.disk.reopened());
    rig.open();
    assert_eq!(rig.disk.names(".quarantine").len(), 1, "there is room now");
}
