//! Power cuts behind every operation of a trace.

use crate::testing::{Rig, file, names, read};
use crate::{Kind, NewNode, ROOT, Volume};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The tree as text: path to content.
type Shape = BTreeMap<String, Vec<u8>>;

fn shape(volume: &Arc<Volume>) -> Shape {
    let mut shape = Shape::new();
    let mut dirs = vec![(ROOT, String::new())];
    while let Some((dir, path)) = dirs.pop() {
        for name in names(volume, dir) {
            let ino = volume.lock().child(dir, name.as_bytes()).expect("listed");
            let path = format!("{path}/{name}");
            if volume.lock().kind(ino) == Some(Kind::Dir) {
                shape.insert(path.clone(), b"dir".to_vec());
                dirs.push((ino, path));
            } else {
                shape.insert(path, read(volume, ino).expect("local"));
            }
        }
    }
    shape
}

/// One step of the story told below.
fn step(volume: &Arc<Volume>, index: usize) {
    let child = |name: &[u8]| volume.lock().child(ROOT, name).expect("made by an earlier step");
    match index {
        0 => drop(volume.lock().insert(ROOT, b"a", file()).expect("free")),
        1 => volume.write(child(b"a"), 0, &[b'a'; 5_000]).expect("room"),
        2 => drop(volume.lock().insert(ROOT, b"d", NewNode { kind: Kind::Dir, ..file() }).expect("free")),
        3 => drop(volume.lock().insert(ROOT, b"big", file()).expect("free")),
        4 => volume.write(child(b"big"), 10, &[b'b'; 200_000]).expect("room"),
        5 => volume.truncate(child(b"a"), 100).expect("there"),
        6 => drop(volume.lock().insert(ROOT, b"tmp", file()).expect("free")),
        7 => volume.write(child(b"tmp"), 0, b"new content").expect("room"),
        8 => drop(volume.lock().move_link(ROOT, b"tmp", ROOT, b"a").expect("there")),
        9 => volume.write(child(b"big"), 5, b"patched").expect("room"),
        10 => {
            let dir = child(b"d");
            volume.lock().move_link(ROOT, b"big", dir, b"moved").expect("there");
        }
        _ => drop(volume.lock().remove_link(ROOT, b"a").expect("there")),
    }
}

const STEPS: usize = 12;

#[test]
fn every_power_cut_leaves_a_state_that_existed_and_every_fsynced_byte() {
    cut_everywhere(|_| {});
}

#[test]
fn segments_prepared_meanwhile_change_nothing_about_that() {
    cut_everywhere(|volume| volume.prepare());
}

fn cut_everywhere(between: impl Fn(&Volume)) {
    // The states after each step are the only ones that may be found.
    let mut states = vec![Shape::new()];
    let reference = Rig::new().open();
    for index in 0..STEPS {
        step(&reference, index);
        states.push(shape(&reference));
    }
    // fsync after every third step; the trace then knows what each prefix must hold.
    let rig = Rig::new();
    let volume = rig.open();
    let mut promised = vec![(rig.disk.operations(), 0)];
    for index in 0..STEPS {
        between(&volume);
        step(&volume, index);
        if index % 3 == 2 {
            volume.fsync(None).expect("a healthy disk");
            promised.push((rig.disk.operations(), index + 1));
        }
    }
    for cut in 0..=rig.disk.operations() {
        let floor = promised.iter().rev().find(|(at, _)| *at <= cut).map_or(0, |(_, steps)| *steps);
        for seed in [0, 1, 2, 77] {
            let (volume, recovery) = rig.on(rig.disk.cut(cut, seed)).open_reporting();
            let found = shape(&volume);
            let at = states.iter().position(|state| *state == found);
            let at = at.unwrap_or_else(|| {
                panic!("cut {cut} seed {seed}: a state that never was: {:?}", found.keys())
            });
            assert!(at >= floor, "cut {cut} seed {seed}: state {at}, but {floor} was fsynced");
            assert_eq!(recovery.damaged_segments, Vec::<u64>::new(), "cut {cut} seed {seed}");
            assert_eq!(recovery.damaged_files, Vec::<u64>::new(), "cut {cut} seed {seed}");
        }
    }
}

