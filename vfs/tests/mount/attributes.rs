//! Attributes: modes, owners, times, extended attributes, totals.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use freehold_vfs::MountOptions;

use crate::{Mounted, is_root};

fn mode(mounted: &Mounted, name: &str) -> u32 {
    fs::metadata(mounted.path(name)).expect("it stats").mode() & 0o7777
}

fn chmod(mounted: &Mounted, name: &str, mode: u32) {
    fs::set_permissions(mounted.path(name), fs::Permissions::from_mode(mode)).expect("the owner may");
}

/// Modification time to the nanosecond.
fn mtime(mounted: &Mounted, name: &str) -> (i64, i64) {
    let metadata = fs::symlink_metadata(mounted.path(name)).expect("it stats");
    (metadata.mtime(), metadata.mtime_nsec())
}

fn set_times(mounted: &Mounted, name: &str, atime: Timespec, mtime: Timespec) {
    let times = Timestamps { last_access: atime, last_modification: mtime };
    rustix::fs::utimensat(CWD, mounted.path(name), &times, AtFlags::SYMLINK_NOFOLLOW).expect("the owner may");
}

#[test]
fn modes_survive_a_remount() {
    let mut mounted = Mounted::new();
    fs::write(mounted.path("f"), b"x").expect("it writes");
    fs::create_dir(mounted.path("d")).expect("it is made");
    chmod(&mounted, "f", 0o4751);
    chmod(&mounted, "d", 0o1777);
    mounted = mounted.remount();
    assert_eq!((mode(&mounted, "f"), mode(&mounted, "d")), (0o4751, 0o1777));
}

#[test]
fn times_are_kept_to_the_nanosecond_also_before_1970_and_for_symlinks() {
    let mut mounted = Mounted::new();
    fs::write(mounted.path("f"), b"x").expect("it writes");
    fs::create_dir(mounted.path("d")).expect("it is made");
    std::os::unix::fs::symlink("t", mounted.path("l")).expect("it is made");
    let access = Timespec { tv_sec: 5, tv_nsec: 6 };
    let times = [("f", (-2, 500_000_000)), ("d", (4_102_444_800, 123_456_789)), ("l", (-1, 1))];
    for (name, (tv_sec, tv_nsec)) in times {
        set_times(&mounted, name, access, Timespec { tv_sec, tv_nsec });
    }
    for _ in 0..2 {
        for (name, expected) in times {
            assert_eq!(mtime(&mounted, name), expected);
        }
        mounted = mounted.remount();
    }
    let metadata = fs::metadata(mounted.path("f")).expect("it stats");
    assert_eq!((metadata.atime(), metadata.atime_nsec()), (5, 6));
}

#[test]
fn omitted_times_stay_and_now_is_now() {
    let mounted = Mounted::new();
    fs::write(mounted.path("f"), b"x").expect("it writes");
    let old = Timespec { tv_sec: 1_000, tv_nsec: 0 };
    set_times(&mounted, "f", old, old);
    let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    set_times(&mounted, "f", now, omit);
    let metadata = fs::metadata(mounted.path("f")).expect("it stats");
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_000, 0));
    assert!(metadata.atime() > 1_000_000_000);
}

#[test]
fn times_set_after_a_write_are_not_overtaken_by_its_late_pages() {
    let mut mounted = Mounted::new();
    fs::write(mounted.path("f"), b"written first").expect("it writes");
    let old = Timespec { tv_sec: 1_234_567_890, tv_nsec: 42 };
    set_times(&mounted, "f", old, old);
    let file = File::options().write(true).open(mounted.path("f")).expect("it opens");
    file.sync_all().expect("fsync");
    drop(file);
    mounted = mounted.remount();
    assert_eq!(mtime(&mounted, "f"), (1_234_567_890, 42));
}

#[test]
fn writing_moves_mtime_in_the_volume_too() {
    let mut mounted = Mounted::new();
    fs::write(mounted.path("f"), b"x").expect("it writes");
    let old = Timespec { tv_sec: 1_000, tv_nsec: 0 };
    set_times(&mounted, "f", old, old);
    fs::write(mounted.path("f"), b"y").expect("it writes");
    let seen = mtime(&mounted, "f");
    assert!(seen.0 > 1_000_000_000);
    mounted = mounted.remount();
    assert_eq!(mtime(&mounted, "f"), seen);
}

#[test]
fn chown_by_root_changes_owners_and_drops_set_id_bits() {
    if !is_root() {
        // Nobody else may give files away; the unit tests cover the rule.
        return;
    }
    let mut mounted = Mounted::new();
    fs::write(mounted.path("program"), b"#!/bin/sh\n").expect("it writes");
    chmod(&mounted, "program", 0o6755);
    chown(mounted.path("program"), Some(1234), Some(5678)).expect("root may");
    mounted = mounted.remount();
    let metadata = fs::metadata(mounted.path("program")).expect("it stats");
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (1234, 5678, 0o755));
}

