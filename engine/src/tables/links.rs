//! Changes of names: create, link, unlink, rename, exchange.
//!
//! Each call is one transaction: it checks everything first, then changes both sides (the name in
//! the directory, the link in the node) and the times POSIX asks for. Directory times set here are
//! implicit and stay on this device.

use crate::tables::node::{Link, Node};
use crate::tables::Tables;
use crate::{FsError, Ino, Kind, NewNode, ROOT, limits};
use freehold_model::{FileId, limits as model_limits};
use std::sync::Arc;

/// Checks a name as every POSIX file system does.
fn check_name(name: &[u8]) -> Result<(), FsError> {
    if name.len() > model_limits::NAME_BYTES_MAX {
        return Err(FsError::NameTooLong);
    }
    if name.is_empty() || name == b"." || name == b".." || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
        return Err(FsError::Invalid);
    }
    Ok(())
}

impl Tables {
    /// A live directory, for a new name in it.
    fn directory(&self, dir: Ino) -> Result<&Node, FsError> {
        let node = self.node(dir)?;
        if node.kind != Kind::Dir {
            return Err(FsError::NotDir);
        }
        // A removed directory can still be somebody's working directory, but takes no entries.
        if node.links.is_empty() && dir != ROOT {
            return Err(FsError::NotFound);
        }
        Ok(node)
    }

    fn free_name(&self, dir: Ino, name: &[u8]) -> Result<(), FsError> {
        check_name(name)?;
        match self.directory(dir)?.children.entry(name) {
            Some(_) => Err(FsError::Exists),
            None => Ok(()),
        }
    }

    fn attach(&mut self, ino: Ino, dir: Ino, name: &[u8]) -> Result<(), FsError> {
        let name: Arc<[u8]> = name.into();
        let now = self.now;
        let node = self.change(ino)?;
        let is_dir = node.kind == Kind::Dir;
        node.ctime = now;
        node.links.push(Link { dir, name: Arc::clone(&name) });
        let parent = self.change(dir)?;
        parent.mtime = now;
        parent.ctime = now;
        parent.children.insert(name, ino, is_dir);
        Ok(())
    }

    fn detach(&mut self, ino: Ino, dir: Ino, name: &[u8]) -> Result<(), FsError> {
        let now = self.now;
        let parent = self.change(dir)?;
        parent.mtime = now;
        parent.ctime = now;
        parent.children.remove(name);
        let node = self.change(ino)?;
        node.ctime = now;
        node.links.retain(|link| !(link.dir == dir && &*link.name == name));
        Ok(())
    }

    /// Drops a node that lost its last name unless the kernel still refers to it.
    fn reap(&mut self, ino: Ino) {
        if self.nodes.get(&ino).is_some_and(|node| node.links.is_empty() && node.lookups == 0) {
            self.drop_node(ino);
        }
    }

    /// Creates a node under a free name.
    ///
    /// # Errors
    /// `Exists`, `NotFound`, `NotDir`, `NameTooLong`, `Invalid`; `NoSpace` at the node cap.
    pub fn insert(&mut self, dir: Ino, name: &[u8], new: NewNode) -> Result<Ino, FsError> {
        self.free_name(dir, name)?;
        match (&new.target, new.kind) {
            (Some(target), Kind::Symlink) if target.is_empty() => return Err(FsError::NotFound),
            (Some(target), Kind::Symlink) if target.len() > model_limits::SYMLINK_BYTES_MAX => {
                return Err(FsError::NameTooLong);
            }
            (Some(_), Kind::Symlink) => {}
            (None, kind) if kind != Kind::Symlink => {}
            _ => return Err(FsError::Invalid),
        }
        if self.nodes.len() >= limits::NODES_MAX {
            return Err(FsError::NoSpace);
        }
        let mut id = [0; FileId::LEN];
        self.entropy.fill(&mut id);
        let file = FileId::from_bytes(id);
        let ino = self.next_ino;
        self.next_ino += 1;
        let mut node = self.blank(ino, file, new.kind, new.mode, new.uid, new.gid);
        node.rdev = new.rdev;
        node.target = new.target.map(Vec::into_boxed_slice);
        self.nodes.insert(ino, node);
        self.by_file.insert(file, ino);
        self.attach(ino, dir, name)?;
        Ok(ino)
    }

