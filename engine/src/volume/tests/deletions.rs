//! Deletions that sleep: nothing that is decided by them may change.

use super::remote::{cut_all, exchange, version_of};
use crate::testing::{Rig, file, names, read};
use crate::{Ino, ROOT, RemoteVersion, Volume};
use freehold_model::{FileId, VersionHash};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn with_index(number: u8, dir: &tempfile::TempDir) -> Rig {
    Rig { index: Some(dir.path().join("index.db")), ..Rig::device(number) }
}

/// Everything settled sleeps.
pub(super) fn settle(volume: &Volume) {
    volume.fsync(None).expect("a healthy disk");
    // Once to forget that they were used, once to pack them.
    for _ in 0..2 {
        let mut tables = volume.tables.lock();
        tables.pack(1_000);
        tables.rest(1_000);
    }
}

/// How many deletions sleep.
fn deletions(volume: &Volume) -> usize {
    let tables = volume.tables.lock();
    tables.asleep.len() - tables.asleep.shown()
}

fn heads(volume: &Volume) -> BTreeMap<FileId, Vec<VersionHash>> {
    volume.lock().all_heads().collect()
}

/// Two devices with a file that both know, which the first then deletes and buries; the file.
fn deleted_on_a(a: &Arc<Volume>, b: &Arc<Volume>) -> FileId {
    let ino = a.lock().insert(ROOT, b"f", file()).expect("free");
    a.write(ino, 0, b"first").expect("room");
    let id = a.lock().file_id(ino).expect("there");
    exchange(a, b);
    a.lock().remove_link(ROOT, b"f").expect("there");
    exchange(a, &Rig::device(9).open());
    settle(a);
    assert_eq!(deletions(a), 1);
    assert!(!a.tables.lock().by_file.contains_key(&id));
    id
}

/// The device that deleted, the one that has not heard of it, and the file there.
fn deleted_on_one(dir: &tempfile::TempDir) -> (Arc<Volume>, Arc<Volume>, Ino) {
    let (a, b) = (with_index(1, dir).open(), Rig::device(2).open());
    deleted_on_a(&a, &b);
    let there = b.lock().child(ROOT, b"f").expect("not deleted here yet");
    (a, b, there)
}

#[test]
fn an_edit_that_had_not_seen_a_buried_deletion_brings_the_file_back() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, b, there) = deleted_on_one(&dir);
    b.write(there, 0, b"later").expect("room");
    exchange(&b, &a);
    let back = a.lock().child(ROOT, b"f").expect("an edit beats a deletion");
    assert_eq!(read(&a, back), Ok(b"later".to_vec()));
}

#[test]
fn a_write_that_a_buried_deletion_had_seen_does_not_bring_the_file_back() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, b, there) = deleted_on_one(&dir);
    let record = b.tables.lock().nodes.get(there).expect("there").record.clone();
    let again = RemoteVersion { version: version_of(&record), supersedes: Vec::new(), record };
    a.apply_remote(vec![again], Vec::new()).expect("the index is there");
    assert_eq!(names(&a, ROOT), Vec::<String>::new());
}

#[test]
fn buried_files_count_among_the_heads_before_and_after_a_start() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rig = with_index(1, &dir);
    let (a, b) = (rig.open(), Rig::device(2).open());
    let kept = a.lock().insert(ROOT, b"kept", file()).expect("free");
    a.write(kept, 0, b"bytes").expect("room");
    let id = deleted_on_a(&a, &b);
    let before = heads(&a);
    assert!(before.contains_key(&id) && before.len() == 2, "a file and a deletion: {before:?}");
    assert_eq!(a.lock().heads(&id), before[&id]);
    a.close().expect("a healthy disk");
    drop(a);
    let again = rig.on(rig.disk.reopened()).open();
    assert_eq!(deletions(&again), 1);
    assert_eq!(heads(&again), before);
}

#[test]
fn what_shows_a_late_version_is_woken_and_stays_awake_until_it_was_dealt_with() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, b) = (with_index(1, &dir).open(), Rig::device(2).open());
    let id = deleted_on_a(&a, &b);
    let late = heads(&a)[&id].iter().copied().collect();
    let awake = a.wake_showing(&late).expect("the index is there");
    settle(&a);
    assert!(a.tables.lock().by_file.contains_key(&id));
    a.lock().take_over(&late);
    drop(awake);
    cut_all(&a);
    assert_eq!(a.lock().pending().dirty_records, 1);
}

/// A device that has an old version of a deleted file open and unsent bytes in it, and the device that deleted.
fn written_behind_a_deletion(rig: &Rig) -> Arc<Volume> {
    let (a, b) = (rig.open(), Rig::device(2).open());
    let ino = a.lock().insert(ROOT, b"f", file()).expect("free");
    a.write(ino, 0, b"first").expect("room");
    exchange(&a, &b);
    a.lock().remember(ino, 1);
    let there = b.lock().child(ROOT, b"f").expect("came over");
    b.write(there, 0, b"other").expect("room");
    exchange(&b, &a);
    assert_ne!(a.lock().child(ROOT, b"f"), Some(ino), "an open file is replaced, not changed");
    b.lock().remove_link(ROOT, b"f").expect("there");
    exchange(&b, &a);
    settle(&a);
    a.write(ino, 0, b"mine!").expect("room");
    settle(&a);
    a
}

/// What the files say that are shown.
fn contents(volume: &Arc<Volume>) -> Vec<Vec<u8>> {
    cut_all(volume);
    let inos = names(volume, ROOT).into_iter().map(|name| volume.lock().child(ROOT, name.as_bytes()));
    inos.map(|ino| read(volume, ino.expect("listed")).expect("local")).collect()
}

#[test]
fn a_write_through_an_old_version_outlives_the_deletion_of_the_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let a = written_behind_a_deletion(&with_index(1, &dir));
    assert!(contents(&a).contains(&b"mine!".to_vec()));
}

#[test]
fn a_write_through_an_old_version_outlives_a_start_after_the_deletion_of_the_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rig = with_index(1, &dir);
    let a = written_behind_a_deletion(&rig);
    a.close().expect("a healthy disk");
    drop(a);
    assert!(contents(&rig.on(rig.disk.reopened()).open()).contains(&b"mine!".to_vec()));
}

#[test]
fn files_that_exchanged_their_numbers_in_a_save_are_both_there_after_a_crash() {
    for temp_first in [true, false] {
        let rig = Rig::device(1);
        let (a, b) = (rig.open(), Rig::device(2).open());
        let make_temp = || a.lock().insert(ROOT, b"temp", file()).expect("free");
        let early = temp_first.then(make_temp);
        let there = b.lock().insert(ROOT, b"doc", file()).expect("free");
        b.write(there, 0, b"before").expect("room");
        exchange(&b, &a);
        let temp = early.unwrap_or_else(make_temp);
        let old = a.lock().child(ROOT, b"doc").expect("came over");
        a.lock().remember(old, 1);
        a.write(temp, 0, b"saved!").expect("room");
        a.fsync(None).expect("a healthy disk");
        a.lock().move_link(ROOT, b"temp", ROOT, b"doc").expect("there");
        a.fsync(None).expect("a healthy disk");
        let again = rig.on(rig.disk.reopened()).open();
        assert_eq!(names(&again, ROOT), ["doc"], "temporary first: {temp_first}");
        let doc = again.lock().child(ROOT, b"doc").expect("listed");
        assert_eq!(read(&again, doc), Ok(b"saved!".to_vec()), "temporary first: {temp_first}");
    }
}
