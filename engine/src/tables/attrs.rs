//! Changes of attributes: mode, owner, times, extended attributes.
//!
//! Each is a register of its own in the record, so a remote `chmod` and a local `setfattr` both
//! survive. `ctime` follows every change; `atime` and `ctime` never leave this device.

use crate::tables::Tables;
use crate::{FsError, Ino, SetTimes};
use freehold_model::limits;

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
    /// Sets the permission bits.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_mode(&mut self, ino: Ino, mode: u32) -> Result<(), FsError> {
        let now = self.now;
        let node = self.change(ino)?;
        node.mode = mode & 0o7777;
        node.ctime = now;
        Ok(())
    }

    /// Sets owner and group.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_owner(&mut self, ino: Ino, uid: u32, gid: u32) -> Result<(), FsError> {
        let now = self.now;
        let node = self.change(ino)?;
        node.uid = uid;
        node.gid = gid;
        node.ctime = now;
        Ok(())
    }

    /// Sets times, `ctime` to now where none is given.
    ///
    /// An mtime set here is explicit and travels: with the next content of a file, in the record
    /// of everything else.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_times(&mut self, ino: Ino, times: SetTimes) -> Result<(), FsError> {
        let now = self.now;
        let node = self.change(ino)?;
        node.atime = times.atime.unwrap_or(node.atime);
        node.mtime = times.mtime.unwrap_or(node.mtime);
        node.ctime = times.ctime.unwrap_or(now);
        Ok(())
    }

    /// The value of an extended attribute.
    #[must_use]
    pub fn xattr(&self, ino: Ino, name: &[u8]) -> Option<&[u8]> {
        self.nodes.get(&ino)?.xattrs.get(name).map(|value| &**value)
    }

    /// The names of the extended attributes, in order.
    pub fn xattrs(&self, ino: Ino) -> impl Iterator<Item = &[u8]> {
        self.nodes.get(&ino).into_iter().flat_map(|node| node.xattrs.keys().map(|name| &**name))
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    /// `NotFound`, `XattrExists`, `NoXattr`, `XattrTooBig`.
    pub fn set_xattr(&mut self, ino: Ino, name: &[u8], value: &[u8], mode: XattrMode) -> Result<(), FsError> {
        let node = self.node(ino)?;
        match (mode, node.xattrs.contains_key(name)) {
            (XattrMode::Create, true) => return Err(FsError::XattrExists),
            (XattrMode::Replace, false) => return Err(FsError::NoXattr),
            _ => {}
        }
        let others: usize =
            node.xattrs.iter().filter(|(key, _)| &***key != name).map(|(key, value)| key.len() + value.len()).sum();
        if name.is_empty()
            || name.len() > limits::XATTR_NAME_BYTES_MAX
            || value.len() > limits::XATTR_VALUE_BYTES_MAX
            || others + name.len() + value.len() > limits::XATTR_TOTAL_BYTES_MAX
        {
            return Err(FsError::XattrTooBig);
        }
        let now = self.now;
        let node = self.change(ino)?;
        node.xattrs.insert(name.into(), value.into());
        node.ctime = now;
        Ok(())
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// `NotFound`, `NoXattr`.
    pub fn remove_xattr(&mut self, ino: Ino, name: &[u8]) -> Result<(), FsError> {
        if !self.node(ino)?.xattrs.contains_key(name) {
            return Err(FsError::NoXattr);
        }
        let now = self.now;
        let node = self.change(ino)?;
        node.xattrs.remove(name);
        node.ctime = now;
        Ok(())
    }
}
