//! The store's view of one directory: flat files, explicit flushes, a clock and randomness.
//!
//! Everything the store needs from outside passes through [`Disk`] and [`DiskFile`], so that a test
//! can stand in for the hardware: lose what was not flushed, tear a sector, fail a flush, fill up.
//! [`OsDisk`] is the real one.

#[cfg(test)]
pub(crate) mod crash;
mod os;

use std::io;
use std::sync::Arc;

pub use os::OsDisk;

/// Room on the file system that holds the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes an ordinary process may still write.
    pub free_bytes: u64,
    /// Bytes of the whole file system.
    pub total_bytes: u64,
}

/// One flat directory, owned by one store.
pub trait Disk: Send + Sync {
    /// Creates a file that must not exist yet; durable only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// As the system says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// As the system says; `NotFound` when it is not there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Names of all files, in no order.
    ///
    /// # Errors
    /// As the system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Replaces `to` by `from`; durable only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; open handles stay readable.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes created, renamed and removed names durable.
    ///
    /// # Errors
    /// As the system says; never to be retried.
    fn sync_dir(&self) -> io::Result<()>;

    /// Room left.
    ///
    /// # Errors
    /// As the system says.
    fn space(&self) -> io::Result<Space>;

    /// Seconds since 1970.
    fn unix_now(&self) -> u64;

    /// Fills the buffer with random bytes.
    ///
    /// # Errors
    /// As the system says.
    fn fill_random(&self, buffer: &mut [u8]) -> io::Result<()>;
}

/// One open file; every call names its offset, so handles are shared freely.
pub trait DiskFile: Send + Sync {
    /// Fills the whole buffer from `offset`.
    ///
    /// # Errors
    /// As the system says; `UnexpectedEof` when the file ends first.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Appends `len` bytes from `offset` to a buffer.
    ///
    /// # Errors
    /// As [`DiskFile::read_exact_at`]; what was appended is anything then.
    fn append_exact_at(&self, offset: u64, len: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        let held = buffer.len();
        buffer.resize(held.saturating_add(len), 0);
        self.read_exact_at(offset, buffer.get_mut(held..).unwrap_or_default())
    }

    /// Writes all bytes at `offset`; durable only after [`DiskFile::sync_data`].
    ///
    /// # Errors
    /// As the system says; part of the bytes may have been written.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Writes parts one behind the other from `offset` on, as [`DiskFile::write_all_at`] does.
    ///
    /// # Errors
    /// As there.
    fn write_parts_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        self.write_all_at(offset, &parts.concat())
    }

    /// Length in bytes.
    ///
    /// # Errors
    /// As the system says.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Cuts or extends to a length.
    ///
    /// # Errors
    /// As the system says.
    fn set_len(&self, len_bytes: u64) -> io::Result<()>;

    /// Allocates room up to `end` without changing the length. Quietly does nothing where the file
    /// system cannot.
    ///
    /// # Errors
    /// As the system says, a full disk above all.
    fn reserve(&self, end: u64) -> io::Result<()>;

    /// Makes bytes and length durable.
    ///
    /// # Errors
    /// As the system says. Never to be retried: the kernel marks the lost pages clean, so a second
    /// call would lie.
    fn sync_data(&self) -> io::Result<()>;

    /// Forgets cached clean pages, so that the next read asks the hardware. A hint.
    fn drop_cached(&self);

    /// These bytes are likely to be read soon. A hint; returns at once.
    fn will_need(&self, offset: u64, len: u64);

    /// These bytes are not likely to be read soon: what is written out already need not stay in memory,
    /// what is not may be written out now. A hint.
    fn release(&self, offset: u64, len: u64);
}
