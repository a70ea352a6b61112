//! RENAME: moving, replacing and exchanging names, each in one step.

use freehold_engine::Ino;
use rustix::io::Errno;

use super::Filesystem;
use crate::errno::from_engine;

/// renameat2(2) flags. `RENAME_WHITEOUT`, for overlay filesystems, is refused.
const NOREPLACE: u32 = libc::RENAME_NOREPLACE;
const EXCHANGE: u32 = libc::RENAME_EXCHANGE;

/// What RENAME asks for: directory and name on both sides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rename<'a> {
    pub(crate) from: (Ino, &'a [u8]),
    pub(crate) to: (Ino, &'a [u8]),
    pub(crate) flags: u32,
}

impl Filesystem {
    /// Renames. Afterwards the queue of invalidations knows where the kernel's dentries went,
    /// before the kernel hears of success.
    pub(crate) fn rename(&self, rename: &Rename<'_>) -> Result<(), Errno> {
        let Rename { from, to, flags } = *rename;
        if flags & !(NOREPLACE | EXCHANGE) != 0 || flags == NOREPLACE | EXCHANGE {
            return Err(Errno::INVAL);
        }
        let mut tables = self.volume.lock_names(&[from, to]).map_err(from_engine)?;
        tables.child(from.0, from.1).ok_or(Errno::NOENT)?;
        if flags == NOREPLACE && tables.child(to.0, to.1).is_some() {
            return Err(Errno::EXIST);
        }
        if flags == EXCHANGE {
            tables.exchange(from.0, from.1, to.0, to.1).map_err(from_engine)?;
        } else {
            tables.move_link(from.0, from.1, to.0, to.1).map_err(from_engine)?;
        }
        drop(tables);
        self.invals.renamed(from, to);
        if flags == EXCHANGE {
            self.invals.renamed(to, from);
        }
        Ok(())
    }
}
