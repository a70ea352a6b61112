//! Attributes: modes, owners, set-id bits, times.

use freehold_engine::Time;

use super::*;

const LONG_AGO: Time = Time { secs: -2, nanos: 500_000_000 };

fn set(fs: &Filesystem, caller: Caller, ino: Ino, set: SetAttr) -> Attr {
    fs.setattr(caller, ino, &set).expect("the node exists and takes the change")
}

/// A program with both set-id bits.
fn program(fs: &Filesystem, mode: u32) -> Ino {
    let made = file(fs, ROOT, "program");
    write(fs, made.ino, 0, b"#!/bin/sh\n");
    set(fs, USER, made.ino, SetAttr { mode: Some(mode), ..SetAttr::default() });
    made.ino
}

fn mode(fs: &Filesystem, ino: Ino) -> u32 {
    fs.getattr(ino).expect("the node exists").mode
}

#[test]
fn chmod_keeps_all_twelve_bits() {
    let fs = fresh();
    let made = file(&fs, ROOT, "f");
    let after = set(&fs, USER, made.ino, SetAttr { mode: Some(0o107_751), ..SetAttr::default() });
    assert_eq!(after.mode, 0o7751);
}

#[test]
fn an_empty_setattr_drops_set_id_bits() {
    let fs = fresh();
    let program = program(&fs, 0o6755);
    set(&fs, USER, program, SetAttr::default());
    assert_eq!(mode(&fs, program), 0o755);
}

#[test]
fn sgid_without_group_execution_is_a_locking_mark_and_stays() {
    let fs = fresh();
    let program = program(&fs, 0o6745);
    set(&fs, USER, program, SetAttr::default());
    assert_eq!(mode(&fs, program), 0o2745);
}

#[test]
fn a_write_marked_so_drops_set_id_bits_and_others_do_not() {
    let fs = fresh();
    let program = program(&fs, 0o6755);
    write(&fs, program, 0, b"x");
    assert_eq!(mode(&fs, program), 0o6755);
    fs.write(program, &Write { offset: 0, data: b"y", from_cache: true, kill_suid: true })
        .expect("the file exists");
    assert_eq!(mode(&fs, program), 0o755);
}

#[test]
fn truncation_drops_set_id_bits_unless_root_does_it() {
    let fs = fresh();
    let program = program(&fs, 0o6755);
    set(&fs, ROOT_USER, program, SetAttr { size: Some(3), ..SetAttr::default() });
    assert_eq!(mode(&fs, program), 0o6755);
    set(&fs, USER, program, SetAttr { size: Some(3), ..SetAttr::default() });
    assert_eq!(mode(&fs, program), 0o6755, "the size is the same");
    set(&fs, USER, program, SetAttr { size: Some(2), ..SetAttr::default() });
    assert_eq!(mode(&fs, program), 0o755);
}

#[test]
fn chown_drops_set_id_bits_of_all_but_directories_even_for_root() {
    let fs = fresh();
    let fifo = fs.mknod(USER, ROOT, b"p", asks(libc::S_IFIFO | 0o6755), 0).expect("a free name");
    assert_eq!(set(&fs, USER, fifo.ino, SetAttr { gid: Some(7), ..SetAttr::default() }).mode, 0o755);
    let program = program(&fs, 0o6755);
    let after = set(&fs, ROOT_USER, program, SetAttr { gid: Some(7), ..SetAttr::default() });
    assert_eq!((after.uid, after.gid, after.mode), (1000, 7, 0o755));
    let shared = dir(&fs, ROOT, "d");
    set(&fs, USER, shared.ino, SetAttr { mode: Some(0o2775), ..SetAttr::default() });
    let after = set(&fs, ROOT_USER, shared.ino, SetAttr { uid: Some(5), gid: Some(6), ..SetAttr::default() });
    assert_eq!((after.uid, after.gid, after.mode), (5, 6, 0o2775));
}

#[test]
fn setting_times_alone_keeps_set_id_bits() {
    let fs = fresh();
    let program = program(&fs, 0o4755);
    set(&fs, USER, program, SetAttr { ctime: Some(LONG_AGO), ..SetAttr::default() });
    assert_eq!(mode(&fs, program), 0o4755);
}

