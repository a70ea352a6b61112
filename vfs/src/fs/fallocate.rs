//! FALLOCATE and COPY_FILE_RANGE: space and sharing without moving bytes.

use freehold_engine::{Ino, Preallocate};
use rustix::io::Errno;

use super::Filesystem;
use crate::errno::from_engine;

/// Largest copy one reply can report: the reply has 32 bits, and the kernel likes whole pages.
const MAX_COPY_BYTES: u64 = (u32::MAX as u64) & !4095;

const GROW: i32 = 0;
const KEEP: i32 = libc::FALLOC_FL_KEEP_SIZE;
const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE;
const ZERO_KEEP: i32 = libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE;

/// What COPY_FILE_RANGE asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CopyRange {
    pub(crate) from: Ino,
    pub(crate) from_offset: u64,
    pub(crate) to: Ino,
    pub(crate) to_offset: u64,
    pub(crate) len: u64,
}

impl Filesystem {
    /// Reserves, punches or zeroes a range. Collapsing and inserting are refused.
    pub(crate) fn fallocate(&self, ino: Ino, offset: u64, len: u64, mode: i32) -> Result<(), Errno> {
        let how = match mode {
            GROW => Preallocate::Grow,
            KEEP => Preallocate::KeepSize,
            PUNCH | ZERO_KEEP => Preallocate::Punch,
            ZERO => Preallocate::ZeroRange,
            _ => return Err(Errno::OPNOTSUPP),
        };
        if len == 0 {
            return Err(Errno::INVAL);
        }
        self.volume.preallocate(ino, offset, len, how).map_err(from_engine)?;
        match how {
            Preallocate::KeepSize => Ok(()),
            _ => self.content_changed(ino),
        }
    }

    /// Copies by sharing and says how many bytes: fewer than asked at the end of the source, 0
    /// beyond it.
    pub(crate) fn copy_file_range(&self, copy: &CopyRange) -> Result<u32, Errno> {
        let len = copy.len.min(MAX_COPY_BYTES);
        let copied = self
            .volume
            .copy_range(copy.from, copy.from_offset, copy.to, copy.to_offset, len)
            .map_err(from_engine)?;
        if copied > 0 {
            self.content_changed(copy.to)?;
        }
        u32::try_from(copied).map_err(|_| Errno::IO)
    }
}
