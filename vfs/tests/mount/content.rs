//! Content through the page cache: writing, mapping, appending, truncating, sharing.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::FallocateFlags;
use rustix::mm::{MapFlags, MsyncFlags, ProtFlags};

use crate::{Mounted, noise};

/// Opens for reading and writing, created if missing.
fn open(mounted: &Mounted, name: &str) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(mounted.path(name))
        .expect("it opens")
}

#[test]
fn eight_megabytes_come_back_from_a_fresh_mount() {
    let mut mounted = Mounted::new();
    let data = noise(8 * 1024 * 1024 + 13);
    fs::write(mounted.path("big"), &data).expect("there is room");
    mounted = mounted.remount();
    assert!(fs::read(mounted.path("big")).expect("it reads") == data, "content differs after a remount");
}

#[test]
fn strict_mounts_store_every_write_at_once() {
    let mounted = Mounted::with(&freehold_vfs::MountOptions { strict: true, ..Default::default() });
    let file = open(&mounted, "f");
    file.write_all_at(b"at once", 0).expect("it writes");
    let ino = file.metadata().expect("it stats").ino();
    assert_eq!(mounted.stored(ino, 64), b"at once");
}

#[test]
fn close_hands_the_bytes_to_the_daemon() {
    let mounted = Mounted::new();
    fs::write(mounted.path("f"), b"closed").expect("it writes");
    let ino = fs::metadata(mounted.path("f")).expect("it stats").ino();
    assert_eq!(mounted.stored(ino, 64), b"closed");
}

#[test]
fn fsync_and_fdatasync_hand_over_and_succeed_for_files_and_directories() {
    let mounted = Mounted::new();
    let mut file = open(&mounted, "f");
    file.write_all(b"one").expect("it writes");
    file.sync_all().expect("fsync");
    let ino = file.metadata().expect("it stats").ino();
    assert_eq!(mounted.stored(ino, 64), b"one");
    file.write_all(b"two").expect("it writes");
    file.sync_data().expect("fdatasync");
    assert_eq!(mounted.stored(ino, 64), b"onetwo");
    File::open(mounted.path("")).expect("a directory opens").sync_all().expect("fsync of a directory");
}

#[test]
fn shared_mappings_write_to_the_file_and_see_its_writers() {
    const LEN: usize = 3 * 4096;
    let mounted = Mounted::new();
    let file = open(&mounted, "mapped");
    file.set_len(LEN as u64).expect("it grows");
    #[expect(unsafe_code, reason = "mmap is what is tested; there is no safe way to it")]
    // SAFETY: a fresh mapping of a file that keeps its length, unmapped below; nothing else in this
    // process refers to it.
    unsafe {
        let map = rustix::mm::mmap(
            std::ptr::null_mut(),
            LEN,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED,
            &file,
            0,
        )
        .expect("a shared mapping");
        let bytes = map.cast::<u8>();
        bytes.add(5000).copy_from_nonoverlapping(b"mapped".as_ptr(), 6);
        let mut read = [0; 6];
        file.read_exact_at(&mut read, 5000).expect("it reads");
        assert_eq!(&read, b"mapped");
        file.write_all_at(b"written", 9000).expect("it writes");
        assert_eq!(bytes.add(9000).read_volatile(), b'w');
        rustix::mm::msync(map, LEN, MsyncFlags::SYNC).expect("msync");
        rustix::mm::munmap(map, LEN).expect("munmap");
    }
    let stored =
        mounted.stored(file.metadata().expect("it stats").ino(), u32::try_from(LEN).expect("it is small"));
    assert_eq!((&stored[5000..5006], &stored[9000..9007]), (&b"mapped"[..], &b"written"[..]));
}

#[test]
fn appenders_never_overwrite_each_other() {
    const EACH: usize = 200;
    let mounted = Mounted::new();
    let path = mounted.path("log");
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let mut log = OpenOptions::new().append(true).create(true).open(&path).expect("it opens");
            scope.spawn(move || {
                for line in 0..EACH {
                    log.write_all(format!("{writer} {line}\n").as_bytes()).expect("it appends");
                }
            });
        }
    });
    let mounted = mounted.remount();
    let text = fs::read_to_string(mounted.path("log")).expect("it reads");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let mut expected: Vec<String> =
        (0..3).flat_map(|writer| (0..EACH).map(move |line| format!("{writer} {line}"))).collect();
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn open_with_truncation_empties_the_file() {
    let mut mounted = Mounted::new();
    fs::write(mounted.path("f"), b"long content").expect("it writes");
    fs::write(mounted.path("f"), b"new").expect("it truncates and writes");
    File::create(mounted.path("g")).expect("it is made").write_all(b"x").expect("it writes");
    File::create(mounted.path("g")).expect("it is emptied");
    mounted = mounted.remount();
    assert_eq!(fs::read(mounted.path("f")).expect("it reads"), b"new");
    assert_eq!(fs::metadata(mounted.path("g")).expect("it stats").len(), 0);
}

