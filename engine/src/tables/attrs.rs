//! Changes of attributes: mode, owner, times, extended attributes.
//!
//! Each is a register of its own in the record, so a remote `chmod` and a local `setfattr` both
//! survive. `ctime` follows every change; `atime` and `ctime` never leave this device. Attributes
//! set through a handle on a replaced version go to the version that replaced it as well.

use crate::tables::Tables;
use crate::tables::node::{Node, record_time};
use crate::tables::nodes::Peek;
use crate::{FsError, Ino, Kind, SetTimes};
use freehold_model::{Stamp, limits};
use freehold_vault::record::{Owner, RecordError};

/// What `setxattr` may find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XattrMode {
    /// Create or replace.
    #[default]
    Set,
    /// Refuse to replace.
    Create,
    /// Refuse to create.
    Replace,
}

impl Tables {
    /// Changes the record of a node, and of the version that replaced it.
    fn set(
        &mut self,
        ino: Ino,
        mut change: impl FnMut(&mut Node, Stamp) -> Result<(), RecordError>,
    ) -> Result<(), FsError> {
        self.node(ino)?;
        let (now, stamp, successor) = (self.now, self.stamp(), self.successor(ino));
        // A removed directory would come back to life by a write to its record.
        let node = self.node(successor)?;
        if node.is_dir() && node.is_deleted() {
            self.change(successor)?.ctime = now;
            return Ok(());
        }
        let node = self.change_record(successor, stamp)?;
        node.ctime = now;
        change(node, stamp)?;
        if successor != ino {
            let old = self.change(ino)?;
            old.ctime = now;
            change(old, stamp)?;
        }
        Ok(())
    }

    /// Sets the permission bits.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_mode(&mut self, ino: Ino, mode: u32) -> Result<(), FsError> {
        let mode = u16::try_from(mode & 0o7777).expect("twelve bits fit");
        self.set(ino, |node, stamp| node.record.set_mode(mode, stamp))
    }

    /// Sets owner and group.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_owner(&mut self, ino: Ino, uid: u32, gid: u32) -> Result<(), FsError> {
        self.set(ino, |node, stamp| {
            node.record.set_owner(Owner { uid, gid }, stamp);
            Ok(())
        })
    }

    /// Sets times, `ctime` to now where none is given.
    ///
    /// An mtime set here is explicit and travels: with the next content of a file that has unsent
    /// bytes, in the record of everything else. `atime` and `ctime` stay on this device.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for a second or more of nanoseconds.
    pub fn set_times(&mut self, ino: Ino, times: SetTimes) -> Result<(), FsError> {
        let given = [times.atime, times.mtime, times.ctime];
        if given.into_iter().flatten().any(|time| time.nanos >= 1_000_000_000) {
            return Err(FsError::Invalid);
        }
        let now = self.now;
        let node = self.change(ino)?;
        node.atime = times.atime.unwrap_or(node.atime);
        node.ctime = times.ctime.unwrap_or(now);
        let Some(mtime) = times.mtime.filter(|mtime| *mtime != node.mtime) else { return Ok(()) };
        node.mtime = mtime;
        let rides_with_content = node.kind() == Kind::File && node.body.is_dirty();
        if rides_with_content || node.is_deleted() || node.successor.is_some() {
            // The cut reads it; make sure it does, though no byte changed since its snapshot.
            if rides_with_content {
                node.body.touch(now.millis());
            }
            return Ok(());
        }
        let stamp = self.stamp();
        Ok(self.change_record(ino, stamp)?.record.set_mtime(record_time(mtime), stamp)?)
    }

    /// The value of an extended attribute.
    #[must_use]
    pub fn xattr(&self, ino: Ino, name: &[u8]) -> Option<Vec<u8>> {
        self.nodes.peek(ino)?.record.xattr(name).map(<[u8]>::to_vec)
    }

    /// The names of the extended attributes, in order.
    #[must_use]
    pub fn xattrs(&self, ino: Ino) -> Vec<Vec<u8>> {
        let names = |node: Peek<'_>| node.record.xattrs().map(|(name, _)| name.to_vec()).collect();
        self.nodes.peek(ino).map(names).unwrap_or_default()
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    /// `NotFound`, `XattrExists`, `NoXattr`, `XattrTooBig`, `NoSpace`.
    pub fn set_xattr(&mut self, ino: Ino, name: &[u8], value: &[u8], mode: XattrMode) -> Result<(), FsError> {
        let record = &self.node(ino)?.record;
        match (mode, record.xattr(name).is_some()) {
            (XattrMode::Create, true) => return Err(FsError::XattrExists),
            (XattrMode::Replace, false) => return Err(FsError::NoXattr),
            _ => {}
        }
        let others: usize =
            record.xattrs().filter(|(key, _)| *key != name).map(|(key, value)| key.len() + value.len()).sum();
        if name.is_empty()
            || name.len() > limits::XATTR_NAME_BYTES_MAX
            || value.len() > limits::XATTR_VALUE_BYTES_MAX
            || others + name.len() + value.len() > limits::XATTR_TOTAL_BYTES_MAX
        {
            return Err(FsError::XattrTooBig);
        }
        self.admit()?;
        self.set(ino, |node, stamp| node.record.set_xattr(name, value, stamp))
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// `NotFound`, `NoXattr`.
    pub fn remove_xattr(&mut self, ino: Ino, name: &[u8]) -> Result<(), FsError> {
        if self.node(ino)?.record.xattr(name).is_none() {
            return Err(FsError::NoXattr);
        }
        self.set(ino, |node, stamp| {
            node.record.remove_xattr(name, stamp);
            Ok(())
        })
    }
}
