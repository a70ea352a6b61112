//! Names: create, link, unlink, rename, list.

use super::*;

fn rename(fs: &Filesystem, from: (Ino, &str), to: (Ino, &str), flags: u32) -> Result<(), Errno> {
    fs.rename(&Rename { from: (from.0, from.1.as_bytes()), to: (to.0, to.1.as_bytes()), flags })
}

fn child(fs: &Filesystem, dir: Ino, name: &str) -> Option<Ino> {
    fs.lookup(dir, name.as_bytes()).expect("the parent is a directory").map(|attr| attr.ino)
}

#[test]
fn a_name_of_255_bytes_fits_and_256_is_too_long_everywhere() {
    let fs = fresh();
    let (fits, long) = ("é".repeat(127) + "x", "x".repeat(256));
    let made = file(&fs, ROOT, &fits);
    assert_eq!(child(&fs, ROOT, &fits), Some(made.ino));
    let long = long.as_bytes();
    assert_eq!(fs.lookup(ROOT, long), Err(Errno::NAMETOOLONG));
    assert_eq!(fs.create(USER, ROOT, long, asks(0o644), 0), Err(Errno::NAMETOOLONG));
    assert_eq!(fs.mkdir(USER, ROOT, long, asks(0o755)), Err(Errno::NAMETOOLONG));
    assert_eq!(fs.symlink(USER, ROOT, long, b"t"), Err(Errno::NAMETOOLONG));
    assert_eq!(fs.link(made.ino, ROOT, long), Err(Errno::NAMETOOLONG));
    let too_long = Rename { from: (ROOT, fits.as_bytes()), to: (ROOT, long), flags: 0 };
    assert_eq!(fs.rename(&too_long), Err(Errno::NAMETOOLONG));
}

#[test]
fn names_are_bytes_with_newlines_and_invalid_utf8() {
    let fs = fresh();
    for name in [b"a\nb".as_slice(), b"\xff\xfe", b" ", b"-rf"] {
        let made = fs.create(USER, ROOT, name, asks(0o644), 0).expect("any bytes but slash and zero");
        assert_eq!(fs.lookup(ROOT, name).map(|found| found.map(|attr| attr.ino)), Ok(Some(made.ino)));
    }
}

#[test]
fn exclusive_create_refuses_a_name_that_appeared_meanwhile_and_plain_create_opens_it() {
    let fs = fresh();
    let made = file(&fs, ROOT, "a");
    write(&fs, made.ino, 0, b"abc");
    assert_eq!(fs.create(USER, ROOT, b"a", asks(0o600), libc::O_EXCL), Err(Errno::EXIST));
    let opened = fs.create(USER, ROOT, b"a", asks(0o600), 0).expect("it is opened");
    assert_eq!((opened.ino, opened.size, opened.mode), (made.ino, 3, 0o644));
    let emptied = fs.create(USER, ROOT, b"a", asks(0o600), libc::O_TRUNC).expect("it is opened and cut");
    assert_eq!((emptied.ino, emptied.size), (made.ino, 0));
    dir(&fs, ROOT, "d");
    assert_eq!(fs.create(USER, ROOT, b"d", asks(0o600), 0), Err(Errno::ISDIR));
}

#[test]
fn new_nodes_belong_to_the_caller_and_in_a_sgid_directory_to_its_group() {
    let fs = fresh();
    let shared = fs.mkdir(Caller { uid: 1, gid: 50 }, ROOT, b"s", asks(0o2775)).expect("a free name");
    let made = file(&fs, shared.ino, "f");
    assert_eq!((made.uid, made.gid, made.mode), (1000, 50, 0o644));
    let below = dir(&fs, shared.ino, "d");
    assert_eq!((below.gid, below.mode), (50, 0o2755));
    let plain = file(&fs, ROOT, "f");
    assert_eq!((plain.uid, plain.gid), (1000, 1000));
}

