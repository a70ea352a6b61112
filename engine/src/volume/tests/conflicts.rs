//! Conflicts for people: listed alike on both devices, and ended by a choice that travels.

use super::remote::{exchange, notices_of};
use crate::testing::{Rig, file, names, read};
use crate::volume::conflicts::KeepError;
use crate::{Ino, Kind, NewNode, Notice, ROOT, Volume};
use freehold_api::control::Keep;
use std::sync::Arc;

struct Two {
    a: Arc<Volume>,
    b: Arc<Volume>,
}

impl Two {
    /// Both devices wrote one file at once and have met; the second wrote last.
    fn in_conflict() -> Self {
        let (rig_a, rig_b) = (Rig::device(1), Rig::device(2));
        let (a, b) = (rig_a.open(), rig_b.open());
        for (volume, label) in [(&a, [1, 2]), (&b, [1, 2])] {
            for device in label {
                let id = freehold_model::DeviceId::from_bytes([device; 16]);
                volume.lock().set_label(id, format!("device {device}"));
            }
        }
        let ino = a.lock().insert(ROOT, b"report.odt", file()).expect("free");
        a.write(ino, 0, b"before").expect("room");
        exchange(&a, &b);
        a.write(ino, 0, b"from a").expect("room");
        rig_b.clock.pass(60);
        b.write(child(&b, "report.odt"), 0, b"from b").expect("room");
        let two = Self { a, b };
        two.meet();
        two
    }

    fn meet(&self) {
        // What one settles the other settles alike; both sides have nothing left after this.
        for _ in 0..2 {
            exchange(&self.a, &self.b);
            exchange(&self.b, &self.a);
        }
    }

    fn same(&self) -> Vec<(String, Vec<u8>)> {
        self.meet();
        let tree = |volume: &Arc<Volume>| -> Vec<(String, Vec<u8>)> {
            let content = |name: String| (name.clone(), read(volume, child(volume, &name)).expect("here"));
            names(volume, ROOT).into_iter().map(content).collect()
        };
        assert_eq!(tree(&self.a), tree(&self.b));
        tree(&self.a)
    }
}

fn child(volume: &Volume, name: &str) -> Ino {
    volume.lock().child(ROOT, name.as_bytes()).expect("there")
}

#[test]
fn both_devices_list_the_same_pair_and_say_who_wrote_which() {
    let two = Two::in_conflict();
    let (on_a, on_b) =
        (two.a.conflicts().expect("rows can be read"), two.b.conflicts().expect("rows can be read"));
    assert_eq!((on_a.total, on_a.conflicts.len()), (1, 1));
    let (ours, theirs) = (on_a.conflicts.first().expect("one"), on_b.conflicts.first().expect("one"));
    assert_eq!((&ours.file.path, &ours.copy.path), (&theirs.file.path, &theirs.copy.path));
    assert_eq!(ours.file.path, "report.odt");
    assert!(ours.copy.path.starts_with("report (conflict, device 1 "), "{}", ours.copy.path);
    assert_eq!((ours.file.device.as_str(), ours.copy.device.as_str()), ("device 2", "device 1"));
    assert_eq!((ours.file.is_mine, ours.copy.is_mine), (false, true));
    assert_eq!((theirs.file.is_mine, theirs.copy.is_mine), (true, false));
    assert_eq!((ours.copy.size, ours.file.size), (6, 6));
}

#[test]
fn keeping_mine_or_theirs_leaves_one_file_with_its_identity() {
    for (keep, expected) in [
        (Keep::Mine, b"from a"),
        (Keep::Theirs, b"from b"),
        (Keep::Newest, b"from b"),
        (Keep::Oldest, b"from a"),
    ] {
        let two = Two::in_conflict();
        let before = child(&two.a, "report.odt");
        let identity = two.a.lock().file_id(before);
        let kept = two.a.keep_conflict("report.odt", keep).expect("a conflict");
        assert_eq!((kept.path.as_str(), kept.trashed), ("report.odt", 1));
        assert_eq!(two.same(), [("report.odt".to_owned(), expected.to_vec())], "{keep:?}");
        let there = child(&two.b, "report.odt");
        assert_eq!(two.b.lock().file_id(there), identity);
        assert_eq!(
            (
                two.a.conflicts().expect("rows can be read").total,
                two.b.conflicts().expect("rows can be read").total
            ),
            (0, 0)
        );
    }
}

#[test]
fn the_copy_s_path_names_the_conflict_as_well() {
    let two = Two::in_conflict();
    let copy = two.b.conflicts().expect("rows can be read").conflicts.first().expect("one").copy.path.clone();
    two.b.keep_conflict(&copy, Keep::Theirs).expect("a conflict");
    assert_eq!(two.same(), [("report.odt".to_owned(), b"from a".to_vec())]);
}

#[test]
fn keeping_both_gives_the_copy_a_free_plain_name() {
    let two = Two::in_conflict();
    two.a.lock().insert(ROOT, b"report 2.odt", file()).expect("free");
    let kept = two.a.keep_conflict("report.odt", Keep::Both).expect("a conflict");
    assert_eq!(kept.renamed, ["report 3.odt"]);
    let tree = two.same();
    assert_eq!(
        tree.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["report 2.odt", "report 3.odt", "report.odt"]
    );
    assert_eq!(
        (
            two.a.conflicts().expect("rows can be read").total,
            two.b.conflicts().expect("rows can be read").total
        ),
        (0, 0)
    );
}