    /// Gives a node another name.
    ///
    /// # Errors
    /// `NotPermitted` for directories, `TooManyLinks`, `NotFound` for a node without names, and as
    /// [`insert`](Self::insert).
    pub fn add_link(&mut self, ino: Ino, dir: Ino, name: &[u8]) -> Result<(), FsError> {
        self.free_name(dir, name)?;
        let node = self.node(ino)?;
        match (node.kind, node.links.len()) {
            (Kind::Dir, _) => Err(FsError::NotPermitted),
            (_, 0) => Err(FsError::NotFound),
            (_, model_limits::LINKS_MAX..) => Err(FsError::TooManyLinks),
            _ => self.attach(ino, dir, name),
        }
    }

    /// Removes a name and says which node it led to; directories must be empty.
    ///
    /// The caller decides between `unlink` and `rmdir` by [`kind`](Self::kind) first.
    ///
    /// # Errors
    /// `NotFound`, `NotEmpty`.
    pub fn remove_link(&mut self, dir: Ino, name: &[u8]) -> Result<Ino, FsError> {
        let ino = self.child(dir, name).ok_or(FsError::NotFound)?;
        if !self.is_empty(ino) {
            return Err(FsError::NotEmpty);
        }
        self.detach(ino, dir, name)?;
        self.reap(ino);
        Ok(ino)
    }

    /// Renames, over what the new name leads to, and says which node that was.
    ///
    /// Two names of one file stay as they are, as POSIX wants. One transaction: no state without
    /// either name exists, in memory or after a crash.
    ///
    /// # Errors
    /// `NotFound`, `NotDir`, `IsDir`, `NotEmpty`, `NameTooLong`; `Invalid` for a directory into itself.
    pub fn move_link(&mut self, dir: Ino, name: &[u8], new_dir: Ino, new_name: &[u8]) -> Result<Option<Ino>, FsError> {
        check_name(new_name)?;
        let ino = self.child(dir, name).ok_or(FsError::NotFound)?;
        self.directory(new_dir)?;
        let is_dir = self.node(ino)?.kind == Kind::Dir;
        if is_dir && self.is_ancestor(ino, new_dir) {
            return Err(FsError::Invalid);
        }
        let replaced = self.child(new_dir, new_name);
        if replaced == Some(ino) {
            return Ok(None);
        }
        if let Some(old) = replaced {
            match (is_dir, self.node(old)?.kind == Kind::Dir) {
                (true, false) => return Err(FsError::NotDir),
                (false, true) => return Err(FsError::IsDir),
                _ if !self.is_empty(old) => return Err(FsError::NotEmpty),
                _ => self.detach(old, new_dir, new_name)?,
            }
        }
        self.detach(ino, dir, name)?;
        self.attach(ino, new_dir, new_name)?;
        if let Some(old) = replaced {
            self.reap(old);
        }
        Ok(replaced)
    }

    /// Exchanges what two names lead to.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when a directory would come to lie below itself.
    pub fn exchange(&mut self, dir: Ino, name: &[u8], other_dir: Ino, other_name: &[u8]) -> Result<(), FsError> {
        let ino = self.child(dir, name).ok_or(FsError::NotFound)?;
        let other = self.child(other_dir, other_name).ok_or(FsError::NotFound)?;
        if ino == other {
            return Ok(());
        }
        if self.is_ancestor(ino, other_dir) || self.is_ancestor(other, dir) {
            return Err(FsError::Invalid);
        }
        self.detach(ino, dir, name)?;
        self.detach(other, other_dir, other_name)?;
        self.attach(ino, other_dir, other_name)?;
        self.attach(other, dir, name)
    }
}
