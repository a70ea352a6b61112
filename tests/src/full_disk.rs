//! A disk small enough to fill: a tmpfs of a given size.

use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A small disk, unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts a tmpfs of `mib` MiB at a new folder.
    ///
    /// # Errors
    /// Without the right to mount.
    pub fn mount(path: &Path, mib: u32) -> Result<Self> {
        std::fs::create_dir_all(path)?;
        let size = format!("size={mib}m");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).status()?;
        ensure!(status.success(), "mounting a tmpfs of {mib} MiB failed");
        Ok(Self { path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills it to the last block; returns the file that does.
    ///
    /// # Errors
    /// When it cannot be written for another reason than being full.
    pub fn fill(&self) -> Result<PathBuf> {
        use std::io::{ErrorKind, Write};
        let ballast = self.path.join("ballast");
        let mut file = std::fs::File::create(&ballast)?;
        let block = vec![0x55; 1 << 16];
        for len in [block.len(), 512, 1] {
            loop {
                match file.write_all(&block[..len]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(ballast)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").args(["-l", "--"]).arg(&self.path).stderr(Stdio::null()).status());
    }
}
