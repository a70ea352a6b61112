//! UNLINK and RMDIR: names go; nodes stay while the kernel refers to them.

use freehold_engine::{Ino, Kind};
use rustix::io::Errno;

use super::Filesystem;
use crate::errno::from_engine;

impl Filesystem {
    /// Removes a name of anything but a directory.
    pub(crate) fn unlink(&self, parent: Ino, name: &[u8]) -> Result<(), Errno> {
        self.remove(parent, name, |kind| if kind == Kind::Dir { Err(Errno::ISDIR) } else { Ok(()) })
    }

    /// Removes an empty directory.
    pub(crate) fn rmdir(&self, parent: Ino, name: &[u8]) -> Result<(), Errno> {
        self.remove(parent, name, |kind| if kind == Kind::Dir { Ok(()) } else { Err(Errno::NOTDIR) })
    }

    fn remove(
        &self,
        parent: Ino,
        name: &[u8],
        fits: impl FnOnce(Kind) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut tables = self.named(parent, name)?;
        let ino = tables.child(parent, name).ok_or(Errno::NOENT)?;
        fits(tables.kind(ino).ok_or(Errno::STALE)?)?;
        tables.remove_link(parent, name).map(drop).map_err(from_engine)
    }
}
