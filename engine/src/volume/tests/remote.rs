//! Records of other devices: merged, shown, told, and the same everywhere.

use crate::testing::{Rig, file, names, read};
use crate::{Ino, Kind, MetaKey, NewNode, Notice, ROOT, RemoteVersion, SetTimes, SignedCommit, Time, Volume};
use freehold_model::{CommitHash, VersionHash};
use freehold_vault::record::{Body, Record};
use parking_lot::Mutex;
use std::sync::Arc;

/// Stands for the hash of a sealed record.
pub(super) fn version_of(record: &Record) -> VersionHash {
    VersionHash::from_bytes(*blake3::hash(&record.to_bytes()).as_bytes())
}

/// Cuts every dirty body into the record itself: these tests keep files small.
pub(super) fn cut_all(volume: &Arc<Volume>) {
    while let Some(job) = volume.next_cut(true) {
        let mut bytes = vec![0; usize::try_from(job.size).expect("small")];
        job.reader.read_at(0, &mut bytes).expect("local");
        volume.finish_cut(&job.token, Body::Inline(bytes), Vec::new());
    }
}

/// Sends everything unsent to another device.
pub(super) fn exchange(from: &Arc<Volume>, to: &Arc<Volume>) {
    cut_all(from);
    send(from, |remote| {
        let outcome = to.apply_remote(remote, vec![(MetaKey::CURSOR, vec![1])]);
        assert!(outcome.is_ok_and(|outcome| outcome.refused.is_empty()));
    });
}

/// Commits everything that can go, and hands it to `deliver`; the server has it for good then.
pub(super) fn send(from: &Arc<Volume>, mut deliver: impl FnMut(Vec<RemoteVersion>)) {
    while let Some(batch) = from.take_batch(1_000, 1 << 20) {
        let versions: Vec<_> =
            batch.records.iter().map(|record| (record.file, version_of(&record.record))).collect();
        let hash = CommitHash::from_bytes(*blake3::hash(&batch.covers.to_be_bytes()).as_bytes());
        let signed = SignedCommit { hash, commit: vec![1], payload: Vec::new(), versions: versions.clone() };
        from.commit_written(&batch, signed, Vec::new()).expect("a healthy disk");
        let remote = batch.records.iter().zip(&versions).map(|(record, (_, version))| RemoteVersion {
            version: *version,
            supersedes: record.supersedes.clone(),
            record: record.record.clone(),
        });
        deliver(remote.collect());
        from.commit_numbered(hash);
        from.versions_placed(&versions.iter().map(|(_, version)| *version).collect::<Vec<_>>(), |_| false);
    }
}

/// The notices an action causes.
pub(super) fn notices_of(volume: &Arc<Volume>, action: impl FnOnce()) -> Vec<Notice> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&heard);
    let weak = Arc::downgrade(volume);
    volume.set_notify(Box::new(move |notice| {
        // No lock is held: the receiver may look at the tables.
        if let Some(volume) = weak.upgrade() {
            assert!(volume.tables.try_lock().is_some());
        }
        to.lock().push(notice);
    }));
    action();
    std::mem::take(&mut *heard.lock())
}

fn make_dir(volume: &Volume, dir: Ino, name: &[u8]) -> Ino {
    volume.lock().insert(dir, name, NewNode { kind: Kind::Dir, mode: 0o755, ..file() }).expect("free")
}

#[test]
fn a_tree_comes_over_with_links_and_kinds() {
    let (a, b) = (Rig::device(1).open(), Rig::device(2).open());
    let dir = make_dir(&a, ROOT, b"dir");
    let ino = a.lock().insert(dir, b"f", file()).expect("free");
    a.lock().add_link(ino, ROOT, b"hard").expect("free");
    a.write(ino, 0, b"content").expect("room");
    exchange(&a, &b);
    assert_eq!(names(&b, ROOT), ["dir", "hard"]);
    let hard = b.lock().child(ROOT, b"hard").expect("came over");
    assert_eq!(b.lock().attr(hard).map(|attr| attr.nlink), Some(2));
    assert_eq!(read(&b, hard), Ok(b"content".to_vec()));
    assert_eq!(b.pending(), crate::Pending::default(), "nothing to send back");
}

#[test]
fn a_folder_keeps_the_time_a_program_set_whatever_order_its_entries_arrive_in() {
    let (rig, b) = (Rig::device(1), Rig::device(2).open());
    let a = rig.open();
    let dir = make_dir(&a, ROOT, b"dir");
    // Many writes to one record within a millisecond: its clock runs ahead of the folder's.
    let ino = a.lock().insert(ROOT, b"f", file()).expect("free");
    for mode in 0..20 {
        a.lock().set_mode(ino, 0o600 | mode).expect("there");
    }
    a.lock().add_link(ino, dir, b"f").expect("free");
    let set = Time { secs: 1_000, nanos: 123_456_789 };
    a.lock().set_times(dir, SetTimes { mtime: Some(set), ..SetTimes::default() }).expect("there");
    exchange(&a, &b);
    let there = b.lock().child(ROOT, b"dir").expect("came over");
    assert_eq!(b.lock().attr(there).map(|attr| attr.mtime), Some(set));
    rig.clock.pass(5);
    a.lock().insert(dir, b"later", file()).expect("free");
    exchange(&a, &b);
    let after = b.lock().attr(there).map(|attr| attr.mtime).expect("there");
    assert_eq!(after.millis(), a.lock().attr(dir).map(|attr| attr.mtime.millis()).expect("there"));
}

