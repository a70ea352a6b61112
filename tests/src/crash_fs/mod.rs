//! A file system in memory whose power can be cut between any two operations, mounted for real programs.
//!
//! Programs keep their data folders on it and notice nothing. Every operation that changes something is recorded
//! ([`trace`]); behind any number of them [`CrashFs::image`] writes into an ordinary folder what a power cut at that
//! point would have left, one of many possibilities by a seed. [`CrashFs::recording`] hands out everything that was
//! done below one folder, to look behind each operation. Flushes and writes can be made to fail, and the disk to be full.
//!
//! The model is at least as harsh as ext4 with `data=ordered`:
//!
//! - `fsync` of a file keeps its bytes and size, and nothing else: not its name, which ext4 would keep too.
//! - `fsync` of any folder keeps every name made, moved or removed before: one journal has them all in order. Of
//!   later changes of names some prefix is kept, which may be none.
//! - A write that was not flushed is kept, lost, or torn: of each 512-byte sector the seed decides. A size that was
//!   set and not kept takes the later operations of that file with it, as the journal's order does.
//! - A flush that failed has lost what it should have kept, for ever: the pages count as clean, a later flush succeeds
//!   and keeps only what was written since.

mod adapter;
mod disk;
mod found;
mod recording;
mod trace;

pub use recording::{Image, Recording};
pub use trace::Unflushed;

use adapter::Adapter;
use anyhow::{Context, Result};
use disk::Disk;
use fuser::{BackgroundSession, Config, MountOption, SessionACL};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is to go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The flush that fails, counted from now: 0 is the next one.
    pub failing_sync: Option<u64>,
    /// Every flush fails.
    pub fails_syncs: bool,
    /// Every write fails.
    pub fails_writes: bool,
    /// Bytes that still fit.
    pub free_bytes: Option<u64>,
}

/// The mounted file system. Unmounted when dropped; what it recorded can be used until then.
#[derive(Debug)]
pub struct CrashFs {
    path: PathBuf,
    disk: Arc<Mutex<Disk>>,
    session: Option<BackgroundSession>,
}

impl CrashFs {
    /// Mounts an empty one at a new folder.
    ///
    /// # Errors
    /// Without the right to mount.
    pub fn mount(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)?;
        let disk = Arc::new(Mutex::new(Disk::default()));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("crash".into()), MountOption::DefaultPermissions];
        config.acl = SessionACL::All;
        config.n_threads = Some(2);
        let session = fuser::spawn_mount(Adapter::new(Arc::clone(&disk)), path, &config);
        let session = Some(session.context("mount the crash file system")?);
        Ok(Self { path: path.to_owned(), disk, session })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Operations so far: a place at which the power may be cut. What a program was told before this call came
    /// from operations before this place.
    #[must_use]
    pub fn position(&self) -> u64 {
        lock(&self.disk).trace.len() as u64
    }

    /// Tells the position from elsewhere.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Fn() -> u64 + Send + Sync> {
        let disk = Arc::clone(&self.disk);
        Arc::new(move || lock(&disk).trace.len() as u64)
    }

    /// Lets things go wrong from now on, or no longer.
    pub fn inject(&self, faults: Faults) {
        lock(&self.disk).inject(faults);
    }

    /// Whether a flush that was to fail has done so.
    #[must_use]
    pub fn has_failed_a_sync(&self) -> bool {
        lock(&self.disk).has_failed
    }

    /// Writes to a new folder what a power cut behind `position` operations leaves, as the seed decides.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn image(&self, position: u64, seed: u64, folder: &Path) -> Result<()> {
        let found = {
            let disk = lock(&self.disk);
            let end = usize::try_from(position).unwrap_or(usize::MAX).min(disk.trace.len());
            trace::settle(&disk.trace[..end], Unflushed::Drawn(seed))
        };
        found.write_to(trace::ROOT, folder)
    }

    /// What was done below one folder at the top of the disk.
    #[must_use]
    pub fn recording(&self, top: &str) -> Recording {
        Recording::of(&lock(&self.disk).trace, top.as_ref())
    }
}

impl Drop for CrashFs {
    fn drop(&mut self) {
        // A program that was killed may still be in the middle of a call here: it must not keep the mount.
        drop(Command::new("umount").args(["-l", "--"]).arg(&self.path).stderr(Stdio::null()).status());
        drop(self.session.take());
    }
}

/// A test that failed elsewhere must not hide behind a poisoned lock.
fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}