#[test]
fn device_nodes_are_for_root_and_keep_their_number() {
    let fs = fresh();
    assert_eq!(fs.mknod(USER, ROOT, b"c", asks(libc::S_IFCHR | 0o600), 0x103), Err(Errno::PERM));
    assert_eq!(fs.mknod(USER, ROOT, b"b", asks(libc::S_IFBLK | 0o600), 0x800), Err(Errno::PERM));
    let null = fs.mknod(ROOT_USER, ROOT, b"c", asks(libc::S_IFCHR | 0o666), 0x103).expect("root may");
    assert_eq!((null.kind, null.rdev, null.mode), (Kind::Char, 0x103, 0o666));
    for (name, kind, expected) in [
        (b"p", libc::S_IFIFO, Kind::Fifo),
        (b"s", libc::S_IFSOCK, Kind::Socket),
        (b"f", libc::S_IFREG, Kind::File),
    ] {
        let made = fs.mknod(USER, ROOT, name, asks(kind | 0o640), 7).expect("anybody may");
        assert_eq!((made.kind, made.rdev, made.mode), (expected, 0, 0o640));
    }
    assert_eq!(fs.mknod(ROOT_USER, ROOT, b"d", asks(libc::S_IFDIR | 0o700), 0), Err(Errno::INVAL));
}

#[test]
fn symlinks_hold_4095_bytes_and_no_more() {
    let fs = fresh();
    let target = vec![b't'; 4095];
    let made = fs.symlink(USER, ROOT, b"l", &target).expect("it fits");
    assert_eq!((made.kind, made.size, made.mode), (Kind::Symlink, 4095, 0o777));
    assert_eq!(fs.readlink(made.ino), Ok(target));
    assert_eq!(fs.symlink(USER, ROOT, b"m", &[b't'; 4096]), Err(Errno::NAMETOOLONG));
    assert_eq!(fs.readlink(ROOT), Err(Errno::INVAL));
}

#[test]
fn hard_links_share_the_node_and_directories_have_none() {
    let fs = fresh();
    let made = file(&fs, ROOT, "a");
    let sub = dir(&fs, ROOT, "d");
    let linked = fs.link(made.ino, sub.ino, b"b").expect("a free name");
    assert_eq!((linked.ino, linked.nlink), (made.ino, 2));
    assert_eq!(fs.link(made.ino, ROOT, b"a"), Err(Errno::EXIST));
    assert_eq!(fs.link(sub.ino, ROOT, b"e"), Err(Errno::PERM));
    fs.unlink(ROOT, b"a").expect("one of two names");
    assert_eq!(fs.getattr(made.ino).map(|attr| attr.nlink), Ok(1));
}

#[test]
fn an_unlinked_node_stays_readable_until_the_kernel_forgets_it() {
    let fs = fresh();
    let made = file(&fs, ROOT, "a");
    write(&fs, made.ino, 0, b"still here");
    fs.unlink(ROOT, b"a").expect("it exists");
    assert_eq!(fs.getattr(made.ino).map(|attr| attr.nlink), Ok(0));
    write(&fs, made.ino, 6, b"there");
    assert_eq!(read(&fs, made.ino, 0, 64), Ok(b"still there".to_vec()));
    assert_eq!(fs.link(made.ino, ROOT, b"b"), Err(Errno::NOENT));
    fs.forget(made.ino, 1);
    assert_eq!(fs.getattr(made.ino), Err(Errno::STALE));
}

#[test]
fn each_answer_counts_one_reference_and_listings_count_only_what_was_taken() {
    let fs = fresh();
    let made = file(&fs, ROOT, "a");
    let other = file(&fs, ROOT, "b");
    fs.lookup(ROOT, b"a").expect("it exists");
    let mut seen = 0;
    fs.readdirplus(ROOT, 0, |entry| {
        seen += 1;
        entry.name == b"b"
    })
    .expect("the root lists");
    assert_eq!(seen, 4);
    fs.unlink(ROOT, b"a").expect("it exists");
    fs.unlink(ROOT, b"b").expect("it exists");
    fs.forget(made.ino, 2);
    assert!(fs.getattr(made.ino).is_ok(), "create, lookup and listing make three");
    fs.forget(made.ino, 1);
    assert_eq!(fs.getattr(made.ino), Err(Errno::STALE));
    fs.forget(other.ino, 1);
    assert_eq!(fs.getattr(other.ino), Err(Errno::STALE), "the entry that did not fit was not counted");
}

