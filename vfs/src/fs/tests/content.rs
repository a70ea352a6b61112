//! Content: read, write, holes, fallocate, copies.

use super::*;

const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;

fn size(fs: &Filesystem, ino: Ino) -> u64 {
    fs.getattr(ino).expect("the node exists").size
}

#[test]
fn reads_end_at_the_end_of_the_file_and_holes_are_zeroes() {
    let fs = fresh();
    let made = file(&fs, ROOT, "f");
    write(&fs, made.ino, 5, b"abc");
    assert_eq!(read(&fs, made.ino, 0, 100), Ok(b"\0\0\0\0\0abc".to_vec()));
    assert_eq!(read(&fs, made.ino, 6, 1), Ok(b"b".to_vec()));
    assert_eq!(read(&fs, made.ino, 8, 10), Ok(Vec::new()));
    assert_eq!(read(&fs, made.ino, u64::MAX, 10), Ok(Vec::new()));
    assert_eq!(read(&fs, ROOT, 0, 10), Err(Errno::ISDIR));
}

#[test]
fn overlapping_writes_in_any_order_read_as_the_last_one() {
    let fs = fresh();
    let made = file(&fs, ROOT, "f");
    write(&fs, made.ino, 4, b"EFGH");
    write(&fs, made.ino, 0, b"abcdef");
    write(&fs, made.ino, 2, b"__");
    assert_eq!(read(&fs, made.ino, 0, 100), Ok(b"ab__efGH".to_vec()));
}

#[test]
fn truncation_cuts_and_growth_brings_zeroes_not_old_bytes() {
    let fs = fresh();
    let made = file(&fs, ROOT, "f");
    write(&fs, made.ino, 0, b"secret");
    for new in [3, 6] {
        fs.setattr(USER, made.ino, &SetAttr { size: Some(new), ..SetAttr::default() })
            .expect("a file has a size");
    }
    assert_eq!(read(&fs, made.ino, 0, 100), Ok(b"sec\0\0\0".to_vec()));
}

#[test]
fn fallocate_modes_keep_or_grow_the_size_and_zero_what_they_should() {
    let fs = fresh();
    let made = file(&fs, ROOT, "f");
    write(&fs, made.ino, 0, b"abcdef");
    fs.fallocate(made.ino, 0, 100, libc::FALLOC_FL_KEEP_SIZE).expect("there is room");
    assert_eq!(size(&fs, made.ino), 6);
    fs.fallocate(made.ino, 1, 2, PUNCH).expect("a hole");
    assert_eq!(read(&fs, made.ino, 0, 100), Ok(b"a\0\0def".to_vec()));
    fs.fallocate(made.ino, 5, 3, libc::FALLOC_FL_ZERO_RANGE).expect("zeroes");
    assert_eq!(read(&fs, made.ino, 0, 100), Ok(b"a\0\0de\0\0\0".to_vec()));
    let zero_keep = libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE;
    fs.fallocate(made.ino, 4, 100, zero_keep).expect("zeroes");
    assert_eq!(read(&fs, made.ino, 0, 100), Ok(b"a\0\0d\0\0\0\0".to_vec()));
    fs.fallocate(made.ino, 0, 20, 0).expect("there is room");
    assert_eq!(size(&fs, made.ino), 20);
}

#[test]
fn fallocate_refuses_what_it_cannot_do() {
    let fs = fresh();
    let made = file(&fs, ROOT, "f");
    for mode in [libc::FALLOC_FL_COLLAPSE_RANGE, libc::FALLOC_FL_INSERT_RANGE, libc::FALLOC_FL_PUNCH_HOLE] {
        assert_eq!(fs.fallocate(made.ino, 0, 4096, mode), Err(Errno::OPNOTSUPP));
    }
    assert_eq!(fs.fallocate(made.ino, 0, 0, 0), Err(Errno::INVAL));
    assert_eq!(fs.fallocate(made.ino, u64::MAX, 2, 0), Err(Errno::FBIG));
    assert_eq!(fs.fallocate(ROOT, 0, 1, 0), Err(Errno::ISDIR));
}

#[test]
fn copies_share_what_the_source_has_and_stop_at_its_end() {
    let fs = fresh();
    let (from, to) = (file(&fs, ROOT, "from"), file(&fs, ROOT, "to"));
    write(&fs, from.ino, 0, b"0123456789");
    write(&fs, to.ino, 0, b"abc");
    let copy = CopyRange { from: from.ino, from_offset: 4, to: to.ino, to_offset: 2, len: u64::MAX };
    assert_eq!(fs.copy_file_range(&copy), Ok(6));
    assert_eq!(read(&fs, to.ino, 0, 100), Ok(b"ab456789".to_vec()));
    write(&fs, from.ino, 4, b"XXXX");
    assert_eq!(read(&fs, to.ino, 0, 100), Ok(b"ab456789".to_vec()), "the copy does not follow its source");
    assert_eq!(fs.copy_file_range(&CopyRange { from_offset: 10, ..copy }), Ok(0));
}

#[test]
fn copies_within_one_file_must_not_overlap() {
    let fs = fresh();
    let made = file(&fs, ROOT, "f");
    write(&fs, made.ino, 0, b"0123456789");
    let copy = CopyRange { from: made.ino, from_offset: 0, to: made.ino, to_offset: 3, len: 5 };
    assert_eq!(fs.copy_file_range(&copy), Err(Errno::INVAL));
    assert_eq!(fs.copy_file_range(&CopyRange { to_offset: 5, ..copy }), Ok(5));
    assert_eq!(read(&fs, made.ino, 0, 100), Ok(b"0123401234".to_vec()));
}

#[test]
fn writes_beyond_the_largest_file_are_too_big() {
    let fs = fresh();
    let made = file(&fs, ROOT, "f");
    let far = Write { offset: u64::MAX - 1, data: b"abc", from_cache: false, kill_suid: false };
    assert_eq!(fs.write(made.ino, &far), Err(Errno::FBIG));
    assert_eq!(fs.write(ROOT, &Write { offset: 0, ..far }), Err(Errno::ISDIR));
}

#[test]
fn only_files_are_opened_through_the_daemon() {
    let fs = fresh();
    assert_eq!(fs.open(file(&fs, ROOT, "f").ino), Ok(()));
    assert_eq!(fs.open(ROOT), Err(Errno::ISDIR));
}

#[test]
fn fsync_of_files_and_directories_succeeds() {
    let fs = fresh();
    let made = file(&fs, ROOT, "f");
    write(&fs, made.ino, 0, b"x");
    assert_eq!(fs.fsync(made.ino), Ok(()));
    assert_eq!(fs.fsync(ROOT), Ok(()));
}

#[test]
fn statfs_tells_blocks_names_and_nodes() {
    let fs = fresh();
    let before = fs.statfs();
    assert_eq!((before.block_bytes, before.name_max), (4096, 255));
    file(&fs, ROOT, "f");
    assert_eq!(fs.statfs().files, before.files + 1);
}
