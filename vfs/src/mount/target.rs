//! Decides whether a path may be mounted on, and cleans what a killed daemon left there.
//!
//! A killed daemon leaves a mount that answers `ENOTCONN`, if it had rings after a moment in which
//! requests are broken off. Mounting over it fails, so it is detached first, but only if it is ours
//! by type. Death is asked by `statfs`, never by `stat`,
//! which the kernel's cache may still answer. Whether a live foreign daemon hangs is not our
//! concern, so the question has a deadline.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use rustix::io::Errno;

use super::device::{self, Via};
use super::{MountError, table};
use crate::limits::{MAX_STALE_MOUNTS, PROBE_DEADLINE, PROBE_INTERVAL};

/// Returns the absolute path to mount on: an existing, empty directory with nothing mounted on it.
pub(super) fn prepare(point: &Path) -> Result<PathBuf, MountError> {
    let point = absolute(point)?;
    clean_stale(&point)?;
    let metadata = fs::metadata(&point).map_err(missing)?;
    if !metadata.is_dir() {
        return Err(MountError::NotDirectory);
    }
    let mut entries = fs::read_dir(&point)
        .map_err(|source| MountError::Kernel { what: "the directory cannot be listed", source })?;
    match entries.next() {
        None => Ok(point),
        Some(_) => Err(MountError::NotEmpty),
    }
}

/// The path with its parents resolved. The last component is looked at only if nothing is mounted
/// on it.
fn absolute(point: &Path) -> Result<PathBuf, MountError> {
    let Some(name) = point.file_name() else {
        return fs::canonicalize(point).map_err(missing);
    };
    let parent = match point.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let literal = fs::canonicalize(parent).map_err(missing)?.join(name);
    let mounted = table::mounted_at(&literal).map_err(table_unreadable)?;
    match mounted {
        Some(_) => Ok(literal),
        None => fs::canonicalize(&literal).map_err(missing),
    }
}

fn clean_stale(point: &Path) -> Result<(), MountError> {
    for _ in 0..MAX_STALE_MOUNTS {
        let Some(mounted) = table::mounted_at(point).map_err(table_unreadable)? else {
            return Ok(());
        };
        if mounted.fs_type != device::FS_TYPE || !is_dead(point) {
            return Err(MountError::AlreadyMounted);
        }
        tracing::info!("detaching the mount a stopped daemon left");
        let direct = rustix::process::geteuid().is_root().then(|| device::unmount(point, Via::Kernel, true));
        if !matches!(direct, Some(Ok(()))) {
            device::unmount(point, Via::Helper, true)?;
        }
    }
    Err(MountError::AlreadyMounted)
}

/// Whether the daemon behind the mount is gone.
fn is_dead(point: &Path) -> bool {
    let (answers, answer) = mpsc::channel();
    let point = point.to_owned();
    let asked = thread::Builder::new().name("freehold-probe".into()).spawn(move || {
        // Nobody listens after the deadline; the thread ends when the mount answers.
        let _ = answers.send(last_word(&point));
    });
    asked.is_ok() && answer.recv_timeout(PROBE_DEADLINE).is_ok_and(|word| word == Some(Errno::NOTCONN))
}

/// What a mount says to `statfs`, none if all is well, once it no longer breaks requests off.
fn last_word(point: &Path) -> Option<Errno> {
    let deadline = Instant::now() + PROBE_DEADLINE;
    loop {
        match rustix::fs::statfs(point).err() {
            Some(Errno::CONNABORTED | Errno::CANCELED) if Instant::now() < deadline => {
                thread::sleep(PROBE_INTERVAL);
            }
            word => return word,
        }
    }
}

fn missing(error: io::Error) -> MountError {
    match error.kind() {
        io::ErrorKind::NotFound => MountError::Missing,
        io::ErrorKind::NotADirectory => MountError::NotDirectory,
        _ => MountError::Kernel { what: "the mount point cannot be reached", source: error },
    }
}

fn table_unreadable(source: io::Error) -> MountError {
    MountError::Kernel { what: "the mount table cannot be read", source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_is_taken_by_its_resolved_path() {
        let dir = tempfile::tempdir().expect("a temp dir");
        let point = dir.path().join("Vault");
        fs::create_dir(&point).expect("a new directory");
        std::os::unix::fs::symlink(&point, dir.path().join("link")).expect("a symlink");
        let resolved = fs::canonicalize(&point).expect("it exists");
        assert_eq!(prepare(&point).expect("it is empty"), resolved);
        assert_eq!(prepare(&dir.path().join("link")).expect("it leads to an empty one"), resolved);
    }

    #[test]
    fn a_missing_a_full_and_a_plain_file_mount_point_are_told_apart() {
        let dir = tempfile::tempdir().expect("a temp dir");
        fs::write(dir.path().join("file"), b"x").expect("a new file");
        assert!(matches!(prepare(&dir.path().join("none")), Err(MountError::Missing)));
        assert!(matches!(prepare(&dir.path().join("none/below")), Err(MountError::Missing)));
        assert!(matches!(prepare(&dir.path().join("file")), Err(MountError::NotDirectory)));
        assert!(matches!(prepare(dir.path()), Err(MountError::NotEmpty)));
    }

    #[test]
    fn a_live_foreign_mount_is_refused() {
        assert!(matches!(prepare(Path::new("/proc")), Err(MountError::AlreadyMounted)));
    }
}