#[test]
fn unlink_and_rmdir_refuse_the_other_kind_and_full_directories() {
    let fs = fresh();
    file(&fs, ROOT, "f");
    let sub = dir(&fs, ROOT, "d");
    file(&fs, sub.ino, "inside");
    assert_eq!(fs.unlink(ROOT, b"d"), Err(Errno::ISDIR));
    assert_eq!(fs.rmdir(ROOT, b"f"), Err(Errno::NOTDIR));
    assert_eq!(fs.rmdir(ROOT, b"d"), Err(Errno::NOTEMPTY));
    assert_eq!(fs.rmdir(ROOT, b"none"), Err(Errno::NOENT));
    assert_eq!(fs.unlink(ROOT, b"none"), Err(Errno::NOENT));
    fs.unlink(sub.ino, b"inside").expect("it exists");
    fs.rmdir(ROOT, b"d").expect("it is empty");
    assert_eq!(fs.getattr(sub.ino).map(|attr| attr.nlink), Ok(0));
    assert_eq!(
        fs.create(USER, sub.ino, b"late", asks(0o644), 0),
        Err(Errno::NOENT),
        "a removed directory takes nothing"
    );
    assert_eq!(fs.getattr(ROOT).map(|attr| attr.nlink), Ok(2));
}

#[test]
fn rename_replaces_what_is_in_the_way_and_the_replaced_node_has_no_links() {
    let fs = fresh();
    let (a, b) = (file(&fs, ROOT, "a"), file(&fs, ROOT, "b"));
    rename(&fs, (ROOT, "a"), (ROOT, "b"), 0).expect("both are files");
    assert_eq!(child(&fs, ROOT, "b"), Some(a.ino));
    assert_eq!(child(&fs, ROOT, "a"), None);
    assert_eq!(fs.getattr(b.ino).map(|attr| attr.nlink), Ok(0));
}

#[test]
fn rename_between_names_of_one_file_leaves_both() {
    let fs = fresh();
    let made = file(&fs, ROOT, "a");
    fs.link(made.ino, ROOT, b"b").expect("a free name");
    rename(&fs, (ROOT, "a"), (ROOT, "b"), 0).expect("POSIX says: do nothing, successfully");
    assert_eq!(names(&fs, ROOT), ["a", "b"]);
}

#[test]
fn rename_checks_kinds_emptiness_and_loops() {
    let fs = fresh();
    let (d, e) = (dir(&fs, ROOT, "d"), dir(&fs, ROOT, "e"));
    let inner = dir(&fs, d.ino, "inner");
    file(&fs, ROOT, "f");
    file(&fs, e.ino, "x");
    assert_eq!(rename(&fs, (ROOT, "f"), (ROOT, "d"), 0), Err(Errno::ISDIR));
    assert_eq!(rename(&fs, (ROOT, "d"), (ROOT, "f"), 0), Err(Errno::NOTDIR));
    assert_eq!(rename(&fs, (ROOT, "d"), (ROOT, "e"), 0), Err(Errno::NOTEMPTY));
    assert_eq!(rename(&fs, (ROOT, "d"), (inner.ino, "loop"), 0), Err(Errno::INVAL));
    assert_eq!(rename(&fs, (ROOT, "none"), (ROOT, "z"), 0), Err(Errno::NOENT));
    fs.unlink(e.ino, b"x").expect("it exists");
    rename(&fs, (ROOT, "d"), (ROOT, "e"), 0).expect("an empty directory gives way");
    assert_eq!(child(&fs, ROOT, "e"), Some(d.ino));
}

