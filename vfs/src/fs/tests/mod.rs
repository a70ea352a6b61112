//! POSIX rules over a volume, without FUSE. Each test plays the kernel: it calls operations and
//! forgets what it was handed.

mod acls;
mod attributes;
mod content;
mod names;
#[path = "../../../tests/support/mod.rs"]
mod support;
mod xattrs;

use std::ops::Deref;
use std::sync::Arc;

use freehold_engine::{Attr, Ino, ROOT};
use tempfile::TempDir;

use self::support::open_volume;
use super::*;

const ROOT_USER: Caller = Caller { uid: 0, gid: 0 };
const USER: Caller = Caller { uid: 1000, gid: 1000 };

/// A filesystem with the directory its volume lives in.
struct Fixture {
    fs: Filesystem,
    _dir: TempDir,
}

impl Deref for Fixture {
    type Target = Filesystem;

    fn deref(&self) -> &Filesystem {
        &self.fs
    }
}

/// A filesystem over a fresh volume.
fn fresh() -> Fixture {
    with(false)
}

/// As [`fresh`], mounted without writeback cache.
fn strict() -> Fixture {
    with(true)
}

fn with(strict: bool) -> Fixture {
    let dir = tempfile::tempdir().expect("a temp dir");
    let volume = open_volume(dir.path());
    Fixture { fs: Filesystem::new(volume, Arc::new(InvalQueue::default()), strict), _dir: dir }
}

/// A mode from a creator without a umask.
fn asks(bits: u32) -> Mode {
    Mode { bits, umask: 0 }
}

fn file(fs: &Filesystem, dir: Ino, name: &str) -> Attr {
    fs.create(USER, dir, name.as_bytes(), asks(0o644), 0).expect("a free name in a live directory")
}

fn dir(fs: &Filesystem, parent: Ino, name: &str) -> Attr {
    fs.mkdir(USER, parent, name.as_bytes(), asks(0o755)).expect("a free name in a live directory")
}

fn write(fs: &Filesystem, ino: Ino, offset: u64, data: &[u8]) {
    let written = fs.write(ino, &Write { offset, data, from_cache: true, kill_suid: false });
    assert_eq!(written, Ok(u32::try_from(data.len()).expect("tests write little")));
}

/// Reads local bytes, which arrive before the call returns.
fn read(fs: &Filesystem, ino: Ino, offset: u64, len: u32) -> Result<Vec<u8>, Errno> {
    let (sender, receiver) = std::sync::mpsc::channel();
    fs.read(ino, offset, len, move |answer| sender.send(answer).expect("the test waits"));
    receiver.recv().expect("exactly one answer").map(|bytes| bytes.to_vec())
}

/// The names of a directory with their cookies, `limit` entries per request.
fn listing(fs: &Filesystem, ino: Ino, limit: usize) -> Vec<(u64, Vec<u8>)> {
    let mut all: Vec<(u64, Vec<u8>)> = Vec::new();
    loop {
        let (offset, before) = (all.last().map_or(0, |entry| entry.0), all.len());
        fs.readdir(ino, offset, |entry| {
            let full = all.len() - before == limit;
            if !full {
                all.push((entry.cookie, entry.name.to_vec()));
            }
            full
        })
        .expect("a directory lists");
        if all.len() == before {
            return all;
        }
    }
}

fn names(fs: &Filesystem, ino: Ino) -> Vec<String> {
    let names = listing(fs, ino, usize::MAX).into_iter().skip(2);
    names.map(|(_, name)| String::from_utf8(name).expect("tests use UTF-8 names here")).collect()
}

#[test]
fn the_root_is_a_directory_that_is_its_own_parent() {
    let fs = fresh();
    assert_eq!(fs.getattr(ROOT).map(|attr| attr.kind), Ok(Kind::Dir));
    let mut dots = Vec::new();
    fs.readdir(ROOT, 0, |entry| {
        dots.push((entry.name.to_vec(), entry.attr.ino));
        false
    })
    .expect("the root lists");
    assert_eq!(dots, [(b".".to_vec(), ROOT), (b"..".to_vec(), ROOT)]);
}

#[test]
fn an_unknown_node_is_stale() {
    let fs = fresh();
    assert_eq!(fs.getattr(99), Err(Errno::STALE));
    assert_eq!(fs.lookup(99, b"a"), Err(Errno::STALE));
    assert_eq!(fs.open(99), Err(Errno::STALE));
    assert_eq!(fs.readdir(99, 0, |_| false), Err(Errno::STALE));
}