#[test]
fn a_second_crash_while_recovering_loses_nothing_either() {
    let rig = Rig::new();
    let volume = rig.open();
    for index in 0..6 {
        step(&volume, index);
    }
    volume.fsync(None).expect("a healthy disk");
    let expected = shape(&volume);
    step(&volume, 6);
    for seed in [0, 3, 5] {
        let first = rig.on(rig.disk.cut(rig.disk.operations(), seed));
        let again = first.open();
        again.lock().insert(ROOT, b"later", file()).expect("free");
        again.fsync(None).expect("a healthy disk");
        for cut in 0..=first.disk.operations() {
            let mut found = shape(&first.on(first.disk.cut(cut, seed)).open());
            found.remove("/later");
            assert_eq!(found, expected, "seed {seed} cut {cut}");
        }
    }
}

#[test]
fn a_failed_journal_flush_is_told_once_and_nothing_is_lost_when_the_disk_heals() {
    let rig = Rig::new();
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    let other = volume.lock().insert(ROOT, b"other", file()).expect("free");
    volume.write(ino, 0, b"first").expect("room");
    rig.disk.fail_syncs_of(Some(".journal"));
    assert_eq!(volume.fsync(Some(ino)), Err(crate::FsError::Io));
    rig.disk.fail_syncs_of(None);
    assert_eq!(volume.fsync(Some(other)), Err(crate::FsError::Io), "its name was in the failed batch");
    assert_eq!(volume.fsync(Some(other)), Ok(()));
    assert_eq!(volume.fsync(Some(ino)), Ok(()));
    let volume = rig.on(rig.disk.cut(rig.disk.operations(), 0)).open();
    let ino = volume.lock().child(ROOT, b"a").expect("kept");
    assert_eq!(read(&volume, ino), Ok(b"first".to_vec()));
}

#[test]
fn a_failed_staging_flush_is_told_and_its_bytes_are_stored_elsewhere() {
    let rig = Rig::new();
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.write(ino, 0, &[7; 300_000]).expect("room");
    rig.disk.fail_syncs_of(Some(".staging"));
    assert_eq!(volume.fsync(Some(ino)), Err(crate::FsError::Io));
    rig.disk.fail_syncs_of(None);
    assert_eq!(volume.fsync(Some(ino)), Ok(()));
    let volume = rig.on(rig.disk.cut(rig.disk.operations(), 0)).open();
    let ino = volume.lock().child(ROOT, b"a").expect("kept");
    assert_eq!(read(&volume, ino).map(|bytes| bytes == [7; 300_000]), Ok(true));
}

#[test]
fn one_flush_serves_everybody_who_waits() {
    let rig = Rig::new();
    let volume = rig.open();
    let inos: Vec<_> =
        (0..20_u8).map(|i| volume.lock().insert(ROOT, &[b'a' + i], file()).expect("free")).collect();
    volume.fsync(Some(inos[0])).expect("a healthy disk");
    let before = rig.disk.operations();
    for ino in inos {
        volume.fsync(Some(ino)).expect("a healthy disk");
    }
    assert_eq!(rig.disk.operations(), before);
}

#[test]
fn an_fsync_of_a_small_file_costs_one_flush() {
    let rig = Rig::new();
    let volume = rig.open();
    let ino = volume.lock().insert(ROOT, b"a", file()).expect("free");
    volume.fsync(Some(ino)).expect("a healthy disk");
    let before = rig.disk.operations();
    volume.write(ino, 0, &[1; 4_096]).expect("room");
    volume.fsync(Some(ino)).expect("a healthy disk");
    assert_eq!(rig.disk.operations() - before, 2, "one write and one flush");
}
