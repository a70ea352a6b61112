//! Mounting and unmounting: refusals, use, detachment, what a killed daemon leaves.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use freehold_vfs::{MountError, MountOptions, Unmount};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::support::open_volume;
use crate::{Mounted, unmount};

/// Where the process that is going to be killed mounts.
const POINT_VARIABLE: &str = "FREEHOLD_TEST_MOUNT_POINT";

/// Tries to mount a fresh volume, whose directory goes with the answer.
fn try_mount(point: &Path) -> (Result<freehold_vfs::MountHandle, MountError>, TempDir) {
    let dir = tempfile::tempdir().expect("a temp dir");
    let handle = freehold_vfs::mount(point, open_volume(dir.path()), &MountOptions::default());
    (handle, dir)
}

#[test]
fn a_second_mount_on_the_same_point_is_refused_and_the_first_serves_on() {
    let mounted = Mounted::new();
    assert!(matches!(try_mount(&mounted.point).0, Err(MountError::AlreadyMounted)));
    fs::write(mounted.path("f"), b"x").expect("the first still serves");
}

#[test]
fn missing_full_and_plain_file_mount_points_are_refused() {
    let dir = tempfile::tempdir().expect("a temp dir");
    fs::write(dir.path().join("file"), b"x").expect("it writes");
    assert!(matches!(try_mount(&dir.path().join("none")).0, Err(MountError::Missing)));
    assert!(matches!(try_mount(&dir.path().join("file")).0, Err(MountError::NotDirectory)));
    assert!(matches!(try_mount(dir.path()).0, Err(MountError::NotEmpty)));
    assert_eq!(fs::read(dir.path().join("file")).expect("nothing was mounted over it"), b"x");
}

#[test]
fn unmount_refuses_while_a_file_is_open_and_works_after() {
    let mounted = Mounted::new();
    let mut file = File::create(mounted.path("f")).expect("it is made");
    file.write_all(b"dirty").expect("it writes");
    assert!(matches!(mounted.handle.unmount(Unmount::Clean), Err(MountError::Busy)));
    assert!(mounted.handle.is_serving());
    drop(file);
    unmount(&mounted.handle);
    mounted.handle.wait().expect("the loops end well");
    assert!(!mounted.handle.is_serving());
    assert_eq!(fs::read_dir(&mounted.point).expect("the directory below").count(), 0);
    mounted.handle.unmount(Unmount::Clean).expect("once more does nothing");
}

#[test]
fn a_detached_mount_serves_open_files_until_the_last_is_closed() {
    let mounted = Mounted::new();
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(mounted.path("f"));
    let file = file.as_mut().expect("it is made");
    file.write_all(b"before").expect("it writes");
    let ino = std::os::unix::fs::MetadataExt::ino(&file.metadata().expect("it stats"));
    mounted.handle.unmount(Unmount::Detach).expect("detaching always works");
    assert!(!mounted.path("f").exists(), "the path shows the directory below");
    file.write_all(b" after").expect("it writes");
    file.sync_all().expect("fsync reaches the daemon");
    assert_eq!(mounted.stored(ino, 64), b"before after");
    assert!(mounted.handle.is_serving());
}

#[test]
fn wait_returns_when_a_detached_mounts_last_file_is_closed() {
    let mounted = Mounted::new();
    let file = File::create(mounted.path("f")).expect("it is made");
    mounted.handle.unmount(Unmount::Detach).expect("detaching always works");
    drop(file);
    mounted.handle.wait().expect("the loops end well");
}

#[test]
fn an_unmount_by_somebody_else_ends_the_serving() {
    let mounted = Mounted::new();
    let status =
        Command::new("fusermount3").arg("-u").arg(&mounted.point).status().expect("fusermount3 runs");
    assert!(status.success());
    mounted.handle.wait().expect("the loops end well");
    mounted.handle.unmount(Unmount::Clean).expect("there is nothing left to do");
}

#[test]
fn the_helper_mounts_and_unmounts_like_the_kernel() {
    let mounted = Mounted::with(&MountOptions { helper: true, ..MountOptions::default() });
    fs::write(mounted.path("f"), b"through fusermount3").expect("it writes");
    let file = File::open(mounted.path("f")).expect("it opens");
    assert!(matches!(mounted.handle.unmount(Unmount::Clean), Err(MountError::Busy)));
    drop(file);
    unmount(&mounted.handle);
    mounted.handle.wait().expect("the loops end well");
}

/// What the process to be killed does instead of the test: serve until a signal ends it.
fn serve_for_ever(point: &Path) {
    let (handle, _dir) = try_mount(point);
    let handle = handle.expect("FUSE works on this machine");
    std::io::stdout().write_all(b"\nserving\n").expect("the test listens");
    handle.wait().expect("only a signal ends it");
}

/// A daemon of this test binary in a process of its own; killed when dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().expect("it is our child");
        self.0.wait().expect("it is our child");
    }
}

#[test]
fn a_mount_whose_daemon_was_killed_is_cleaned_first() {
    if let Some(point) = std::env::var_os(POINT_VARIABLE) {
        return serve_for_ever(Path::new(&point));
    }
    let dir = tempfile::tempdir().expect("a temp dir");
    let point = dir.path().join("Vault");
    fs::create_dir(&point).expect("a new directory");
    let mut daemon = Daemon(
        Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "--nocapture", "lifecycle::a_mount_whose_daemon_was_killed_is_cleaned_first"])
            .env(POINT_VARIABLE, &point)
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test starts again"),
    );
    let output = BufReader::new(daemon.0.stdout.take().expect("it is piped"));
    assert!(output.lines().any(|line| line.expect("text") == "serving"), "the daemon never served");
    assert!(matches!(try_mount(&point).0, Err(MountError::AlreadyMounted)), "a live mount is not cleaned");
    drop(daemon);
    // Rings end a moment after their process; what comes in between hears that it was broken off.
    loop {
        match rustix::fs::statfs(&point).map(drop) {
            Err(Errno::NOTCONN) => break,
            Err(Errno::CONNABORTED | Errno::CANCELED) => std::thread::yield_now(),
            answer => panic!("a dead mount answered {answer:?}"),
        }
    }

    let (handle, _dir) = try_mount(&point);
    let handle = handle.expect("the dead mount is detached first");
    fs::write(point.join("f"), b"alive").expect("it serves");
    let mut text = String::new();
    File::open(point.join("f")).expect("it opens").read_to_string(&mut text).expect("it reads");
    assert_eq!(text, "alive");
    unmount(&handle);
    handle.wait().expect("the loops end well");
}
