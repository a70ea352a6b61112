//! What another device does, reaching a mount that is in use.
//!
//! The other device's records go straight into the volume, as the sync task hands them over.
//! Nothing here sleeps: `settle` returns once the kernel has acted on every notice.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use freehold_crypto::{Cek, SealedRoot};
use freehold_engine::{ChunkSource, FetchDone, FetchError, RemoteVersion};
use freehold_model::{ChunkId, DeviceId, Dot, Entropy, FileId, Hlc, LinkId, Stamp, VersionHash};
use freehold_vault::profile::Profile;
use freehold_vault::record::{Body, Chunked, NewNode, Owner, Place, ROOT, Record, Time};
use rustix::fs::{Advice, AtFlags, CWD, fadvise};
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Mounted;

/// Another device of the same account.
#[derive(Default)]
struct Other {
    writes: u64,
    last: Option<VersionHash>,
}

impl Other {
    /// The stamp of its next write; its clock is ahead of ours, so its attributes win.
    fn stamp(&mut self) -> Stamp {
        self.writes += 1;
        let dot = Dot { device: DeviceId::from_bytes([9; 16]), incarnation: 1, seq: self.writes };
        Stamp { hlc: Hlc::from_millis(4_000_000_000_000 + self.writes), dot }
    }

    /// A new file in the root.
    fn file(&mut self, name: &str, body: Body) -> Record {
        let owner =
            Owner { uid: rustix::process::getuid().as_raw(), gid: rustix::process::getgid().as_raw() };
        let new = NewNode { mode: 0o644, owner, mtime: Time { secs: 1_000, nanos: 0 } };
        let stamp = self.stamp();
        let id = FileId::from_bytes([u8::try_from(stamp.dot.seq).expect("tests write little"); 16]);
        let mut record =
            Record::new_file(id, new, LinkId::from_bytes([1; 16]), place(name), stamp).expect("a valid file");
        self.write(&mut record, body);
        record
    }

    fn write(&mut self, record: &mut Record, body: Body) {
        let stamp = self.stamp();
        let mtime = Time { secs: 1_000 + i64::try_from(self.writes).expect("tests write little"), nanos: 0 };
        record.set_content(body, mtime, stamp).expect("a valid content");
    }

    /// Hands a version to the volume of the mount and waits until the kernel knows.
    fn send(&mut self, mounted: &Mounted, record: &Record) {
        self.publish(mounted, record);
        mounted.handle.settle();
    }

    fn publish(&mut self, mounted: &Mounted, record: &Record) {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&self.writes.to_be_bytes());
        let version = VersionHash::from_bytes(hash);
        let supersedes = self.last.replace(version).into_iter().collect();
        let outcome = mounted
            .volume
            .apply_remote(vec![RemoteVersion { version, supersedes, record: record.clone() }], vec![]);
        assert!(outcome.is_ok_and(|outcome| outcome.refused.is_empty()), "the record is an honest one");
    }
}

fn place(name: &str) -> Place {
    Place { parent: ROOT, name: name.into() }
}

fn inline(text: &str) -> Body {
    Body::Inline(text.into())
}

