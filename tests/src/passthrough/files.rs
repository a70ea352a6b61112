//! Operations on contents: open, read, write, sync, reserve.

use super::nodes::Nodes;
use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;

/// The caller's flags as the daemon must open a file under the writeback cache: the kernel reads what a partial
/// page lacks, and places appended bytes itself.
pub(super) fn for_daemon(flags: i32) -> OFlags {
    let flags = OFlags::from_bits_retain(flags.cast_unsigned());
    let access = match flags & OFlags::RWMODE {
        OFlags::RDONLY => OFlags::RDONLY,
        _ => OFlags::RDWR,
    };
    access | (flags & OFlags::EXCL)
}

impl Nodes {
    /// Opens a file; its handle.
    pub(super) fn open(&self, number: u64, flags: i32) -> Result<u64, Errno> {
        Ok(self.keep_open(self.reopen(number, for_daemon(flags))?))
    }

    /// Up to so many bytes at an offset; fewer only at the end of the file.
    pub(super) fn read(&self, handle: u64, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let file = self.open_file(handle)?;
        let mut bytes: Vec<u8> = Vec::with_capacity(len);
        while bytes.len() < len {
            let at = offset + bytes.len() as u64;
            if rustix::io::pread(&*file, rustix::buffer::spare_capacity(&mut bytes), at)? == 0 {
                break;
            }
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Writes all of it.
    pub(super) fn write(&self, handle: u64, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let file = self.open_file(handle)?;
        let mut done = 0;
        while done < data.len() {
            done += rustix::io::pwrite(&*file, &data[done..], offset + done as u64)?;
        }
        Ok(())
    }

    /// Makes a file durable, without its times where only the data is asked for.
    pub(super) fn sync(&self, handle: u64, is_data_only: bool) -> Result<(), Errno> {
        let file = self.open_file(handle)?;
        if is_data_only { rustix::fs::fdatasync(&*file) } else { rustix::fs::fsync(&*file) }
    }

    /// Makes a folder's names durable.
    pub(super) fn sync_dir(&self, number: u64) -> Result<(), Errno> {
        rustix::fs::fsync(self.reopen(number, OFlags::DIRECTORY | OFlags::RDONLY)?)
    }

    /// Reserves or punches, as the mode says.
    pub(super) fn allocate(&self, handle: u64, mode: i32, offset: u64, len: u64) -> Result<(), Errno> {
        let mode = FallocateFlags::from_bits_retain(mode.cast_unsigned());
        rustix::fs::fallocate(&*self.open_file(handle)?, mode, offset, len)
    }
}