#[test]
fn a_file_held_open_keeps_what_it_showed_when_the_other_content_is_kept() {
    let two = Two::in_conflict();
    let open = child(&two.a, "report.odt");
    two.a.lock().remember(open, 1);
    let notices = notices_of(&two.a, || {
        two.a.keep_conflict("report.odt", Keep::Mine).expect("a conflict");
    });
    assert_eq!(read(&two.a, open), Ok(b"from b".to_vec()));
    assert_eq!(read(&two.a, child(&two.a, "report.odt")), Ok(b"from a".to_vec()));
    assert!(notices.contains(&Notice::Entry { parent: ROOT, name: b"report.odt".to_vec() }), "{notices:?}");
    assert!(notices.contains(&Notice::Listing { dir: ROOT }));
}

#[test]
fn a_user_s_own_file_with_such_a_name_is_no_conflict() {
    let volume = Rig::new().open();
    for name in [&b"a.txt"[..], b"a (conflict, laptop 2026-11-23 14.12.05).txt"] {
        volume.lock().insert(ROOT, name, file()).expect("free");
    }
    assert_eq!(volume.conflicts().expect("rows can be read").total, 0);
    assert_eq!(volume.keep_conflict("a.txt", Keep::Both), Err(KeepError::NoConflict));
}

#[test]
fn a_copy_is_known_after_it_was_edited_moved_and_its_mode_changed() {
    let two = Two::in_conflict();
    let copy = two.a.conflicts().expect("rows can be read").conflicts.first().expect("one").copy.path.clone();
    let ino = child(&two.a, &copy);
    let dir = NewNode { kind: Kind::Dir, mode: 0o755, ..file() };
    let dir = two.a.lock().insert(ROOT, b"dir", dir).expect("free");
    two.a.lock().set_mode(ino, 0o600).expect("there");
    two.a.lock().move_link(ROOT, copy.as_bytes(), dir, copy.as_bytes()).expect("there");
    two.a.write(ino, 0, b"FROM A").expect("room");
    two.meet();
    let listed = two.b.conflicts().expect("rows can be read").conflicts;
    let listed: Vec<_> =
        listed.iter().map(|pair| (pair.file.path.as_str(), pair.copy.path.as_str())).collect();
    assert_eq!(listed, [("report.odt", format!("dir/{copy}").as_str())]);
}

#[test]
fn a_copy_that_was_given_another_name_or_lost_its_file_is_no_conflict() {
    let two = Two::in_conflict();
    let copy = two.a.conflicts().expect("rows can be read").conflicts.first().expect("one").copy.path.clone();
    two.a.lock().remove_link(ROOT, b"report.odt").expect("there");
    assert_eq!(two.a.conflicts().expect("rows can be read").total, 0);
    let other = Two::in_conflict();
    other.a.lock().move_link(ROOT, copy.as_bytes(), ROOT, b"mine.odt").expect("there");
    assert_eq!(other.a.conflicts().expect("rows can be read").total, 0);
}

#[test]
fn a_file_being_written_is_left_alone() {
    let two = Two::in_conflict();
    two.a.write(child(&two.a, "report.odt"), 0, b"more").expect("room");
    assert_eq!(two.a.keep_conflict("report.odt", Keep::Mine), Err(KeepError::Busy));
    assert_eq!(two.a.conflicts().expect("rows can be read").total, 1);
}

#[test]
fn a_word_that_fits_no_content_is_refused() {
    let two = Two::in_conflict();
    let c = Rig::device(3).open();
    exchange_all(&two.a, &c);
    assert!(matches!(c.keep_conflict("report.odt", Keep::Mine), Err(KeepError::Choice(_))));
    assert!(matches!(c.keep_conflict("report.odt", Keep::Theirs), Err(KeepError::Choice(_))));
    assert_eq!(c.conflicts().expect("rows can be read").total, 1);
}

/// Gives a device every record another one has.
fn exchange_all(from: &Arc<Volume>, to: &Arc<Volume>) {
    let records: Vec<_> = {
        let tables = from.lock();
        tables.by_file.values().filter_map(|ino| tables.nodes.get(*ino)).map(|n| n.record.clone()).collect()
    };
    let remote = records.into_iter().map(|record| crate::RemoteVersion {
        version: super::remote::version_of(&record),
        supersedes: Vec::new(),
        record,
    });
    to.apply_remote(remote.collect(), Vec::new()).expect("nothing is buried");
}

#[test]
fn two_files_created_under_one_name_are_a_conflict_too() {
    let (a, b) = (Rig::device(1).open(), Rig::device(2).open());
    for (volume, content) in [(&a, b"from a"), (&b, b"from b")] {
        let ino = volume.lock().insert(ROOT, b"new.txt", file()).expect("free");
        volume.write(ino, 0, content).expect("room");
    }
    let two = Two { a, b };
    two.meet();
    assert_eq!(
        (
            two.a.conflicts().expect("rows can be read").total,
            two.b.conflicts().expect("rows can be read").total
        ),
        (1, 1)
    );
    two.a.keep_conflict("new.txt", Keep::Theirs).expect("a conflict");
    assert_eq!(two.same(), [("new.txt".to_owned(), b"from b".to_vec())]);
    assert_eq!(
        (
            two.a.conflicts().expect("rows can be read").total,
            two.b.conflicts().expect("rows can be read").total
        ),
        (0, 0)
    );
}
