//! Extended attributes: spaces, modes, limits.

use freehold_model::limits::{XATTR_TOTAL_BYTES_MAX, XATTR_VALUE_BYTES_MAX};

use super::*;

#[test]
fn user_attributes_are_set_read_listed_and_removed() {
    let fs = fresh();
    let ino = file(&fs, ROOT, "f").ino;
    fs.setxattr(USER, ino, b"user.b", b"2", 0).expect("a free name");
    fs.setxattr(USER, ino, b"user.a", b"", 0).expect("an empty value is a value");
    assert_eq!(fs.getxattr(ino, b"user.a"), Ok(Vec::new()));
    assert_eq!(fs.listxattr(USER, ino), Ok(b"user.a\0user.b\0".to_vec()));
    fs.removexattr(USER, ino, b"user.a").expect("it exists");
    assert_eq!(fs.getxattr(ino, b"user.a"), Err(Errno::NODATA));
    assert_eq!(fs.removexattr(USER, ino, b"user.a"), Err(Errno::NODATA));
}

#[test]
fn create_and_replace_are_told_apart() {
    let fs = fresh();
    let ino = file(&fs, ROOT, "f").ino;
    assert_eq!(fs.setxattr(USER, ino, b"user.a", b"1", libc::XATTR_REPLACE), Err(Errno::NODATA));
    fs.setxattr(USER, ino, b"user.a", b"1", libc::XATTR_CREATE).expect("a free name");
    assert_eq!(fs.setxattr(USER, ino, b"user.a", b"2", libc::XATTR_CREATE), Err(Errno::EXIST));
    fs.setxattr(USER, ino, b"user.a", b"2", libc::XATTR_REPLACE).expect("it exists");
    assert_eq!(fs.getxattr(ino, b"user.a"), Ok(b"2".to_vec()));
    assert_eq!(fs.setxattr(USER, ino, b"user.a", b"3", 64), Err(Errno::INVAL));
}

#[test]
fn trusted_attributes_are_for_root_alone() {
    let fs = fresh();
    let ino = file(&fs, ROOT, "f").ino;
    assert_eq!(fs.setxattr(USER, ino, b"trusted.a", b"1", 0), Err(Errno::PERM));
    fs.setxattr(ROOT_USER, ino, b"trusted.a", b"1", 0).expect("root may");
    assert_eq!(fs.listxattr(USER, ino), Ok(Vec::new()));
    assert_eq!(fs.listxattr(ROOT_USER, ino), Ok(b"trusted.a\0".to_vec()));
    assert_eq!(fs.removexattr(USER, ino, b"trusted.a"), Err(Errno::PERM));
}

#[test]
fn other_spaces_are_not_supported() {
    let fs = fresh();
    let ino = file(&fs, ROOT, "f").ino;
    let names: [&[u8]; 5] = [b"security.capability", b"security.selinux", b"system.foo", b"plain", b"user."];
    for name in names {
        assert_eq!(fs.getxattr(ino, name), Err(Errno::OPNOTSUPP));
        assert_eq!(fs.setxattr(ROOT_USER, ino, name, b"1", 0), Err(Errno::OPNOTSUPP));
        assert_eq!(fs.removexattr(ROOT_USER, ino, name), Err(Errno::OPNOTSUPP));
    }
}

#[test]
fn values_over_the_limit_are_too_big_and_a_full_node_has_no_space() {
    let fs = fresh();
    let ino = file(&fs, ROOT, "f").ino;
    let value = vec![7; XATTR_VALUE_BYTES_MAX];
    assert_eq!(fs.setxattr(USER, ino, b"user.a", &vec![7; XATTR_VALUE_BYTES_MAX + 1], 0), Err(Errno::TOOBIG));
    let fitting = XATTR_TOTAL_BYTES_MAX / (XATTR_VALUE_BYTES_MAX + 6);
    for index in 0..fitting {
        fs.setxattr(USER, ino, format!("user.{index}").as_bytes(), &value, 0).expect("it fits");
    }
    assert_eq!(fs.setxattr(USER, ino, b"user.more", &value, 0), Err(Errno::NOSPC));
    let long = [b"user.".as_slice(), &[b'n'; 251]].concat();
    assert_eq!(fs.setxattr(USER, ino, &long, b"", 0), Err(Errno::RANGE));
}

#[test]
fn user_attributes_are_for_files_and_directories() {
    let fs = fresh();
    let link = fs.symlink(USER, ROOT, b"l", b"t").expect("a free name");
    assert_eq!(fs.setxattr(USER, link.ino, b"user.a", b"1", 0), Err(Errno::PERM));
    fs.setxattr(ROOT_USER, link.ino, b"trusted.a", b"1", 0).expect("root may mark a symlink");
    fs.setxattr(USER, ROOT, b"user.a", b"1", 0).expect("a directory takes one");
}

#[test]
fn freehold_attributes_cannot_be_changed_and_are_not_listed() {
    let fs = fresh();
    let ino = file(&fs, ROOT, "f").ino;
    assert_eq!(fs.setxattr(ROOT_USER, ino, b"user.freehold.state", b"1", 0), Err(Errno::PERM));
    assert_eq!(fs.removexattr(ROOT_USER, ino, b"user.freehold.state"), Err(Errno::PERM));
    assert_eq!(fs.getxattr(ino, b"user.freehold.state"), Ok(b"waiting".to_vec()));
    assert_eq!(fs.getxattr(ino, b"user.freehold.nonsense"), Err(Errno::NODATA));
    assert_eq!(fs.listxattr(ROOT_USER, ino), Ok(Vec::new()));
}

#[test]
fn a_wish_is_inherited_until_a_node_has_its_own() {
    let fs = fresh();
    let folder = dir(&fs, ROOT, "d").ino;
    let below = dir(&fs, folder, "below").ino;
    let ino = file(&fs, below, "f").ino;
    let pin = |ino| fs.getxattr(ino, b"user.freehold.pin");
    assert_eq!(pin(ino), Ok(b"auto".to_vec()));
    fs.setxattr(USER, folder, b"user.freehold.pin", b"always", 0).expect("a known word");
    assert_eq!(pin(ino), Ok(b"always".to_vec()));
    assert_eq!(fs.getxattr(ino, b"user.freehold.residence"), Ok(b"pinned".to_vec()));
    fs.setxattr(USER, below, b"user.freehold.pin", b"never", 0).expect("a known word");
    assert_eq!((pin(ino), pin(folder)), (Ok(b"never".to_vec()), Ok(b"always".to_vec())));
    assert_eq!(fs.getxattr(ino, b"user.freehold.residence"), Ok(b"local".to_vec()));
    assert_eq!(fs.setxattr(USER, ino, b"user.freehold.pin", b"sometimes", 0), Err(Errno::INVAL));
    fs.removexattr(USER, below, b"user.freehold.pin").expect("it has one");
    assert_eq!(pin(ino), Ok(b"always".to_vec()));
    assert_eq!(fs.removexattr(USER, below, b"user.freehold.pin"), Err(Errno::NODATA));
    assert_eq!(
        fs.getxattr(folder, b"user.freehold.residence"),
        Err(Errno::NODATA),
        "a folder has no content"
    );
    assert_eq!(fs.listxattr(ROOT_USER, folder), Ok(Vec::new()));
}
