//! Atomic saves: POSIX for programs here, one file with a new content for everybody else.

use super::remote::{cut_all, exchange};
use crate::testing::{Rig, file, names, read};
use crate::{CutOutcome, Ino, ROOT, Volume, XattrMode};
use freehold_vault::record::Body;
use std::sync::Arc;

/// Two devices with one file, mode 0600 and with an attribute on the first, open there.
fn two() -> (Arc<Volume>, Arc<Volume>, Ino) {
    let (a, b) = (Rig::device(1).open(), Rig::device(2).open());
    let ino = a.lock().insert(ROOT, b"f", file()).expect("free");
    a.write(ino, 0, b"one").expect("room");
    a.lock().set_mode(ino, 0o600).expect("there");
    a.lock().set_xattr(ino, b"user.old", b"old", XattrMode::Set).expect("room");
    a.lock().remember(ino, 1);
    exchange(&a, &b);
    (a, b, ino)
}

fn temporary(volume: &Arc<Volume>, content: &[u8]) -> Ino {
    let ino = volume.lock().insert(ROOT, b".f.swp", file()).expect("free");
    volume.write(ino, 0, content).expect("room");
    volume.lock().set_xattr(ino, b"user.new", b"new", XattrMode::Set).expect("room");
    ino
}

fn save(volume: &Arc<Volume>) {
    volume.lock().move_link(ROOT, b".f.swp", ROOT, b"f").expect("there");
}

fn child(volume: &Volume, name: &[u8]) -> Ino {
    volume.lock().child(ROOT, name).expect("there")
}

#[test]
fn the_name_leads_to_the_temporary_s_inode_with_all_that_is_its_own() {
    let (a, _, old) = two();
    let temp = temporary(&a, b"two");
    let before = a.lock().attr(temp).expect("there");
    save(&a);
    assert_eq!((child(&a, b"f"), names(&a, ROOT)), (temp, vec!["f".to_owned()]));
    let after = a.lock().attr(temp).expect("there");
    assert_eq!((after.mode, after.nlink, after.mtime), (before.mode, 1, before.mtime));
    let xattrs = |ino| a.lock().xattrs(ino);
    assert_eq!((xattrs(temp), xattrs(old)), (vec![b"user.new".to_vec()], vec![b"user.old".to_vec()]));
    assert_eq!(read(&a, temp), Ok(b"two".to_vec()));
    let gone = a.lock().attr(old).expect("open");
    assert_eq!((gone.mode, gone.nlink), (0o600, 0));
    assert_eq!(read(&a, old), Ok(b"one".to_vec()));
    a.lock().forget(old, 1);
    assert_eq!(a.lock().attr(old), None);
}

#[test]
fn elsewhere_it_is_the_same_file_with_a_new_content() {
    let (a, b, old) = two();
    let identity = a.lock().file_id(old);
    let there = child(&b, b"f");
    temporary(&a, b"two");
    save(&a);
    exchange(&a, &b);
    assert_eq!((child(&b, b"f"), b.lock().file_id(there)), (there, identity), "nobody there had it open");
    assert_eq!(read(&b, there), Ok(b"two".to_vec()));
    assert_eq!(b.lock().attr(there).map(|attr| attr.mode), Some(0o644));
    assert_eq!(b.lock().xattr(there, b"user.new"), Some(b"new".to_vec()));
    assert_eq!((a.lock().node_count(), b.lock().node_count()), (3, 2), "only the open old one is left over");
}

#[test]
fn a_temporary_that_was_cut_before_or_while_it_is_renamed_loses_nothing() {
    let (a, b, _) = two();
    temporary(&a, b"cut before");
    cut_all(&a);
    save(&a);
    exchange(&a, &b);
    assert_eq!(read(&b, child(&b, b"f")), Ok(b"cut before".to_vec()));

    temporary(&a, b"cut while");
    let job = a.next_cut(true).expect("due");
    save(&a);
    let cut = a.finish_cut(&job.token, Body::Inline(b"cut while".to_vec()), Vec::new());
    assert_eq!(cut, CutOutcome::Installed);
    exchange(&a, &b);
    assert_eq!(read(&b, child(&b, b"f")), Ok(b"cut while".to_vec()));
    assert_eq!(names(&b, ROOT), ["f"]);
}