#[test]
fn rename_flags_are_obeyed_and_unknown_ones_refused() {
    let fs = fresh();
    let (a, d) = (file(&fs, ROOT, "a"), dir(&fs, ROOT, "d"));
    let inner = dir(&fs, d.ino, "inner");
    assert_eq!(rename(&fs, (ROOT, "a"), (ROOT, "d"), libc::RENAME_NOREPLACE), Err(Errno::EXIST));
    rename(&fs, (ROOT, "a"), (ROOT, "b"), libc::RENAME_NOREPLACE).expect("the name is free");
    rename(&fs, (ROOT, "b"), (ROOT, "d"), libc::RENAME_EXCHANGE).expect("kinds may differ");
    assert_eq!((child(&fs, ROOT, "b"), child(&fs, ROOT, "d")), (Some(d.ino), Some(a.ino)));
    assert_eq!(rename(&fs, (ROOT, "b"), (ROOT, "none"), libc::RENAME_EXCHANGE), Err(Errno::NOENT));
    assert_eq!(rename(&fs, (ROOT, "b"), (d.ino, "inner"), libc::RENAME_EXCHANGE), Err(Errno::INVAL));
    assert_eq!(child(&fs, d.ino, "inner"), Some(inner.ino));
    assert_eq!(rename(&fs, (ROOT, "b"), (ROOT, "w"), libc::RENAME_WHITEOUT), Err(Errno::INVAL));
    let both = libc::RENAME_NOREPLACE | libc::RENAME_EXCHANGE;
    assert_eq!(rename(&fs, (ROOT, "b"), (ROOT, "d"), both), Err(Errno::INVAL));
}

#[test]
fn moving_a_directory_changes_its_parent_and_both_link_counts() {
    let fs = fresh();
    let (a, b) = (dir(&fs, ROOT, "a"), dir(&fs, ROOT, "b"));
    let moved = dir(&fs, a.ino, "m");
    rename(&fs, (a.ino, "m"), (b.ino, "m"), 0).expect("the name is free");
    let links = |ino| fs.getattr(ino).map(|attr| attr.nlink);
    assert_eq!((links(a.ino), links(b.ino)), (Ok(2), Ok(3)));
    let mut above = None;
    fs.readdir(moved.ino, 1, |entry| {
        above = Some((entry.name.to_vec(), entry.attr.ino));
        false
    })
    .expect("it lists");
    assert_eq!(above, Some((b"..".to_vec(), b.ino)));
}

#[test]
fn a_listing_in_small_pieces_survives_deletion_of_what_it_has_passed() {
    let fs = fresh();
    for index in 0..50 {
        file(&fs, ROOT, &format!("f{index}"));
    }
    let mut seen = Vec::new();
    let mut offset = 0;
    loop {
        let mut page = Vec::new();
        fs.readdir(ROOT, offset, |entry| {
            let full = page.len() == 7;
            if !full {
                page.push((entry.cookie, entry.name.to_vec()));
            }
            full
        })
        .expect("the root lists");
        let Some(last) = page.last() else { break };
        offset = last.0;
        for (_, name) in page.into_iter().filter(|(_, name)| name.len() > 2 || name[0] == b'f') {
            fs.unlink(ROOT, &name).expect("listed and not yet deleted");
            seen.push(String::from_utf8(name).expect("test names are ASCII"));
        }
        file(&fs, ROOT, &format!("late{offset}"));
        fs.unlink(ROOT, format!("late{offset}").as_bytes()).expect("just made");
    }
    seen.sort();
    let mut expected: Vec<String> = (0..50).map(|index| format!("f{index}")).collect();
    expected.sort();
    assert_eq!(seen, expected);
    assert_eq!(names(&fs, ROOT), Vec::<String>::new());
}

#[test]
fn listing_pieces_of_one_entry_equal_the_whole() {
    let fs = fresh();
    for name in ["a", "b", "c"] {
        file(&fs, ROOT, name);
    }
    assert_eq!(listing(&fs, ROOT, 1), listing(&fs, ROOT, usize::MAX));
    assert_eq!(fs.readdir(file(&fs, ROOT, "f").ino, 0, |_| false), Err(Errno::NOTDIR));
}
