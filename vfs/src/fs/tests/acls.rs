//! Access lists: what they do to modes, and modes to them.

use super::*;

const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";

/// A list in the kernel's form, from tag, permission and id.
#[expect(clippy::little_endian_bytes, reason = "the kernel's form")]
fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&perm.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

/// Owner, one named user below a mask, group, other.
fn named(owner: u16, user: u16, group: u16, mask: u16, other: u16) -> Vec<u8> {
    let none = u32::MAX;
    list(&[(1, owner, none), (2, user, 1001), (4, group, none), (16, mask, none), (32, other, none)])
}

fn permissions(fs: &Filesystem, ino: Ino) -> u32 {
    fs.getattr(ino).expect("a live node").mode
}

#[test]
fn an_access_list_sets_the_mode_and_a_chmod_shows_in_the_list() {
    let fs = fresh();
    let ino = file(&fs, ROOT, "f").ino;
    assert_eq!(fs.getxattr(ino, ACCESS), Err(Errno::NODATA));
    fs.setxattr(USER, ino, ACCESS, &named(6, 7, 4, 5, 0), 0).expect("a well-formed list");
    assert_eq!(permissions(&fs, ino), 0o650, "the group bits are the mask");
    assert_eq!(fs.getxattr(ino, ACCESS), Ok(named(6, 7, 4, 5, 0)));
    let chmod = SetAttr { mode: Some(0o701), ..SetAttr::default() };
    fs.setattr(USER, ino, &chmod).expect("a live node");
    assert_eq!(fs.getxattr(ino, ACCESS), Ok(named(7, 7, 4, 0, 1)));
    assert_eq!(fs.listxattr(USER, ino), Ok(b"system.posix_acl_access\0".to_vec()));
    fs.removexattr(USER, ino, ACCESS).expect("it exists");
    assert_eq!(fs.getxattr(ino, ACCESS), Err(Errno::NODATA));
}

#[test]
fn a_list_that_a_mode_can_say_is_a_mode() {
    let fs = fresh();
    let ino = file(&fs, ROOT, "f").ino;
    fs.setxattr(USER, ino, ACCESS, &named(6, 7, 4, 5, 0), 0).expect("a well-formed list");
    let plain = list(&[(1, 7, u32::MAX), (4, 1, u32::MAX), (32, 0, u32::MAX)]);
    fs.setxattr(USER, ino, ACCESS, &plain, 0).expect("a well-formed list");
    assert_eq!(permissions(&fs, ino), 0o710);
    assert_eq!(fs.getxattr(ino, ACCESS), Err(Errno::NODATA));
}

#[test]
fn a_default_list_is_inherited_in_place_of_the_umask() {
    let fs = fresh();
    let parent = dir(&fs, ROOT, "d").ino;
    let default = named(7, 5, 5, 7, 4);
    fs.setxattr(USER, parent, DEFAULT, &default, 0).expect("a directory takes one");
    assert_eq!(permissions(&fs, parent), 0o755, "the directory's own mode stays");
    let asked = Mode { bits: 0o666, umask: 0o077 };
    let made = fs.create(USER, parent, b"f", asked, 0).expect("a free name");
    assert_eq!(made.mode, 0o664);
    assert_eq!(fs.getxattr(made.ino, ACCESS), Ok(named(6, 5, 5, 6, 4)));
    assert_eq!(fs.getxattr(made.ino, DEFAULT), Err(Errno::NODATA));
    let below = fs.mkdir(USER, parent, b"below", Mode { bits: 0o777, umask: 0o077 }).expect("a free name");
    assert_eq!(below.mode, 0o774);
    assert_eq!(fs.getxattr(below.ino, DEFAULT), Ok(default));
    let link = fs.symlink(USER, parent, b"l", b"t").expect("a free name");
    assert_eq!((link.mode, fs.getxattr(link.ino, ACCESS)), (0o777, Err(Errno::NODATA)));
}

#[test]
fn without_a_default_list_the_umask_counts() {
    let fs = fresh();
    let made = fs.create(USER, ROOT, b"f", Mode { bits: 0o666, umask: 0o027 }, 0).expect("a free name");
    assert_eq!(made.mode, 0o640);
}

#[test]
fn setting_a_list_takes_sgid_from_who_is_not_in_the_group() {
    let fs = fresh();
    let ino = fs.create(USER, ROOT, b"f", asks(0o2755), 0).expect("a free name").ino;
    fs.setxattr(USER, ino, ACCESS, &named(7, 5, 5, 5, 5), 0).expect("a well-formed list");
    assert_eq!(permissions(&fs, ino), 0o2755);
    let outsider = Caller { uid: 1000, gid: 7 };
    fs.setxattr(outsider, ino, ACCESS, &named(7, 5, 5, 5, 5), 0).expect("the kernel let it pass");
    assert_eq!(permissions(&fs, ino), 0o755);
}

#[test]
fn lists_are_for_what_has_permissions_and_well_formed_ones_only() {
    let fs = fresh();
    let ino = file(&fs, ROOT, "f").ino;
    assert_eq!(fs.setxattr(USER, ino, DEFAULT, &named(7, 5, 5, 7, 4), 0), Err(Errno::ACCESS));
    assert_eq!(fs.setxattr(USER, ino, ACCESS, b"nonsense", 0), Err(Errno::INVAL));
    let link = fs.symlink(USER, ROOT, b"l", b"t").expect("a free name").ino;
    assert_eq!(fs.setxattr(USER, link, ACCESS, &named(7, 5, 5, 7, 4), 0), Err(Errno::OPNOTSUPP));
}