fn names(mounted: &Mounted) -> Vec<String> {
    let entries = fs::read_dir(&mounted.point).expect("it lists");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("it lists").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

fn text(mounted: &Mounted, name: &str) -> String {
    fs::read_to_string(mounted.path(name)).expect("it reads")
}

#[test]
fn a_remote_file_appears_under_a_name_known_to_be_absent_and_in_a_cached_listing() {
    let (mounted, mut other) = (Mounted::new(), Other::default());
    fs::write(mounted.path("here"), b"x").expect("it writes");
    for _ in 0..3 {
        assert!(!mounted.path("there").exists());
        assert_eq!(names(&mounted), ["here"]);
    }
    let record = other.file("there", inline("hello"));
    other.send(&mounted, &record);
    assert_eq!(names(&mounted), ["here", "there"]);
    assert_eq!(text(&mounted, "there"), "hello");
}

#[test]
fn new_content_is_seen_by_the_next_open_and_not_by_open_readers() {
    let (mounted, mut other) = (Mounted::new(), Other::default());
    let mut record = other.file("f", inline("old content"));
    other.send(&mounted, &record);
    let open = File::open(mounted.path("f")).expect("it opens");
    let before = open.metadata().expect("it stats").ino();
    other.write(&mut record, inline("new"));
    other.send(&mounted, &record);

    let after = fs::metadata(mounted.path("f")).expect("it stats");
    assert_eq!((text(&mounted, "f").as_str(), after.len()), ("new", 3));
    assert_ne!(after.ino(), before);
    let mut old = [0; 11];
    open.read_exact_at(&mut old, 0).expect("the old version stays readable");
    assert_eq!(&old, b"old content");
    assert_eq!(open.metadata().expect("it stats").nlink(), 0);
}

#[test]
fn new_content_reaches_every_hard_link() {
    let (mounted, mut other) = (Mounted::new(), Other::default());
    let mut record = other.file("a", inline("old"));
    let stamp = other.stamp();
    record.add_link(LinkId::from_bytes([2; 16]), place("b"), stamp).expect("a second link");
    other.send(&mounted, &record);
    assert_eq!((text(&mounted, "a"), text(&mounted, "b")), ("old".into(), "old".into()));
    other.write(&mut record, inline("new"));
    other.send(&mounted, &record);
    assert_eq!((text(&mounted, "a"), text(&mounted, "b")), ("new".into(), "new".into()));
    let inos = ["a", "b"].map(|name| fs::metadata(mounted.path(name)).expect("it stats").ino());
    assert_eq!(inos[0], inos[1]);
}

#[test]
fn writes_to_a_replaced_version_do_not_touch_the_new_one() {
    let (mounted, mut other) = (Mounted::new(), Other::default());
    let mut record = other.file("f", inline("base"));
    other.send(&mounted, &record);
    let mut open = File::options().read(true).write(true).open(mounted.path("f")).expect("it opens");
    other.write(&mut record, inline("remote"));
    other.send(&mounted, &record);
    open.write_all(b"LATE").expect("it writes");
    open.sync_all().expect("fsync");
    assert_eq!(text(&mounted, "f"), "remote");
}

#[test]
fn remote_renames_and_deletions_move_and_drop_names() {
    let (mounted, mut other) = (Mounted::new(), Other::default());
    let mut record = other.file("a", inline("x"));
    other.send(&mounted, &record);
    assert_eq!(text(&mounted, "a"), "x");
    assert!(!mounted.path("b").exists());
    let link = record.links().next().expect("it has one").id;
    let stamp = other.stamp();
    record.move_link(&link, place("b"), stamp).expect("a valid move");
    other.send(&mounted, &record);
    assert_eq!(names(&mounted), ["b"]);
    assert!(!mounted.path("a").exists());
    assert_eq!(text(&mounted, "b"), "x");
    let stamp = other.stamp();
    record.remove_link(&link, stamp).expect("a valid removal");
    other.send(&mounted, &record);
    assert!(!mounted.path("b").exists());
    assert_eq!(names(&mounted), Vec::<String>::new());
}

#[test]
fn a_remote_chmod_shows_at_once_and_keeps_the_open_file() {
    let (mounted, mut other) = (Mounted::new(), Other::default());
    let mut record = other.file("f", inline("x"));
    other.send(&mounted, &record);
    let before = fs::metadata(mounted.path("f")).expect("it stats");
    let stamp = other.stamp();
    record.set_mode(0o600, stamp).expect("a valid mode");
    other.send(&mounted, &record);
    let after = fs::metadata(mounted.path("f")).expect("it stats");
    assert_eq!(after.permissions().mode() & 0o7777, 0o600);
    assert_eq!(after.ino(), before.ino());
}

#[test]
fn a_link_made_from_a_replaced_version_leads_to_the_new_one() {
    let (mounted, mut other) = (Mounted::new(), Other::default());
    let mut record = other.file("f", inline("old"));
    other.send(&mounted, &record);
    let open = File::open(mounted.path("f")).expect("it opens");
    other.write(&mut record, inline("new"));
    other.send(&mounted, &record);
    let old = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&open));
    // The kernel may refuse to link a file it believes to have no names left; it must never link
    // the old version.
    match rustix::fs::linkat(CWD, old, CWD, mounted.path("g"), AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => assert_eq!(text(&mounted, "g"), "new"),
        Err(error) => assert_eq!(error, Errno::NOENT),
    }
    assert_eq!(text(&mounted, "f"), "new");
}

#[test]
fn local_renames_never_carry_an_old_version_past_a_remote_change() {
    let (mounted, mut other) = (Mounted::new(), Other::default());
    let mut record = other.file("a", inline("0"));
    other.send(&mounted, &record);
    for round in 1..=300 {
        let content = round.to_string();
        other.write(&mut record, inline(&content));
        let (from, to) = if round % 2 == 1 { ("a", "b") } else { ("b", "a") };
        assert!(mounted.path(from).exists(), "the kernel caches the dentry that must not survive");
        std::thread::scope(|scope| {
            scope.spawn(|| fs::rename(mounted.path(from), mounted.path(to)).expect("it is there"));
            other.publish(&mounted, &record);
        });
        mounted.handle.settle();
        assert_eq!(text(&mounted, to), content);
        assert!(!mounted.path(from).exists());
    }
}

/// A content whose chunks are on no node.
fn elsewhere() -> Body {
    struct Fixed;
    impl Entropy for Fixed {
        fn fill(&mut self, buffer: &mut [u8]) {
            buffer.fill(3);
        }
    }
    let cek = Cek::random(&mut Fixed);
    let SealedRoot { id, salt, .. } = cek.seal_root(b"a manifest nobody kept");
    let profile = Profile::Fixed256K.number();
    Body::Chunked(Chunked { size: 1 << 20, profile, root: id, root_salt: salt, cek, plain_hash: [0; 32] })
}

