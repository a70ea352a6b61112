//! The mount as programs see it: real FUSE, real system calls, a real volume behind it.
//!
//! Needs `/dev/fuse` and `fusermount3`. Every test mounts for itself and detaches its mount even
//! when it fails: the handle does so when it is dropped.

#![cfg(target_os = "linux")]

mod attributes;
mod content;
mod lifecycle;
mod names;
mod remote;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use freehold_engine::{Ino, Volume};
use freehold_vfs::{MountError, MountHandle, MountOptions, Unmount};
use tempfile::TempDir;

use self::support::{once_free, open_volume};

/// One mounted volume. Fields are dropped in this order: the mount goes before its directory.
struct Mounted {
    handle: MountHandle,
    volume: Arc<Volume>,
    point: PathBuf,
    dir: TempDir,
}

impl Mounted {
    fn new() -> Self {
        Self::with(&MountOptions::default())
    }

    fn with(options: &MountOptions) -> Self {
        let options = &MountOptions { classic: is_classic(), ..options.clone() };
        let dir = tempfile::tempdir().expect("a temp dir");
        let volume = open_volume(&dir.path().join("state"));
        let point = dir.path().join("Vault");
        std::fs::create_dir(&point).expect("a new directory");
        let handle =
            freehold_vfs::mount(&point, volume.clone(), options).expect("FUSE works on this machine");
        Self { handle, volume, point, dir }
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.point.join(name)
    }

    /// Unmounts cleanly, closes the volume, and starts over from disk: what is seen afterwards is
    /// neither in the kernel's caches nor in the daemon's memory.
    fn remount(mut self) -> Self {
        unmount(&self.handle);
        self.handle.wait().expect("the loops end well");
        self.volume.close().expect("everything can be flushed");
        drop(self.volume);
        self.volume = open_volume(&self.dir.path().join("state"));
        let options = MountOptions { classic: is_classic(), ..MountOptions::default() };
        self.handle = freehold_vfs::mount(&self.point, self.volume.clone(), &options)
            .expect("the mount point is free again");
        self
    }

    /// What the daemon has, past the kernel's caches.
    fn stored(&self, ino: Ino, len: u32) -> Vec<u8> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let done = Box::new(move |answer| sender.send(answer).expect("the test waits"));
        self.volume.read(ino, 0, len, deadline, done);
        receiver.recv().expect("one answer").expect("local bytes").to_vec()
    }
}

/// Unmounts what nothing here uses any more.
fn unmount(handle: &MountHandle) {
    once_free(|| handle.unmount(Unmount::Clean), |error| matches!(error, MountError::Busy))
        .expect("nothing is open");
}

/// Whether to test the classic device where the kernel has rings.
fn is_classic() -> bool {
    std::env::var_os("FREEHOLD_TEST_CLASSIC").is_some()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Bytes that no two offsets within a test share a pattern of: a 64-bit multiplicative generator.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(len)
    .collect()
}
