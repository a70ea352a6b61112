//! The operating system's files, through `rustix` and the standard library.
//!
//! The directory is locked with `flock` for as long as the value lives: two processes appending to
//! one segment would destroy it. Files are created 0600, the directory 0700.

use super::{Disk, DiskFile, Space};
use crate::error::StoreError;
use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, FallocateFlags, FlockOperation};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Name of the file whose lock keeps other processes out.
const LOCK: &str = "lock";

/// Parts that the system takes in one call (`IOV_MAX`).
const PARTS_AT_ONCE: usize = 1024;

/// One directory of the operating system, locked.
#[derive(Debug)]
pub struct OsDisk {
    path: PathBuf,
    directory: File,
    _lock: File,
}

impl OsDisk {
    /// Opens the directory, creating it when absent, and takes its lock.
    ///
    /// # Errors
    /// `InUse` when another process holds the lock, `Io` when the directory cannot be made or
    /// written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(StoreError::io("create the store's directory"))?;
        let directory = File::open(path).map_err(StoreError::io("open the store's directory"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(StoreError::io("write in the store's directory"))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), directory, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse),
            Err(errno) => Err(StoreError::io("lock the store's directory")(errno.into())),
        }
    }
}

impl Disk for OsDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path.join(name))?;
        Ok(Arc::new(OsFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path.join(name))?;
        Ok(Arc::new(OsFile(file)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string()
                && name != LOCK
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn space(&self) -> io::Result<Space> {
        let stat = rustix::fs::fstatvfs(&self.directory)?;
        Ok(Space {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    fn unix_now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn fill_random(&self, buffer: &mut [u8]) -> io::Result<()> {
        getrandom::fill(buffer).map_err(|error| io::Error::other(error.to_string()))
    }
}

#[derive(Debug)]
struct OsFile(File);

impl DiskFile for OsFile {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        FileExt::read_exact_at(&self.0, buffer, offset)
    }

    /// Into memory as it is, which need not be filled with zeros first.
    fn append_exact_at(&self, offset: u64, len: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.reserve_exact(len);
        let (held, end) = (buffer.len(), buffer.len() + len);
        while buffer.len() < end {
            let at = offset + (buffer.len() - held) as u64;
            match rustix::io::pread(&self.0, spare_capacity(buffer), at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        // There may have been room for more.
        buffer.truncate(end);
        Ok(())
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        FileExt::write_all_at(&self.0, bytes, offset)
    }

    /// In one call, without putting them together first.
    fn write_parts_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        let parts = parts.iter().filter(|part| !part.is_empty());
        let mut slices: Vec<IoSlice<'_>> = parts.map(|part| IoSlice::new(part)).collect();
        let (mut rest, mut at) = (slices.as_mut_slice(), offset);
        while !rest.is_empty() {
            let (now, _) = rest.split_at(rest.len().min(PARTS_AT_ONCE));
            match rustix::io::pwritev(&self.0, now, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    at += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len(len_bytes)
    }

    fn reserve(&self, end: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::KEEP_SIZE, 0, end) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn drop_cached(&self) {
        self.dont_need(0, None);
    }

    fn will_need(&self, offset: u64, len: u64) {
        if let Err(error) = rustix::fs::fadvise(&self.0, offset, NonZeroU64::new(len), Advice::WillNeed) {
            tracing::debug!(%error, "the system read nothing ahead");
        }
    }

    fn release(&self, offset: u64, len: u64) {
        if let Some(len) = NonZeroU64::new(len) {
            self.dont_need(offset, Some(len));
        }
    }
}

impl OsFile {
    /// Linux begins to write out what is dirty and forgets the rest.
    fn dont_need(&self, offset: u64, len: Option<NonZeroU64>) {
        // Only a hint: where it fails, reads come from the cache as they always do.
        if let Err(error) = rustix::fs::fadvise(&self.0, offset, len, Advice::DontNeed) {
            tracing::debug!(%error, "the system kept its cached pages");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_behind_one_another_and_reads_append() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let disk = OsDisk::open(dir.path()).map_err(io::Error::other)?;
        let file = disk.create("file")?;
        // More than the system takes in one call, and empty ones at every place.
        let numbers: Vec<u8> = (0..=255).cycle().take(3 * PARTS_AT_ONCE).collect();
        let mut parts: Vec<&[u8]> = numbers.chunks(1).flat_map(|part| [&[][..], part]).collect();
        parts.push(&[]);
        file.write_parts_at(5, &parts)?;
        file.write_parts_at(0, &[b"first"])?;
        file.write_parts_at(0, &[])?;
        let mut bytes = b"before ".to_vec();
        bytes.reserve(10_000);
        file.append_exact_at(0, 5 + numbers.len(), &mut bytes)?;
        assert_eq!(bytes, [&b"before first"[..], &numbers].concat());
        let beyond = file.append_exact_at(6, numbers.len(), &mut Vec::new());
        assert_eq!(beyond.map_err(|error| error.kind()), Err(io::ErrorKind::UnexpectedEof));
        Ok(())
    }
}