#[test]
fn a_write_by_somebody_unprivileged_drops_set_id_bits() {
    if !is_root() {
        // Taking another user's identity needs root; the unit tests cover the rule.
        return;
    }
    let mounted = Mounted::with(&MountOptions { allow_other: true, ..Default::default() });
    chmod(&mounted, "", 0o777);
    // The path to the mount leads through the test's own directory, which others may not search.
    let above = mounted.point.parent().expect("a temp dir");
    fs::set_permissions(above, fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::write(mounted.path("program"), b"#!/bin/sh\n").expect("it writes");
    chmod(&mounted, "program", 0o6777);
    let status = {
        use std::os::unix::process::CommandExt;
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg("printf x >> \"$0\"").arg(mounted.path("program")).uid(65_534).gid(65_534);
        shell.status().expect("a shell runs")
    };
    assert!(status.success());
    assert_eq!(mode(&mounted, "program"), 0o777);
}

#[test]
fn extended_attributes_survive_a_remount() {
    let mounted = Mounted::new();
    fs::write(mounted.path("f"), b"x").expect("it writes");
    let set = |name: &str, value: &[u8], flags| rustix::fs::setxattr(mounted.path("f"), name, value, flags);
    set("user.a", b"one", XattrFlags::CREATE).expect("a free name");
    assert_eq!(set("user.a", b"two", XattrFlags::CREATE), Err(Errno::EXIST));
    assert_eq!(set("user.b", b"two", XattrFlags::REPLACE), Err(Errno::NODATA));
    set("user.a", b"three", XattrFlags::REPLACE).expect("it exists");
    set("user.empty", b"", XattrFlags::empty()).expect("an empty value");
    let big = vec![7; 16 * 1024];
    set("user.big", &big, XattrFlags::empty()).expect("it fits");
    let mounted = mounted.remount();
    let path = mounted.path("f");
    let get = |name: &str, buffer: &mut [u8]| rustix::fs::getxattr(&path, name, buffer);
    let mut buffer = vec![0; 64 * 1024];
    let len = get("user.a", &mut buffer).expect("it is there");
    assert_eq!(&buffer[..len], b"three");
    assert_eq!(get("user.big", &mut buffer).map(|len| buffer[..len] == big), Ok(true));
    assert_eq!(get("user.a", &mut [0; 2]), Err(Errno::RANGE));
    assert_eq!(get("user.none", &mut buffer), Err(Errno::NODATA));
    let len = rustix::fs::listxattr(&path, buffer.as_mut_slice()).expect("it lists");
    assert_eq!(&buffer[..len], b"user.a\0user.big\0user.empty\0");
    rustix::fs::removexattr(&path, "user.a").expect("it is there");
    assert_eq!(get("user.a", &mut buffer), Err(Errno::NODATA));
}

/// An access list in the kernel's form: owner, one named user, group, mask, other.
#[expect(clippy::little_endian_bytes, reason = "the kernel's form")]
fn access_list(owner: u16, user: (u32, u16), group: u16, mask: u16, other: u16) -> Vec<u8> {
    let none = u32::MAX;
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, perm, id) in
        [(1, owner, none), (2, user.1, user.0), (4, group, none), (16, mask, none), (32, other, none)]
    {
        bytes.extend_from_slice(&u16::to_le_bytes(tag));
        bytes.extend_from_slice(&perm.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

#[test]
fn the_kernel_enforces_access_lists_and_applies_default_ones() {
    if !is_root() {
        return;
    }
    const GUEST: u32 = 1001;
    let mounted = Mounted::with(&MountOptions { allow_other: true, ..MountOptions::default() });
    for dir in [mounted.dir.path(), &mounted.point] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).expect("the owner may");
    }
    let reads = |name: &str| {
        let cat = Command::new("cat").arg(mounted.path(name)).uid(GUEST).gid(GUEST).output();
        cat.expect("cat runs").status.success()
    };
    fs::write(mounted.path("f"), b"x").expect("it writes");
    chmod(&mounted, "f", 0o600);
    assert!(!reads("f"));
    let set = |name: &str, list: &str, value: &[u8]| {
        rustix::fs::setxattr(mounted.path(name), list, value, XattrFlags::empty())
    };
    set("f", "system.posix_acl_access", &access_list(6, (GUEST, 4), 0, 4, 0)).expect("the owner may");
    assert_eq!(mode(&mounted, "f"), 0o640);
    assert!(reads("f"), "the list names the guest");
    chmod(&mounted, "f", 0o600);
    assert!(!reads("f"), "chmod has closed the mask");

    fs::create_dir(mounted.path("d")).expect("it is made");
    chmod(&mounted, "d", 0o711);
    set("d", "system.posix_acl_default", &access_list(7, (GUEST, 4), 0, 4, 0)).expect("the owner may");
    let made =
        Command::new("sh").arg("-c").arg("umask 077; echo x > d/new").current_dir(&mounted.point).status();
    assert!(made.expect("sh runs").success());
    assert_eq!(mode(&mounted, "d/new"), 0o640, "the default list takes the place of the umask");
    assert!(reads("d/new"));
    assert!(set("f", "system.posix_acl_default", &access_list(7, (GUEST, 4), 0, 4, 0)).is_err());
    let mounted = mounted.remount();
    let mut buffer = [0; 64];
    let len = rustix::fs::getxattr(mounted.path("d/new"), "system.posix_acl_access", &mut buffer);
    assert_eq!(len.map(|len| buffer[..len].to_vec()), Ok(access_list(6, (GUEST, 4), 0, 4, 0)));
}

#[test]
fn foreign_attribute_spaces_are_not_supported() {
    let mounted = Mounted::new();
    fs::write(mounted.path("f"), b"x").expect("it writes");
    let get = |name: &str| rustix::fs::getxattr(mounted.path("f"), name, &mut [0_u8; 64]);
    assert_eq!(get("system.posix_acl_access"), Err(Errno::NODATA));
    assert_eq!(get("security.selinux"), Err(Errno::OPNOTSUPP));
}

#[test]
fn statfs_names_the_limits() {
    let mounted = Mounted::new();
    let totals = rustix::fs::statvfs(&mounted.point).expect("it answers");
    assert_eq!((totals.f_namemax, totals.f_frsize), (255, 4096));
    assert!(totals.f_ffree > 0);
}

#[test]
fn terminals_are_denied_at_once() {
    let mounted = Mounted::new();
    let file = File::create(mounted.path("f")).expect("it is made");
    assert_eq!(rustix::termios::tcgetattr(&file).map(drop), Err(Errno::NOTTY));
}
