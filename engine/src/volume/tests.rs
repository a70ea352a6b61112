//! The volume on a disk that crashes: what is durable, what is told, what is given back.

mod asleep;
mod conflicts;
mod converge;
mod crash;
mod damage;
mod deletions;
mod full_disk;
mod model;
mod remote;
mod save;
mod segments;
mod sending;
mod swap;

use crate::testing::{Rig, file, names, read};
use crate::{Kind, NewNode, OpenError, Preallocate, ROOT, SetTimes, Time, XattrMode};

#[test]
fn a_read_shows_what_was_written_before_any_flush() {
    let volume = Rig::new().open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.write(ino, 3, b"abc").expect("room");
    volume.write(ino, 4, b"X").expect("room");
    assert_eq!(read(&volume, ino), Ok(b"\0\0\0aXc".to_vec()));
}

#[test]
fn a_large_write_goes_to_staging_and_reads_back() {
    let rig = Rig::new();
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    volume.write(ino, 0, &bytes).expect("room");
    assert_eq!(rig.disk.names(".staging").len(), 1);
    volume.write(ino, 500_000, b"patch").expect("room");
    let mut expected = bytes;
    expected[500_000..500_005].copy_from_slice(b"patch");
    assert_eq!(read(&volume, ino).map(|read| read == expected), Ok(true));
}

#[test]
fn everything_survives_a_clean_stop() {
    let rig = Rig::new();
    let volume = rig.open();
    let dir = {
        let mut tables = volume.lock();
        let dir =
            tables.insert(ROOT, b"dir", NewNode { kind: Kind::Dir, mode: 0o755, ..file() }).expect("free");
        let ino = tables.insert(dir, b"f", file()).expect("free");
        tables.add_link(ino, ROOT, b"hard").expect("free");
        let link = NewNode { kind: Kind::Symlink, target: Some(b"dir/f".to_vec()), ..file() };
        tables.insert(ROOT, b"soft", link).expect("free");
        tables.insert(ROOT, b"fifo", NewNode { kind: Kind::Fifo, ..file() }).expect("free");
        tables.set_xattr(ino, b"user.x", b"y", XattrMode::Set).expect("room");
        tables.set_mode(ino, 0o600).expect("there");
        tables.set_owner(ino, 5, 6).expect("there");
        let mtime = Some(Time { secs: -5, nanos: 7 });
        tables.set_times(dir, SetTimes { mtime, ..SetTimes::default() }).expect("there");
        dir
    };
    let ino = volume.lock().child(dir, b"f").expect("made");
    volume.write(ino, 0, b"content").expect("room");
    let before = volume.lock().attr(ino);
    let dir_before = volume.lock().attr(dir);
    volume.close().expect("a healthy disk");
    drop(volume);

    rig.clock.pass(100);
    let (volume, recovery) = rig.on(rig.disk.reopened()).open_reporting();
    assert_eq!(recovery, crate::Recovery::default());
    assert_eq!(names(&volume, ROOT), ["dir", "fifo", "hard", "soft"]);
    let tables = volume.lock();
    let again = tables.child(ROOT, b"hard").expect("kept");
    assert_eq!(tables.child(dir, b"f"), Some(again));
    assert_eq!(tables.attr(again), before);
    assert_eq!(tables.attr(dir), dir_before);
    assert_eq!(tables.xattr(again, b"user.x"), Some(b"y".to_vec()));
    let soft = tables.child(ROOT, b"soft").expect("kept");
    assert_eq!(tables.target(soft), Some(b"dir/f".to_vec()));
    drop(tables);
    assert_eq!(read(&volume, again), Ok(b"content".to_vec()));
}

#[test]
fn an_unlinked_open_file_keeps_its_bytes_until_it_is_forgotten() {
    let volume = Rig::new().open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.write(ino, 0, b"abc").expect("room");
    volume.lock().remember(ino, 1);
    volume.lock().remove_link(ROOT, b"a").expect("there");
    volume.write(ino, 3, b"def").expect("still open");
    assert_eq!(read(&volume, ino), Ok(b"abcdef".to_vec()));
    volume.lock().forget(ino, 1);
    assert_eq!(volume.lock().attr(ino), None);
    assert!(volume.next_cut(true).is_none(), "nothing of it is sent");
    assert!(volume.take_batch(10, 1 << 20).is_none());
}

#[test]
fn holes_read_as_zeroes_and_take_no_blocks() {
    let volume = Rig::new().open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.write(ino, 0, &[1; 16_384]).expect("room");
    volume.truncate(ino, 1 << 30).expect("there");
    volume.preallocate(ino, 4_096, 8_192, Preallocate::Punch).expect("there");
    assert_eq!(volume.lock().attr(ino).map(|attr| (attr.size, attr.blocks)), Some((1 << 30, 16)));
    volume.truncate(ino, 16_384).expect("there");
    let expected = [&[1; 4_096][..], &[0; 8_192], &[1; 4_096]].concat();
    assert_eq!(read(&volume, ino), Ok(expected));
}

#[test]
fn what_is_cut_off_never_comes_back() {
    let volume = Rig::new().open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.write(ino, 0, b"secret").expect("room");
    volume.truncate(ino, 2).expect("there");
    volume.truncate(ino, 6).expect("there");
    assert_eq!(read(&volume, ino), Ok(b"se\0\0\0\0".to_vec()));
}

#[test]
fn a_copied_range_shares_bytes_and_then_goes_its_own_way() {
    let volume = Rig::new().open();
    let (a, b) = {
        let mut tables = volume.lock();
        (tables.insert(ROOT, b"a", file()).expect("free"), tables.insert(ROOT, b"b", file()).expect("free"))
    };
    volume.write(a, 0, b"0123456789").expect("room");
    assert_eq!(volume.copy_range(a, 2, b, 1, 100), Ok(8));
    volume.write(a, 2, b"xx").expect("room");
    assert_eq!(read(&volume, b), Ok(b"\x0023456789".to_vec()));
    assert_eq!(volume.copy_range(a, 0, a, 5, 6), Err(crate::FsError::Invalid));
}

#[test]
fn nothing_readable_reaches_the_disk() {
    let rig = Rig::new();
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"canary-name-on-disk", file()).expect("free");
    volume.write(ino, 0, b"canary-content-on-disk").expect("room");
    volume.write(ino, 100, &b"canary-staged-on-disk.".repeat(10_000)).expect("room");
    volume.fsync(Some(ino)).expect("a healthy disk");
    let everything = rig.disk.everything();
    assert!(everything.len() > 200_000);
    assert!(!everything.windows(6).any(|window| window == b"canary"));
}

#[test]
fn another_devices_key_is_refused_and_harms_nothing() {
    let rig = Rig::new();
    let volume = rig.open();
    volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.close().expect("a healthy disk");
    drop(volume);
    let rig = rig.on(rig.disk.reopened());
    assert!(matches!(rig.try_open_with(99), Err(OpenError::WrongKey)));
    assert_eq!(names(&rig.open(), ROOT), ["a"]);
}
