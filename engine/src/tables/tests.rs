//! The tree in memory: POSIX rules of names, links, listings and lifetimes.

use super::*;
use crate::{NewNode, SetTimes, XattrMode};

struct Counting(u64);

impl Entropy for Counting {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0 += 1;
        buffer.iter_mut().zip(self.0.to_be_bytes().iter().cycle()).for_each(|(to, from)| *to = *from);
    }
}

pub(crate) fn tables() -> Tables {
    let author = Author { device: DeviceId::from_bytes([7; 16]), incarnation: 0 };
    Tables::new(author, Owner { uid: 1000, gid: 1000 }, Time { secs: 100, nanos: 0 }, Box::new(Counting(0)))
}

fn new(kind: Kind) -> NewNode {
    NewNode { kind, mode: 0o644, uid: 1, gid: 2, rdev: 0, target: None }
}

#[test]
fn a_created_name_leads_to_its_node() {
    let mut tables = tables();
    let ino = tables.insert(ROOT, b"a", new(Kind::File)).expect("free");
    assert_eq!(tables.child(ROOT, b"a"), Some(ino));
    assert_eq!(tables.insert(ROOT, b"a", new(Kind::File)), Err(FsError::Exists));
    assert_eq!(tables.attr(ino).map(|attr| (attr.nlink, attr.mode, attr.uid)), Some((1, 0o644, 1)));
}

#[test]
fn bad_names_are_refused() {
    let mut tables = tables();
    for (name, error) in [
        (&b""[..], FsError::Invalid),
        (b"..", FsError::Invalid),
        (b"a/b", FsError::Invalid),
        (&[b'x'; 256], FsError::NameTooLong),
    ] {
        assert_eq!(tables.insert(ROOT, name, new(Kind::File)), Err(error));
    }
    assert!(tables.insert(ROOT, &[b'x'; 255], new(Kind::File)).is_ok());
}

#[test]
fn link_count_is_zero_after_the_last_unlink_and_the_node_stays_until_forgotten() {
    let mut tables = tables();
    let ino = tables.insert(ROOT, b"a", new(Kind::File)).expect("free");
    tables.remember(ino, 2);
    tables.add_link(ino, ROOT, b"b").expect("free");
    assert_eq!(tables.attr(ino).map(|attr| attr.nlink), Some(2));
    tables.remove_link(ROOT, b"a").expect("there");
    tables.remove_link(ROOT, b"b").expect("there");
    assert_eq!(tables.attr(ino).map(|attr| attr.nlink), Some(0));
    assert_eq!(tables.add_link(ino, ROOT, b"c"), Err(FsError::NotFound));
    tables.forget(ino, 1);
    assert!(tables.attr(ino).is_some());
    tables.forget(ino, 1);
    assert!(tables.attr(ino).is_none());
}

#[test]
fn rename_over_replaces_in_one_step_and_names_the_victim() {
    let mut tables = tables();
    let (a, b) = (
        tables.insert(ROOT, b"a", new(Kind::File)).expect("free"),
        tables.insert(ROOT, b"b", new(Kind::File)).expect("free"),
    );
    tables.remember(b, 1);
    assert_eq!(tables.move_link(ROOT, b"a", ROOT, b"b"), Ok(Some(b)));
    assert_eq!((tables.child(ROOT, b"a"), tables.child(ROOT, b"b")), (None, Some(a)));
    assert_eq!(tables.attr(b).map(|attr| attr.nlink), Some(0));
}

#[test]
fn a_directory_never_moves_below_itself() {
    let mut tables = tables();
    let a = tables.insert(ROOT, b"a", new(Kind::Dir)).expect("free");
    let b = tables.insert(a, b"b", new(Kind::Dir)).expect("free");
    assert_eq!(tables.move_link(ROOT, b"a", b, b"x"), Err(FsError::Invalid));
    assert_eq!(tables.exchange(ROOT, b"a", a, b"b"), Err(FsError::Invalid));
    assert_eq!(tables.attr(ROOT).map(|attr| attr.nlink), Some(3));
}

#[test]
fn a_listing_continues_after_any_cookie_while_entries_come_and_go() {
    let mut tables = tables();
    for i in 0..10u8 {
        tables.insert(ROOT, &[b'a' + i], new(Kind::File)).expect("free");
    }
    let mut seen = Vec::new();
    let mut cookie = 0;
    tables.list(ROOT, 0, |at, name, _| {
        seen.push(name.to_vec());
        cookie = at;
        if seen.len() == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    tables.remove_link(ROOT, b"b").expect("there");
    tables.remove_link(ROOT, b"f").expect("there");
    tables.insert(ROOT, b"z", new(Kind::File)).expect("free");
    tables.list(ROOT, cookie, |_, name, _| {
        seen.push(name.to_vec());
        ControlFlow::Continue(())
    });
    let expected: Vec<Vec<u8>> = b"abcdeghijz".iter().map(|byte| vec![*byte]).collect();
    assert_eq!(seen, expected);
}

#[test]
fn directory_times_follow_changes_of_their_entries() {
    let mut tables = tables();
    tables.now = Time { secs: 200, nanos: 5 };
    tables.insert(ROOT, b"a", new(Kind::File)).expect("free");
    assert_eq!(tables.attr(ROOT).map(|attr| attr.mtime), Some(Time { secs: 200, nanos: 5 }));
}

#[test]
fn times_are_kept_as_given() {
    let mut tables = tables();
    let ino = tables.insert(ROOT, b"a", new(Kind::File)).expect("free");
    let mtime = Time { secs: -2, nanos: 500_000_000 };
    tables.set_times(ino, SetTimes { mtime: Some(mtime), ..SetTimes::default() }).expect("there");
    assert_eq!(tables.attr(ino).map(|attr| attr.mtime), Some(mtime));
}

#[test]
fn xattr_modes_are_obeyed() {
    let mut tables = tables();
    assert_eq!(tables.set_xattr(ROOT, b"user.a", b"1", XattrMode::Replace), Err(FsError::NoXattr));
    tables.set_xattr(ROOT, b"user.a", b"1", XattrMode::Create).expect("new");
    assert_eq!(tables.set_xattr(ROOT, b"user.a", b"2", XattrMode::Create), Err(FsError::XattrExists));
    tables.set_xattr(ROOT, b"user.a", b"2", XattrMode::Set).expect("any");
    assert_eq!(tables.xattr(ROOT, b"user.a"), Some(b"2".to_vec()));
    assert_eq!(
        tables.set_xattr(ROOT, b"user.b", &vec![0; 20_000], XattrMode::Set),
        Err(FsError::XattrTooBig)
    );
    tables.remove_xattr(ROOT, b"user.a").expect("there");
    assert_eq!(tables.remove_xattr(ROOT, b"user.a"), Err(FsError::NoXattr));
}
