//! Names: links, renames, special files, odd names, big directories.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::fs::{CWD, FileType, Mode, RenameFlags};
use rustix::io::Errno;

use crate::{Mounted, is_root};

fn names(mounted: &Mounted, dir: &str) -> BTreeSet<Vec<u8>> {
    let entries = fs::read_dir(mounted.path(dir)).expect("it lists");
    entries.map(|entry| entry.expect("it lists to the end").file_name().as_bytes().to_vec()).collect()
}

#[test]
fn names_of_255_bytes_newlines_and_invalid_utf8_survive_a_remount() {
    let mut mounted = Mounted::new();
    let odd: [&[u8]; 4] = [&[b'n'; 255], b"two\nlines", b"\xff\xfe", "Ærlig – ☂".as_bytes()];
    for name in odd {
        fs::write(mounted.path(OsStr::from_bytes(name)), name).expect("any bytes but slash and zero");
    }
    let long = mounted.path(OsStr::from_bytes(&[b'n'; 256]));
    assert_eq!(
        File::create(&long).expect_err("too long").raw_os_error(),
        Some(Errno::NAMETOOLONG.raw_os_error())
    );
    assert_eq!(
        fs::metadata(&long).expect_err("too long").raw_os_error(),
        Some(Errno::NAMETOOLONG.raw_os_error())
    );
    mounted = mounted.remount();
    assert_eq!(names(&mounted, ""), odd.iter().map(|name| name.to_vec()).collect());
    for name in odd {
        assert_eq!(fs::read(mounted.path(OsStr::from_bytes(name))).expect("it reads"), name);
    }
}

#[test]
fn a_missing_name_can_be_created_after_it_was_looked_up() {
    let mounted = Mounted::new();
    for _ in 0..2 {
        assert!(!mounted.path("later").exists());
    }
    fs::write(mounted.path("later"), b"x").expect("it writes");
    assert!(mounted.path("later").exists());
    fs::remove_file(mounted.path("later")).expect("it unlinks");
    assert!(!mounted.path("later").exists());
}

#[test]
fn rename_over_an_open_file_keeps_it_readable_without_links() {
    let mounted = Mounted::new();
    fs::write(mounted.path("old"), b"old").expect("it writes");
    fs::write(mounted.path("new"), b"new").expect("it writes");
    let mut open = File::open(mounted.path("old")).expect("it opens");
    fs::rename(mounted.path("new"), mounted.path("old")).expect("it renames");
    assert_eq!(open.metadata().expect("it stats").nlink(), 0);
    let mut text = String::new();
    open.read_to_string(&mut text).expect("it reads");
    assert_eq!(text, "old");
    assert_eq!(fs::read(mounted.path("old")).expect("it reads"), b"new");
    assert_eq!(names(&mounted, ""), BTreeSet::from([b"old".to_vec()]));
}

#[test]
fn rename_flags_reach_the_volume() {
    let mounted = Mounted::new();
    fs::write(mounted.path("a"), b"a").expect("it writes");
    fs::create_dir(mounted.path("d")).expect("it is made");
    let rename = |from: &str, to: &str, flags| {
        rustix::fs::renameat_with(CWD, mounted.path(from), CWD, mounted.path(to), flags)
    };
    assert_eq!(rename("a", "d", RenameFlags::NOREPLACE), Err(Errno::EXIST));
    assert_eq!(rename("a", "b", RenameFlags::NOREPLACE), Ok(()));
    assert_eq!(rename("b", "d", RenameFlags::EXCHANGE), Ok(()));
    assert!(mounted.path("b").is_dir());
    assert_eq!(fs::read(mounted.path("d")).expect("it reads"), b"a");
    assert_eq!(rename("b", "w", RenameFlags::WHITEOUT), Err(Errno::INVAL));
}

#[test]
fn directories_move_with_their_content_and_not_into_themselves() {
    let mut mounted = Mounted::new();
    fs::create_dir_all(mounted.path("a/b/c")).expect("they are made");
    fs::write(mounted.path("a/b/c/f"), b"deep").expect("it writes");
    fs::create_dir(mounted.path("x")).expect("it is made");
    fs::rename(mounted.path("a/b"), mounted.path("x/b")).expect("it moves");
    let into_itself = fs::rename(mounted.path("x"), mounted.path("x/b/x")).expect_err("a loop");
    assert_eq!(into_itself.raw_os_error(), Some(Errno::INVAL.raw_os_error()));
    mounted = mounted.remount();
    assert_eq!(fs::read(mounted.path("x/b/c/f")).expect("it reads"), b"deep");
    let full = fs::remove_dir(mounted.path("x/b")).expect_err("it is not empty");
    assert_eq!(full.raw_os_error(), Some(Errno::NOTEMPTY.raw_os_error()));
}

