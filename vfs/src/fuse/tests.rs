//! The protocol against bytes as `include/uapi/linux/fuse.h` lays them out.

use freehold_engine::Time;
use proptest::prelude::*;
use zerocopy::{FromBytes, IntoBytes};

use super::abi::{
    AttrOut, CopyFileRangeIn, EntryOut, InHeader, InitIn, InitOut, InvalEntryOut, InvalInodeOut, OpenOut,
    OutHeader, ReadIn, SetAttrIn, StatFsOut, WriteIn, init, opcode,
};
use super::body::Body;
use super::flags::{Offer, Wishes, agree};
use super::request::{Args, Malformed, Op, Request};
use crate::fs::{Caller, DirEntry};

fn header(opcode: u32) -> InHeader {
    InHeader {
        len: 0,
        opcode,
        unique: 6,
        nodeid: 17,
        uid: 1000,
        gid: 100,
        pid: 1,
        total_extlen: 0,
        padding: 0,
    }
}

/// Numbers one after the other, as the kernel writes them.
fn words(words: &[u32]) -> Vec<u8> {
    words.as_bytes().to_vec()
}

/// Reads a request laid out as on the device and as on a ring, which must be the same.
fn both(opcode: u32, fixed: &[u8], rest: &[u8], check: impl Fn(Request<'_>)) {
    let header = header(opcode);
    let run = [fixed, rest].concat();
    check(Request::parse(&header, Args { fixed: &run, payload: None }).expect("the device's layout"));
    // A ring's fixed arguments are followed by whatever was there before.
    let wide = [fixed, &[0xff; 40]].concat();
    check(Request::parse(&header, Args { fixed: &wide, payload: Some(rest) }).expect("the ring's layout"));
}

#[test]
fn structures_have_the_sizes_of_the_kernels() {
    assert_eq!(size_of::<InHeader>(), 40);
    assert_eq!(size_of::<OutHeader>(), 16);
    assert_eq!(size_of::<InitOut>(), 64);
    assert_eq!(size_of::<EntryOut>(), 128);
    assert_eq!(size_of::<AttrOut>(), 104);
    assert_eq!(size_of::<OpenOut>(), 16);
    assert_eq!(size_of::<StatFsOut>(), 80);
    assert_eq!(size_of::<SetAttrIn>(), 88);
    assert_eq!(size_of::<ReadIn>(), 40);
    assert_eq!(size_of::<WriteIn>(), 40);
    assert_eq!(size_of::<CopyFileRangeIn>(), 56);
    assert_eq!(size_of::<InvalInodeOut>(), 24);
    assert_eq!(size_of::<InvalEntryOut>(), 16);
}

#[test]
fn a_name_is_read_up_to_its_zero_byte_from_either_transport() {
    both(opcode::LOOKUP, &[], b"caf\xe9\0", |request| {
        assert_eq!((request.node, request.caller), (17, Caller { uid: 1000, gid: 100 }));
        assert!(matches!(request.op, Op::Lookup { name: b"caf\xe9" }));
    });
    both(opcode::SYMLINK, &[], b"link\0to/there\0", |request| {
        assert!(matches!(request.op, Op::Symlink { name: b"link", target: b"to/there" }));
    });
}

#[test]
fn a_rename_names_two_directories_and_its_flags() {
    let fixed = [23_u64.as_bytes(), 1_u32.as_bytes(), 0_u32.as_bytes()].concat();
    both(opcode::RENAME2, &fixed, b"old\0new\0", |request| {
        let Op::Rename(rename) = request.op else { panic!("not a rename") };
        assert_eq!((rename.from, rename.to, rename.flags), ((17, &b"old"[..]), (23, &b"new"[..]), 1));
    });
    both(opcode::RENAME, 23_u64.as_bytes(), b"old\0new\0", |request| {
        assert!(matches!(request.op, Op::Rename(rename) if rename.flags == 0 && rename.to == (23, b"new")));
    });
}

#[test]
fn a_write_brings_its_data_and_says_where_it_comes_from() {
    // fh, offset, size, write_flags (cache and kill), lock_owner, flags, padding.
    let fixed = words(&[0, 0, 4096, 0, 5, 0b101, 0, 0, 0, 0]);
    both(opcode::WRITE, &fixed, b"bytes and what is no part", |request| {
        let Op::Write(write) = request.op else { panic!("not a write") };
        assert_eq!((write.offset, write.data), (4096, &b"bytes"[..]));
        assert!(write.from_cache && write.kill_suid);
    });
}

#[test]
fn only_what_setattr_marks_counts_and_times_before_1970_stay_whole() {
    let mut fixed = words(&[0b10_0000 | 0b1000, 0, 0, 0, 77, 0, 0, 0]);
    // −1.5 s: two seconds back, half a second on.
    fixed.extend_from_slice([0_i64, -2, 0].as_bytes());
    fixed.extend_from_slice(&words(&[0, 500_000_000, 0, 0o600, 0, 3, 4, 0]));
    both(opcode::SETATTR, &fixed, &[], |request| {
        let Op::SetAttr(set) = request.op else { panic!("not a setattr") };
        assert_eq!((set.size, set.mtime), (Some(77), Some(Time { secs: -2, nanos: 500_000_000 })));
        assert_eq!((set.mode, set.uid, set.gid, set.atime, set.ctime), (None, None, None, None, None));
    });
}

#[test]
fn what_says_more_than_it_brings_is_refused() {
    let parse =
        |opcode, fixed: &[u8]| Request::parse(&header(opcode), Args { fixed, payload: None }).map(drop);
    assert_eq!(parse(opcode::LOOKUP, b"no end"), Err(Malformed));
    assert_eq!(parse(opcode::WRITE, &words(&[0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 1])), Err(Malformed));
    assert_eq!(parse(opcode::SETXATTR, &[&words(&[9, 0])[..], b"user.a\0short"].concat()), Err(Malformed));
    assert_eq!(parse(opcode::BATCH_FORGET, &words(&[2, 0, 1, 0, 1, 0])), Err(Malformed));
    assert_eq!(parse(opcode::GETATTR, &[]), Ok(()));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_of_requests_panic(
        opcode in 0_u32..60,
        fixed in proptest::collection::vec(any::<u8>(), 0..200),
        payload in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200)),
    ) {
        let args = Args { fixed: &fixed, payload: payload.as_deref() };
        if let Ok(request) = Request::parse(&header(opcode), args) {
            prop_assert!(!request.op.name().is_empty());
        }
    }
}