#[test]
fn truncation_cuts_dirty_pages_and_growth_shows_zeroes() {
    let mut mounted = Mounted::new();
    let file = open(&mounted, "f");
    file.write_all_at(&noise(10_000), 0).expect("it writes");
    file.set_len(5_000).expect("it shrinks");
    file.set_len(8_000).expect("it grows");
    drop(file);
    mounted = mounted.remount();
    let mut expected = noise(5_000);
    expected.resize(8_000, 0);
    assert_eq!(fs::read(mounted.path("f")).expect("it reads"), expected);
}

#[test]
fn an_unlinked_open_file_reads_and_writes_on() {
    let mounted = Mounted::new();
    let mut file = open(&mounted, "f");
    file.write_all(b"before ").expect("it writes");
    fs::remove_file(mounted.path("f")).expect("it unlinks");
    assert_eq!(file.metadata().expect("it stats").nlink(), 0);
    file.write_all(b"after").expect("it writes");
    file.sync_all().expect("fsync");
    file.seek(SeekFrom::Start(0)).expect("it seeks");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("it reads");
    assert_eq!(text, "before after");
    assert!(!mounted.path("f").exists());
}

#[test]
fn a_sparse_file_has_size_without_blocks_and_reads_as_zeroes() {
    let mut mounted = Mounted::new();
    let far = 1 << 30;
    open(&mounted, "sparse").write_all_at(b"end", far).expect("it writes");
    mounted = mounted.remount();
    let file = File::open(mounted.path("sparse")).expect("it opens");
    let metadata = file.metadata().expect("it stats");
    assert_eq!(metadata.len(), far + 3);
    assert!(metadata.blocks() * 512 <= 64 * 1024, "{} blocks for 3 bytes", metadata.blocks());
    let mut read = [1; 6];
    file.read_exact_at(&mut read, far - 3).expect("it reads");
    assert_eq!(&read, b"\0\0\0end");
}

#[test]
fn fallocate_keeps_the_size_punches_and_zeroes() {
    let mounted = Mounted::new();
    let file = open(&mounted, "f");
    file.write_all_at(b"0123456789", 0).expect("it writes");
    rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, 1 << 20).expect("keep size");
    assert_eq!(file.metadata().expect("it stats").len(), 10);
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, punch, 2, 3).expect("punch");
    rustix::fs::fallocate(&file, FallocateFlags::ZERO_RANGE, 8, 4).expect("zero range");
    let mut read = [1; 12];
    file.read_exact_at(&mut read, 0).expect("it reads");
    assert_eq!(&read, b"01\x00\x00\x00567\x00\x00\x00\x00");
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 100).expect("grow");
    assert_eq!(file.metadata().expect("it stats").len(), 100);
    let collapse = rustix::fs::fallocate(&file, FallocateFlags::COLLAPSE_RANGE, 0, 4096);
    assert_eq!(collapse, Err(rustix::io::Errno::OPNOTSUPP));
}

#[test]
fn copy_file_range_copies_dirty_pages_too() {
    let mut mounted = Mounted::new();
    let (from, to) = (open(&mounted, "from"), open(&mounted, "to"));
    let data = noise(300_000);
    from.write_all_at(&data, 0).expect("it writes");
    let (mut at, mut into) = (1_000, 0);
    let copied =
        rustix::fs::copy_file_range(&from, Some(&mut at), &to, Some(&mut into), 1 << 20).expect("it copies");
    assert_eq!(copied, 299_000);
    drop((from, to));
    mounted = mounted.remount();
    assert!(fs::read(mounted.path("to")).expect("it reads") == data[1_000..], "the copy differs");
}

#[test]
fn seeking_data_never_hides_unwritten_pages() {
    let mounted = Mounted::new();
    let file = open(&mounted, "f");
    file.set_len(1 << 20).expect("it grows");
    file.write_all_at(b"dirty", 512 * 1024).expect("it writes");
    let data = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(512 * 1024)).expect("there is data");
    assert_eq!(data, 512 * 1024);
}
