//! FSYNC and FSYNCDIR: everything up to here is on this disk.

use freehold_engine::Ino;
use rustix::io::Errno;

use super::Filesystem;
use crate::errno::from_engine;

impl Filesystem {
    /// Returns once the node's data, attributes and names are on stable storage; for a directory,
    /// its entries. One group commit serves every caller waiting. Says nothing about other devices
    /// or nodes. A lost write is reported here, once.
    pub(crate) fn fsync(&self, ino: Ino) -> Result<(), Errno> {
        self.volume.fsync(Some(ino)).map_err(from_engine)
    }
}