fn offer(flags: u64, minor: u32) -> Offer {
    let [low, high] = <[u32; 2]>::read_from_bytes(flags.as_bytes()).expect("eight bytes");
    let init = InitIn { major: 7, minor, max_readahead: 131_072, flags: low };
    Offer { init, flags2: high }
}

const LAX: Wishes = Wishes { strict: false, rings: false };
const STRICT: Wishes = Wishes { strict: true, rings: false };

#[test]
fn rings_are_promised_only_where_both_ends_have_them() {
    let both = init::WRITEBACK_CACHE | init::INIT_EXT | init::OVER_IO_URING;
    for (flags, rings, promised) in [
        (both, true, true),
        (both, false, false),
        (both & !init::OVER_IO_URING, true, false),
        // Without the extension the upper half means nothing.
        (both & !init::INIT_EXT, true, false),
    ] {
        let offer = offer(flags, 45);
        assert_eq!(offer.has_rings() && rings, promised);
        let answer = agree(&offer, Wishes { strict: false, rings }).expect("new enough");
        assert_eq!(answer.flags2 & (1 << 9) != 0, promised);
    }
}

#[test]
fn the_writeback_cache_is_needed_unless_strict_and_never_taken_then() {
    let without = offer(init::ASYNC_READ, 45);
    assert!(agree(&without, LAX).is_err());
    assert!(agree(&without, STRICT).is_ok());
    let strict = agree(&offer(init::WRITEBACK_CACHE, 45), STRICT).expect("new enough");
    assert_eq!(strict.flags & (1 << 16), 0);
    assert!(agree(&offer(init::WRITEBACK_CACHE, 30), LAX).is_err());
    assert_eq!(agree(&offer(init::WRITEBACK_CACHE, 99), LAX).expect("new enough").minor, 45);
}

#[test]
fn a_listing_ends_before_the_entry_that_does_not_fit() {
    let attr = freehold_engine::Attr {
        ino: 5,
        kind: freehold_engine::Kind::Dir,
        mode: 0o755,
        nlink: 2,
        uid: 0,
        gid: 0,
        rdev: 0,
        size: 0,
        blocks: 0,
        atime: Time::default(),
        mtime: Time::default(),
        ctime: Time::default(),
    };
    let mut body = Body::default();
    let entry = DirEntry { cookie: 3, name: b"name", attr };
    // 24 bytes and the name make 28, filled to 32.
    assert!(!body.add_dirent(&entry, false, 64));
    assert!(!body.add_dirent(&entry, false, 64));
    assert!(body.add_dirent(&entry, false, 64));
    assert_eq!(body.bytes().len(), 64);
    let expected: [&[u8]; 5] =
        [5_u64.as_bytes(), 3_u64.as_bytes(), 4_u32.as_bytes(), 4_u32.as_bytes(), b"name\0\0\0\0"];
    assert_eq!(body.bytes()[..32], expected.concat());
    body.clear();
    assert!(body.add_dirent(&entry, true, 159));
    assert!(!body.add_dirent(&entry, true, 160));
    assert_eq!(body.bytes()[..8], 5_u64.as_bytes()[..8]);
}
