//! Version swaps: open readers keep their file, writers on an old base lose nothing.

use super::remote::{cut_all, exchange, notices_of};
use crate::testing::{Rig, file, names, read};
use crate::{Notice, ROOT, Volume};
use std::sync::Arc;

/// Two devices with one file, known to the kernel of the second.
fn two() -> (Arc<Volume>, Arc<Volume>) {
    let (a, b) = (Rig::device(1).open(), Rig::device(2).open());
    let ino = a.lock().insert(ROOT, b"f", file()).expect("free");
    a.write(ino, 0, b"one").expect("room");
    exchange(&a, &b);
    let there = b.lock().child(ROOT, b"f").expect("came over");
    b.lock().remember(there, 1);
    (a, b)
}

fn write(volume: &Arc<Volume>, name: &[u8], bytes: &[u8]) {
    let ino = volume.lock().child(ROOT, name).expect("there");
    volume.truncate(ino, 0).expect("there");
    volume.write(ino, 0, bytes).expect("room");
}

#[test]
fn a_remote_edit_shows_under_a_new_inode_and_open_readers_keep_the_old_bytes() {
    let (a, b) = two();
    let old = b.lock().child(ROOT, b"f").expect("there");
    b.lock().add_link(old, ROOT, b"hard").expect("free");
    exchange(&b, &a);
    write(&a, b"f", b"two");
    let notices = notices_of(&b, || exchange(&a, &b));
    let new = b.lock().child(ROOT, b"f").expect("there");
    assert_ne!(new, old);
    assert_eq!(b.lock().child(ROOT, b"hard"), Some(new), "every name moves");
    assert_eq!((read(&b, old), read(&b, new)), (Ok(b"one".to_vec()), Ok(b"two".to_vec())));
    assert_eq!(b.lock().attr(old).map(|attr| attr.nlink), Some(0));
    assert_eq!(b.lock().successor(old), new);
    for notice in [
        Notice::Entry { parent: ROOT, name: b"f".to_vec() },
        Notice::Entry { parent: ROOT, name: b"hard".to_vec() },
        Notice::Detached { ino: old },
        Notice::Listing { dir: ROOT },
    ] {
        assert!(notices.contains(&notice), "{notice:?}");
    }
    b.lock().add_link(old, ROOT, b"late").expect("free");
    assert_eq!(b.lock().child(ROOT, b"late"), Some(new), "a link on the old one binds the new one");
    b.lock().forget(old, 1);
    assert_eq!(b.lock().attr(old), None);
}

#[test]
fn a_chmod_from_afar_keeps_the_inode() {
    let (a, b) = two();
    let ino = b.lock().child(ROOT, b"f").expect("there");
    let at_a = a.lock().child(ROOT, b"f").expect("there");
    a.lock().set_mode(at_a, 0o600).expect("there");
    let notices = notices_of(&b, || exchange(&a, &b));
    assert_eq!(b.lock().child(ROOT, b"f"), Some(ino));
    assert_eq!(b.lock().attr(ino).map(|attr| attr.mode), Some(0o600));
    assert_eq!(notices, [Notice::Attr { ino }]);
}

#[test]
fn writes_to_a_replaced_version_become_a_conflict_copy() {
    let (a, b) = two();
    let old = b.lock().child(ROOT, b"f").expect("there");
    write(&a, b"f", b"from a");
    exchange(&a, &b);
    b.write(old, 0, b"late words").expect("still open");
    b.lock().forget(old, 1);
    assert!(b.lock().attr(old).is_some(), "kept until it is cut");
    cut_all(&b);
    assert!(b.lock().attr(old).is_none());
    let shown = names(&b, ROOT);
    assert_eq!(shown.len(), 2, "{shown:?}");
    let contents: Vec<_> = shown
        .iter()
        .map(|name| b.lock().child(ROOT, name.as_bytes()).expect("listed"))
        .map(|ino| read(&b, ino).expect("local"))
        .collect();
    assert!(contents.contains(&b"from a".to_vec()) && contents.contains(&b"late words".to_vec()));
    exchange(&b, &a);
    assert_eq!(names(&a, ROOT), shown, "the same names on every device");
}

#[test]
fn an_edit_under_way_survives_a_remote_edit_and_both_are_kept() {
    let (a, b) = two();
    write(&b, b"f", b"from b");
    write(&a, b"f", b"from a");
    exchange(&a, &b);
    let ino = b.lock().child(ROOT, b"f").expect("there");
    assert_eq!(read(&b, ino), Ok(b"from b".to_vec()), "unsent bytes stay in view");
    exchange(&b, &a);
    exchange(&a, &b);
    assert_eq!(names(&a, ROOT).len(), 2);
    assert_eq!(names(&a, ROOT), names(&b, ROOT));
    for name in names(&a, ROOT) {
        let (x, y) = (a.lock().child(ROOT, name.as_bytes()), b.lock().child(ROOT, name.as_bytes()));
        assert_eq!(read(&a, x.expect("there")), read(&b, y.expect("there")), "{name}");
    }
}

#[test]
fn an_edit_on_an_old_base_survives_a_restart() {
    let rig = Rig::device(2);
    let (a, b) = (Rig::device(1).open(), rig.open());
    let ino = a.lock().insert(ROOT, b"f", file()).expect("free");
    a.write(ino, 0, b"one").expect("room");
    exchange(&a, &b);
    let old = b.lock().child(ROOT, b"f").expect("there");
    b.lock().remember(old, 1);
    write(&a, b"f", b"from a");
    exchange(&a, &b);
    b.write(old, 0, b"late words").expect("still open");
    b.fsync(Some(old)).expect("a healthy disk");
    let b = rig.on(rig.disk.cut(rig.disk.operations(), 0)).open();
    assert_eq!(names(&b, ROOT), ["f"]);
    cut_all(&b);
    assert_eq!(names(&b, ROOT).len(), 2);
}