#[test]
fn hard_links_are_one_file_under_several_names() {
    let mut mounted = Mounted::new();
    fs::write(mounted.path("a"), b"one").expect("it writes");
    fs::create_dir(mounted.path("d")).expect("it is made");
    fs::hard_link(mounted.path("a"), mounted.path("d/b")).expect("it links");
    let (first, second) = (fs::metadata(mounted.path("a")), fs::metadata(mounted.path("d/b")));
    let (first, second) = (first.expect("it stats"), second.expect("it stats"));
    assert_eq!((first.ino(), first.nlink()), (second.ino(), 2));
    fs::write(mounted.path("d/b"), b"two").expect("it writes");
    assert_eq!(fs::read(mounted.path("a")).expect("it reads"), b"two");
    fs::remove_file(mounted.path("a")).expect("it unlinks");
    mounted = mounted.remount();
    assert_eq!(fs::metadata(mounted.path("d/b")).expect("it stats").nlink(), 1);
    assert_eq!(fs::read(mounted.path("d/b")).expect("it reads"), b"two");
}

#[test]
fn symlinks_keep_their_target_to_the_byte() {
    let mut mounted = Mounted::new();
    let target = OsStr::from_bytes(b"no/such/../place\n\xff");
    symlink(target, mounted.path("l")).expect("it is made");
    let long = "t".repeat(4095);
    symlink(&long, mounted.path("long")).expect("it fits");
    mounted = mounted.remount();
    assert_eq!(fs::read_link(mounted.path("l")).expect("it reads").as_os_str(), target);
    assert_eq!(fs::read_link(mounted.path("long")).expect("it reads").as_os_str(), OsStr::new(&long));
    assert_eq!(fs::symlink_metadata(mounted.path("long")).expect("it stats").len(), 4095);
}

#[test]
fn fifos_and_sockets_work_and_device_nodes_keep_their_number() {
    let mounted = Mounted::new();
    let make = |name: &str, kind, dev| rustix::fs::mknodat(CWD, mounted.path(name), kind, Mode::RUSR, dev);
    make("fifo", FileType::Fifo, 0).expect("a fifo");
    assert!(fs::symlink_metadata(mounted.path("fifo")).expect("it stats").file_type().is_fifo());
    let listener = UnixListener::bind(mounted.path("socket")).expect("a socket binds");
    let mut client = UnixStream::connect(mounted.path("socket")).expect("and is reached");
    client.write_all(b"hello").expect("it writes");
    drop(client);
    let mut heard = String::new();
    listener.accept().expect("a connection").0.read_to_string(&mut heard).expect("it reads");
    assert_eq!(heard, "hello");
    if is_root() {
        make("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)).expect("a device node");
        let node = fs::symlink_metadata(mounted.path("null")).expect("it stats");
        assert!(node.file_type().is_char_device());
        assert_eq!(node.rdev(), rustix::fs::makedev(1, 3));
    }
}

#[test]
fn five_thousand_entries_are_listed_completely_while_others_are_deleted() {
    const COUNT: usize = 5_000;
    let mounted = Mounted::new();
    fs::create_dir(mounted.path("d")).expect("it is made");
    for index in 0..COUNT {
        File::create(mounted.path(format!("d/{index:04}"))).expect("it is made");
    }
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(mounted.path("d")).expect("it lists") {
        let name = entry.expect("it lists to the end").file_name();
        // Everything already listed is deleted at once; every other entry must still turn up, once.
        fs::remove_file(mounted.path("d").join(&name)).expect("it is there");
        assert!(seen.insert(name), "an entry came twice");
    }
    assert_eq!(seen.len(), COUNT);
    assert_eq!(names(&mounted, "d"), BTreeSet::new());
    fs::remove_dir(mounted.path("d")).expect("it is empty");
}

#[test]
fn a_removed_working_directory_takes_no_new_names() {
    let mounted = Mounted::new();
    fs::create_dir(mounted.path("d")).expect("it is made");
    let dir = File::open(mounted.path("d")).expect("it opens");
    fs::remove_dir(mounted.path("d")).expect("it is empty");
    let made =
        rustix::fs::openat(&dir, "f", rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY, Mode::RUSR);
    assert_eq!(made.map(drop), Err(Errno::NOENT));
}
