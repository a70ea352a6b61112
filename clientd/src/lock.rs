//! One daemon per data folder.

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::Path;

/// Takes the lock until the file is dropped; the kernel releases it when the process ends in any way.
///
/// # Errors
/// When another daemon holds it, or the file cannot be made.
pub(crate) fn take(path: &Path) -> Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("could not open {}", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            bail!("another daemon already runs here; `freehold status` talks to it")
        }
        Err(error) => Err(error).with_context(|| format!("could not lock {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_until_the_first_ends() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("lock");
        let first = take(&path).expect("free");
        assert!(take(&path).is_err());
        drop(first);
        assert!(take(&path).is_ok());
    }
}
