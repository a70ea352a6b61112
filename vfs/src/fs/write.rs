//! WRITE: bytes into the journal's buffer and the extent map.

use freehold_engine::{Ino, SetTimes};
use rustix::io::Errno;

use super::{Filesystem, drop_privileges, set_times};
use crate::errno::from_engine;
use crate::time;

/// What WRITE asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write<'a> {
    pub(crate) offset: u64,
    pub(crate) data: &'a [u8],
    /// The kernel's page cache sends it, up to 30 s after the program wrote; times come by SETATTR.
    pub(crate) from_cache: bool,
    /// The writer's privileges demand that set-id bits fall.
    pub(crate) kill_suid: bool,
}

impl Filesystem {
    /// Writes all of it and says how much that was. A node without names, or replaced by a remote
    /// version, takes writes as well: the kernel may deliver them long after the name is gone.
    pub(crate) fn write(&self, ino: Ino, write: &Write<'_>) -> Result<u32, Errno> {
        let written = u32::try_from(write.data.len()).map_err(|_| Errno::INVAL)?;
        self.volume.write(ino, write.offset, write.data).map_err(from_engine)?;
        if write.from_cache && !write.kill_suid {
            return Ok(written);
        }
        let mut tables = self.volume.lock_nodes(&[ino]).map_err(from_engine)?;
        if write.kill_suid {
            drop_privileges(&mut tables, ino)?;
        }
        if !write.from_cache {
            set_times(&mut tables, ino, SetTimes { mtime: Some(time::now()), ..SetTimes::default() })?;
        }
        Ok(written)
    }
}