/// Hands each fetch to the test instead of a network.
struct Held(mpsc::Sender<FetchDone>);

impl ChunkSource for Held {
    fn want(&self, _chunks: Vec<ChunkId>, _deadline: Instant, done: FetchDone) {
        self.0.send(done).expect("the test holds the other end");
    }
}

#[test]
fn content_nobody_has_is_an_input_output_error() {
    let (mounted, mut other) = (Mounted::new(), Other::default());
    let record = other.file("f", elsewhere());
    other.send(&mounted, &record);
    let error = fs::read(mounted.path("f")).expect_err("nobody has it");
    assert_eq!(error.raw_os_error(), Some(Errno::IO.raw_os_error()));
}

#[test]
fn reads_that_wait_for_the_network_leave_the_mount_usable() {
    // Fewer than the kernel sends in the background, all from the processor of this thread.
    const READERS: usize = 200;
    let mut here = CpuSet::new();
    here.set(rustix::thread::sched_getcpu());
    sched_setaffinity(None, &here).expect("a thread may stay where it is");
    let (mounted, mut other) = (Mounted::new(), Other::default());
    let (fetches, held) = mpsc::channel();
    mounted.volume.set_source(Arc::new(Held(fetches)));
    let record = other.file("f", elsewhere());
    other.send(&mounted, &record);
    std::thread::scope(|scope| {
        // Each of another page; threads inherit their place.
        let readers: Vec<_> = (0..READERS as u64)
            .map(|reader| {
                let file = File::open(mounted.path("f")).expect("it opens");
                fadvise(&file, 0, None, Advice::Random).expect("no reading ahead");
                scope.spawn(move || file.read_exact_at(&mut [0; 4096], reader * 4096))
            })
            .collect();
        let first = held.recv().expect("a read asks for its chunk");
        fs::write(mounted.path("g"), b"meanwhile").expect("it writes");
        assert_eq!(text(&mounted, "g"), "meanwhile");
        assert_eq!(names(&mounted), ["f", "g"]);
        for round in 0..READERS {
            let name = mounted.path(format!("local{round}"));
            fs::write(&name, b"x").expect("it writes");
            File::open(&name).and_then(|file| file.sync_all()).expect("it is flushed");
            fs::remove_file(&name).expect("it goes");
        }
        let record = other.file("h", inline("remote, meanwhile"));
        other.last = None;
        other.send(&mounted, &record);
        let mut text = String::new();
        File::open(mounted.path("h")).expect("it opens").read_to_string(&mut text).expect("it reads");
        assert_eq!(text, "remote, meanwhile");
        first(Err(FetchError::Unreachable));
        while readers.iter().any(|reader| !reader.is_finished()) {
            if let Ok(done) = held.try_recv() {
                done(Err(FetchError::Unreachable));
            }
            std::thread::yield_now();
        }
        for reader in readers {
            let error = reader.join().expect("no panic").expect_err("nobody has it");
            assert_eq!(error.raw_os_error(), Some(Errno::IO.raw_os_error()));
        }
    });
}

#[test]
fn a_save_over_a_synced_file_is_seen_as_posix_wants_and_stays_the_same_file() {
    let (mounted, mut other) = (Mounted::new(), Other::default());
    let mut record = other.file("report", inline("old"));
    other.send(&mounted, &record);
    let mut open = File::open(mounted.path("report")).expect("it opens");
    let mut temporary = File::create(mounted.path(".report.new")).expect("it is made");
    temporary.write_all(b"new content").expect("it writes");
    temporary.sync_all().expect("it syncs");
    let new = temporary.metadata().expect("it stats");
    drop(temporary);
    fs::rename(mounted.path(".report.new"), mounted.path("report")).expect("it renames");

    let seen = fs::metadata(mounted.path("report")).expect("it stats");
    assert_eq!((seen.ino(), seen.len(), seen.nlink()), (new.ino(), 11, 1));
    assert_eq!((seen.mode(), seen.modified().ok()), (new.mode(), new.modified().ok()));
    assert_eq!(mounted.volume.lock().file_id(seen.ino()), Some(record.file()));
    let mut old = String::new();
    open.read_to_string(&mut old).expect("it reads");
    assert_eq!((old.as_str(), text(&mounted, "report").as_str()), ("old", "new content"));
    assert_eq!(open.metadata().expect("it stats").nlink(), 0);
    drop(open);

    // An attribute changed elsewhere is the saved file's, and nothing is left of the temporary.
    let stamp = other.stamp();
    record.set_mode(0o640, stamp).expect("a valid mode");
    other.send(&mounted, &record);
    assert_eq!(fs::metadata(mounted.path("report")).expect("it stats").mode() & 0o777, 0o640);
    let mounted = mounted.remount();
    assert_eq!(
        (names(&mounted), text(&mounted, "report")),
        (vec!["report".to_owned()], "new content".into())
    );
    let again = fs::metadata(mounted.path("report")).expect("it stats").ino();
    assert_eq!(mounted.volume.lock().file_id(again), Some(record.file()));
}