#[test]
fn an_edit_elsewhere_meets_a_save_as_an_edit() {
    let (a, b, _) = two();
    temporary(&a, b"from a");
    save(&a);
    b.write(child(&b, b"f"), 0, b"from b").expect("room");
    for _ in 0..2 {
        exchange(&a, &b);
        exchange(&b, &a);
    }
    assert_eq!(names(&a, ROOT), names(&b, ROOT));
    assert_eq!(
        (names(&a, ROOT).len(), a.conflicts().expect("rows can be read").total),
        (2, 1),
        "{:?}",
        names(&a, ROOT)
    );
}

#[test]
fn a_deletion_elsewhere_does_not_take_a_save_away() {
    let (a, b, _) = two();
    temporary(&a, b"saved");
    save(&a);
    b.lock().remove_link(ROOT, b"f").expect("there");
    for _ in 0..2 {
        exchange(&b, &a);
        exchange(&a, &b);
    }
    assert_eq!((names(&a, ROOT), names(&b, ROOT)), (vec!["f".to_owned()], vec!["f".to_owned()]));
    assert_eq!(read(&b, child(&b, b"f")), Ok(b"saved".to_vec()));
}

#[test]
fn another_name_of_the_target_keeps_the_old_content() {
    let (a, b, old) = two();
    a.lock().add_link(old, ROOT, b"hard").expect("free");
    exchange(&a, &b);
    temporary(&a, b"two");
    save(&a);
    exchange(&a, &b);
    for volume in [&a, &b] {
        assert_eq!(read(volume, child(volume, b"hard")), Ok(b"one".to_vec()));
        assert_eq!(read(volume, child(volume, b"f")), Ok(b"two".to_vec()));
    }
}

#[test]
fn what_is_written_to_the_old_file_after_a_save_goes_with_it() {
    let (a, b, old) = two();
    a.write(old, 0, b"not").expect("room");
    temporary(&a, b"two");
    save(&a);
    a.write(old, 0, b"nowhere").expect("open");
    a.lock().forget(old, 1);
    exchange(&a, &b);
    assert_eq!((names(&b, ROOT), read(&b, child(&b, b"f"))), (vec!["f".to_owned()], Ok(b"two".to_vec())));
}

#[test]
fn a_save_survives_a_crash_whole_or_not_at_all() {
    let rig = Rig::new();
    let a = rig.open();
    let ino = a.lock().insert(ROOT, b"f", file()).expect("free");
    a.write(ino, 0, b"one").expect("room");
    exchange(&a, &Rig::device(2).open());
    // An unsent edit of the old file is in the journal when the save replaces it.
    a.write(ino, 0, b"ONE").expect("room");
    let identity = a.lock().file_id(ino);
    let temp = temporary(&a, b"two, longer");
    a.fsync(Some(temp)).expect("a healthy disk");
    save(&a);
    let before = rig.disk.operations();
    a.flush().expect("a healthy disk");
    let after = rig.disk.operations();
    for cut in before..=after {
        let volume = rig.on(rig.disk.cut(cut, 1)).open();
        let f = child(&volume, b"f");
        assert_eq!(volume.lock().file_id(f), identity, "after {cut} operations");
        let expected = match names(&volume, ROOT).len() {
            1 => b"two, longer".to_vec(),
            _ => b"ONE".to_vec(),
        };
        assert_eq!(read(&volume, f), Ok(expected), "after {cut} operations");
    }
    let volume = rig.on(rig.disk.cut(after, 1)).open();
    assert_eq!(names(&volume, ROOT), ["f"]);
    let b = Rig::device(2).open();
    exchange(&volume, &b);
    assert_eq!(read(&volume, child(&volume, b"f")), Ok(b"two, longer".to_vec()));
}