#[test]
fn times_before_1970_are_kept_to_the_nanosecond() {
    let fs = fresh();
    let made = file(&fs, ROOT, "f");
    let later = Time { secs: 4_102_444_800, nanos: 7 };
    let after =
        set(&fs, USER, made.ino, SetAttr { atime: Some(later), mtime: Some(LONG_AGO), ..SetAttr::default() });
    assert_eq!((after.atime, after.mtime), (later, LONG_AGO));
    assert!(after.ctime > after.mtime);
}

#[test]
fn a_write_from_the_page_cache_leaves_times_alone_and_a_direct_one_sets_them() {
    let fs = fresh();
    let made = file(&fs, ROOT, "f");
    set(&fs, USER, made.ino, SetAttr { mtime: Some(LONG_AGO), ..SetAttr::default() });
    write(&fs, made.ino, 0, b"late");
    assert_eq!(fs.getattr(made.ino).map(|attr| attr.mtime), Ok(LONG_AGO));
    fs.write(made.ino, &Write { offset: 0, data: b"now", from_cache: false, kill_suid: false })
        .expect("the file exists");
    assert!(fs.getattr(made.ino).expect("the file exists").mtime > LONG_AGO);
}

#[test]
fn truncation_without_a_time_sets_mtime_when_the_size_differs() {
    let fs = fresh();
    let made = file(&fs, ROOT, "f");
    set(&fs, USER, made.ino, SetAttr { mtime: Some(LONG_AGO), ..SetAttr::default() });
    assert_eq!(set(&fs, USER, made.ino, SetAttr { size: Some(0), ..SetAttr::default() }).mtime, LONG_AGO);
    assert!(set(&fs, USER, made.ino, SetAttr { size: Some(1), ..SetAttr::default() }).mtime > LONG_AGO);
}

#[test]
fn truncation_with_a_time_takes_that_time() {
    let fs = strict();
    let made = file(&fs, ROOT, "f");
    let after =
        set(&fs, USER, made.ino, SetAttr { size: Some(9), mtime: Some(LONG_AGO), ..SetAttr::default() });
    assert_eq!((after.size, after.mtime), (9, LONG_AGO));
}

#[test]
fn strict_truncation_to_the_same_size_still_marks_the_file() {
    let fs = strict();
    let made = file(&fs, ROOT, "f");
    set(&fs, USER, made.ino, SetAttr { mtime: Some(LONG_AGO), ..SetAttr::default() });
    assert!(set(&fs, USER, made.ino, SetAttr { size: Some(0), ..SetAttr::default() }).mtime > LONG_AGO);
}

#[test]
fn only_files_have_a_size_to_set() {
    let fs = fresh();
    let resize = SetAttr { size: Some(1), ..SetAttr::default() };
    assert_eq!(fs.setattr(USER, ROOT, &resize), Err(Errno::ISDIR));
    let fifo = fs.mknod(USER, ROOT, b"p", asks(libc::S_IFIFO | 0o600), 0).expect("a free name");
    assert_eq!(fs.setattr(USER, fifo.ino, &resize), Err(Errno::INVAL));
    let made = file(&fs, ROOT, "f");
    let beyond = SetAttr { size: Some(u64::MAX), ..SetAttr::default() };
    assert_eq!(fs.setattr(USER, made.ino, &beyond), Err(Errno::FBIG));
}

#[test]
fn names_that_come_and_go_move_the_directorys_times() {
    let fs = fresh();
    let sub = dir(&fs, ROOT, "d");
    let back = SetAttr { mtime: Some(LONG_AGO), ..SetAttr::default() };
    set(&fs, USER, sub.ino, back.clone());
    file(&fs, sub.ino, "a");
    assert!(fs.getattr(sub.ino).expect("it exists").mtime > LONG_AGO);
    set(&fs, USER, sub.ino, back);
    fs.unlink(sub.ino, b"a").expect("it exists");
    assert!(fs.getattr(sub.ino).expect("it exists").mtime > LONG_AGO);
}