#[test]
fn renames_and_deletes_come_over_and_name_what_changed() {
    let (a, b) = (Rig::device(1).open(), Rig::device(2).open());
    let dir = make_dir(&a, ROOT, b"dir");
    a.lock().insert(dir, b"f", file()).expect("free");
    a.lock().insert(ROOT, b"gone", file()).expect("free");
    exchange(&a, &b);
    let there = b.lock().child(ROOT, b"dir").expect("came over");
    a.lock().move_link(dir, b"f", ROOT, b"moved").expect("there");
    a.lock().remove_link(ROOT, b"gone").expect("there");
    let notices = notices_of(&b, || exchange(&a, &b));
    assert_eq!((names(&b, ROOT), names(&b, there)), (vec!["dir".to_owned(), "moved".to_owned()], vec![]));
    for (parent, name) in [(there, &b"f"[..]), (ROOT, b"moved"), (ROOT, b"gone")] {
        assert!(notices.contains(&Notice::Entry { parent, name: name.to_vec() }), "{notices:?}");
    }
    for dir in [ROOT, there] {
        assert_eq!(notices.iter().filter(|notice| **notice == Notice::Listing { dir }).count(), 1);
    }
    a.lock().remove_link(ROOT, b"dir").expect("empty");
    exchange(&a, &b);
    assert_eq!(names(&b, ROOT), ["moved"]);
}

#[test]
fn two_files_of_one_name_are_both_shown_under_the_same_names_everywhere() {
    let (a, b) = (Rig::device(1).open(), Rig::device(2).open());
    for (volume, bytes) in [(&a, b"from a"), (&b, b"from b")] {
        let ino = volume.lock().insert(ROOT, b"f.txt", file()).expect("free");
        volume.write(ino, 0, bytes).expect("room");
    }
    exchange(&a, &b);
    exchange(&b, &a);
    assert_eq!(names(&a, ROOT).len(), 2);
    assert_eq!(names(&a, ROOT), names(&b, ROOT));
    // The renamed one can be worked with like any other.
    let shown = names(&a, ROOT).into_iter().find(|name| name != "f.txt").expect("two names");
    a.lock().move_link(ROOT, shown.as_bytes(), ROOT, b"g.txt").expect("there");
    exchange(&a, &b);
    assert_eq!(names(&b, ROOT), ["f.txt", "g.txt"]);
}

#[test]
fn directories_of_one_name_become_one() {
    let (a, b) = (Rig::device(1).open(), Rig::device(2).open());
    for (volume, name) in [(&a, b"x"), (&b, b"y")] {
        let dir = make_dir(volume, ROOT, b"dir");
        volume.lock().insert(dir, name, file()).expect("free");
    }
    exchange(&a, &b);
    exchange(&b, &a);
    for volume in [&a, &b] {
        assert_eq!(names(volume, ROOT), ["dir"]);
        let dir = volume.lock().child(ROOT, b"dir").expect("there");
        assert_eq!(names(volume, dir), ["x", "y"]);
    }
    let dir = a.lock().child(ROOT, b"dir").expect("there");
    for name in [b"x", b"y"] {
        a.lock().remove_link(dir, name).expect("there");
    }
    a.lock().remove_link(ROOT, b"dir").expect("empty");
    exchange(&a, &b);
    assert_eq!((names(&a, ROOT), names(&b, ROOT)), (vec![], vec![]));
}

#[test]
fn a_file_whose_directory_is_not_here_yet_waits_in_lost_and_found() {
    let (a, b) = (Rig::device(1).open(), Rig::device(2).open());
    let dir = make_dir(&a, ROOT, b"dir");
    a.lock().insert(dir, b"f", file()).expect("free");
    let batch = a.take_batch(10, 1 << 20).expect("two records");
    let remote = |index: usize| {
        let record = batch.records[index].record.clone();
        vec![RemoteVersion { version: version_of(&record), supersedes: Vec::new(), record }]
    };
    b.apply_remote(remote(1), Vec::new()).expect("nothing is buried");
    assert_eq!(names(&b, ROOT), ["Lost and Found"]);
    b.apply_remote(remote(0), Vec::new()).expect("nothing is buried");
    assert_eq!(names(&b, ROOT), ["dir"]);
    let there = b.lock().child(ROOT, b"dir").expect("came over");
    assert_eq!(names(&b, there), ["f"]);
}

#[test]
fn an_edit_beats_a_concurrent_deletion() {
    let (a, b) = (Rig::device(1).open(), Rig::device(2).open());
    let dir = make_dir(&a, ROOT, b"dir");
    let ino = a.lock().insert(dir, b"f", file()).expect("free");
    exchange(&a, &b);
    let there = b.lock().child(ROOT, b"dir").expect("came over");
    b.lock().remove_link(there, b"f").expect("there");
    b.lock().remove_link(ROOT, b"dir").expect("empty");
    a.write(ino, 0, b"still needed").expect("room");
    exchange(&b, &a);
    exchange(&a, &b);
    for volume in [&a, &b] {
        let dir = volume.lock().child(ROOT, b"dir").expect("came back");
        let ino = volume.lock().child(dir, b"f").expect("came back");
        assert_eq!(read(volume, ino), Ok(b"still needed".to_vec()));
    }
}

#[test]
fn remote_state_and_its_cursor_are_durable_together() {
    let rig = Rig::device(2);
    let (a, b) = (Rig::device(1).open(), rig.open());
    a.lock().insert(ROOT, b"f", file()).expect("free");
    b.fsync(None).expect("a healthy disk");
    exchange(&a, &b);
    b.fsync(None).expect("a healthy disk");
    for cut in 0..=rig.disk.operations() {
        let found = rig.on(rig.disk.cut(cut, 0)).open();
        assert_eq!(found.meta(MetaKey::CURSOR).is_some(), names(&found, ROOT) == ["f"], "cut {cut}");
    }
}
