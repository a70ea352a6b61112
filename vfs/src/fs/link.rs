//! LINK: another name for a node.

use freehold_engine::{Attr, Ino};
use rustix::io::Errno;

use super::{Filesystem, hand_out};
use crate::errno::from_engine;

impl Filesystem {
    /// Gives a node another name. A node that a remote version has replaced passes the name on to
    /// its successor: the caller asked by a path, and the kernel found the old node in a cache it
    /// has not been told to drop yet. The kernel accepts the other node id.
    pub(crate) fn link(&self, ino: Ino, dir: Ino, name: &[u8]) -> Result<Attr, Errno> {
        let mut tables = self.volume.lock_for(&[ino], &[(dir, name)]).map_err(from_engine)?;
        let current = tables.successor(ino);
        tables.add_link(current, dir, name).map_err(from_engine)?;
        hand_out(&mut tables, current)
    }
}
