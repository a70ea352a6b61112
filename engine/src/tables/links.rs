//! Changes of names: create, link, unlink, rename, exchange.
//!
//! Each call is one transaction under one stamp: it checks everything first, then changes the
//! record, both sides of the name (entry in the directory, link in the node) and the times POSIX
//! asks for. Directory times set here are implicit and stay on this device.

use crate::tables::Tables;
use crate::tables::node::{Link, Node, record_time};
use crate::{FsError, Ino, Kind, NewNode, ROOT};
use freehold_model::{FileId, LinkId, Stamp};
use freehold_vault::name::{self, NameError};
use freehold_vault::record::{self, Owner, Place, Record, RecordError};
use std::sync::Arc;

impl From<RecordError> for FsError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Name(error) => error.into(),
            RecordError::WrongKind(_) => Self::NotPermitted,
            RecordError::UnknownLink => Self::NotFound,
            RecordError::TooManyLinks => Self::TooManyLinks,
            RecordError::XattrName | RecordError::XattrSpace => Self::XattrTooBig,
            RecordError::OutOfRange => Self::Invalid,
        }
    }
}

impl From<NameError> for FsError {
    fn from(error: NameError) -> Self {
        match error {
            NameError::TooLong => Self::NameTooLong,
            NameError::Forbidden => Self::Invalid,
        }
    }
}

impl Tables {
    /// A live directory, for a new name in it.
    fn directory(&self, dir: Ino) -> Result<&Node, FsError> {
        let node = self.node(dir)?;
        match node.is_dir() {
            false => Err(FsError::NotDir),
            // A removed directory can still be somebody's working directory, but takes no entries.
            true if node.is_orphan() => Err(FsError::NotFound),
            true => Ok(node),
        }
    }

    fn free_name(&self, dir: Ino, name: &[u8]) -> Result<FileId, FsError> {
        name::validate(name)?;
        let node = self.directory(dir)?;
        if self.is_taken(dir, name) { Err(FsError::Exists) } else { Ok(node.file()) }
    }

    /// Shows a name: entry, link, times.
    fn attach(&mut self, ino: Ino, dir: Ino, name: &[u8], id: LinkId) -> Result<(), FsError> {
        let name: Arc<[u8]> = name.into();
        let now = self.now;
        let node = self.change(ino)?;
        let is_dir = node.is_dir();
        node.ctime = now;
        node.links.reserve_exact(1);
        node.links.push(Link { dir, name: Arc::clone(&name), id });
        self.needs_show |= !self.is_plain;
        let parent = self.change(dir)?;
        parent.mtime = now;
        parent.ctime = now;
        parent.children.insert(name, ino, is_dir);
        Ok(())
    }

    /// Hides a name and says which link it was.
    pub(super) fn detach(&mut self, ino: Ino, dir: Ino, name: &[u8]) -> Result<LinkId, FsError> {
        let now = self.now;
        let parent = self.change(dir)?;
        parent.mtime = now;
        parent.ctime = now;
        parent.children.remove(name);
        self.needs_show |= !self.is_plain;
        let node = self.change(ino)?;
        node.ctime = now;
        let index = node.links.iter().position(|link| link.dir == dir && &*link.name == name);
        let index = index.expect("every entry has a link on its node's side");
        Ok(node.links.remove(index).id)
    }

    /// Creates a node under a free name.
    ///
    /// # Errors
    /// `Exists`, `NotFound`, `NotDir`, `NameTooLong`, `Invalid`; `NoSpace` at the node cap and on a full
    /// disk.
    pub fn insert(&mut self, dir: Ino, name: &[u8], new: NewNode) -> Result<Ino, FsError> {
        let parent = self.free_name(dir, name)?;
        if new.target.is_some() != (new.kind == Kind::Symlink) {
            return Err(FsError::Invalid);
        }
        match &new.target {
            Some(target) if target.is_empty() => return Err(FsError::NotFound),
            Some(target) if target.len() > freehold_model::limits::SYMLINK_BYTES_MAX => {
                return Err(FsError::NameTooLong);
            }
            _ => {}
        }
        self.admit()?;
        let ino = self.take_ino()?;
        let (file, link, stamp) = (self.random_file(), self.random_link(), self.stamp());
        let now = self.now;
        let place = Place { parent, name: name.to_vec() };
        let record = new_record(file, new, now, link, place, stamp)?;
        let is_dir = record.kind() == record::Kind::Dir;
        self.nodes.insert(ino, Node::new(ino, record, now));
        self.by_file.insert(file, ino);
        self.change_record(ino, stamp)?;
        self.attach(ino, dir, name, if is_dir { LinkId::default() } else { link })?;
        Ok(ino)
    }

    /// Gives a node another name; of a replaced version, its successor.
    ///
    /// # Errors
    /// `NotPermitted` for directories, `TooManyLinks`, `NotFound` for a node without names, and as
    /// [`insert`](Self::insert).
    pub fn add_link(&mut self, ino: Ino, dir: Ino, name: &[u8]) -> Result<(), FsError> {
        let parent = self.free_name(dir, name)?;
        let ino = self.successor(ino);
        let node = self.node(ino)?;
        if node.is_dir() {
            return Err(FsError::NotPermitted);
        }
        if node.links.is_empty() {
            return Err(FsError::NotFound);
        }
        if node.links.len() >= freehold_model::limits::LINKS_MAX {
            return Err(FsError::TooManyLinks);
        }
        self.admit()?;
        let (link, stamp) = (self.random_link(), self.stamp());
        let place = Place { parent, name: name.to_vec() };
        self.change_record(ino, stamp)?.record.add_link(link, place, stamp)?;
        self.attach(ino, dir, name, link)
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
        let stamp = self.stamp();
        self.unlink(ino, dir, name, stamp)?;
        self.reap(ino);
        Ok(ino)
    }

    /// Takes one name off a node, in the record and in the tree.
    fn unlink(&mut self, ino: Ino, dir: Ino, name: &[u8], stamp: Stamp) -> Result<(), FsError> {
        let id = self.detach(ino, dir, name)?;
        let seen = self.seen.clone();
        let node = self.change_record(ino, stamp)?;
        if node.is_dir() {
            node.record.trash(&seen, stamp);
            // Directories shown as part of this one go with it.
            let parts = self.unified.remove(&self.node(ino)?.file()).unwrap_or_default();
            for part in parts {
                if let Some(part) = self.by_file.get(&part).copied() {
                    self.change_record(part, stamp)?.record.trash(&seen, stamp);
                }
            }
            Ok(())
        } else {
            Ok(node.record.remove_link(&id, stamp)?)
        }
    }

    /// Puts a name of a node elsewhere, in the record and in the tree.
    fn relink(
        &mut self,
        ino: Ino,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
        stamp: Stamp,
    ) -> Result<(), FsError> {
        let id = self.detach(ino, from.0, from.1)?;
        self.place(ino, id, to, stamp)
    }

    /// Writes a new place of a name and shows it there.
    fn place(&mut self, ino: Ino, id: LinkId, to: (Ino, &[u8]), stamp: Stamp) -> Result<(), FsError> {
        let place = Place { parent: self.node(to.0)?.file(), name: to.1.to_vec() };
        let node = self.change_record(ino, stamp)?;
        if node.is_dir() {
            node.record.set_dir_place(place, stamp)?;
        } else {
            node.record.move_link(&id, place, stamp)?;
        }
        self.attach(ino, to.0, to.1, id)
    }

    /// Renames, over what the new name leads to, and says which node that was.
    ///
    /// Two names of one file stay as they are, as POSIX wants. A new file over a known one is that file's
    /// next content ([`save_over`](Self::save_over)). One transaction: no state without
    /// either name exists, in memory or after a crash.
    ///
    /// # Errors
    /// `NotFound`, `NotDir`, `IsDir`, `NotEmpty`, `NameTooLong`; `Invalid` for a directory into itself.
    pub fn move_link(
        &mut self,
        dir: Ino,
        name: &[u8],
        new_dir: Ino,
        new_name: &[u8],
    ) -> Result<Option<Ino>, FsError> {
        name::validate(new_name)?;
        let ino = self.child(dir, name).ok_or(FsError::NotFound)?;
        self.directory(new_dir)?;
        let is_dir = self.node(ino)?.is_dir();
        if is_dir && self.is_ancestor(ino, new_dir) {
            return Err(FsError::Invalid);
        }
        let replaced = self.child(new_dir, new_name);
        if replaced.is_none() && self.is_taken(new_dir, new_name) {
            return Err(FsError::Exists);
        }
        if replaced == Some(ino) {
            return Ok(None);
        }
        let stamp = self.stamp();
        if let Some(old) = replaced.filter(|old| self.is_save(ino, *old, (new_dir, new_name))) {
            self.save_over(ino, (dir, name), old, (new_dir, new_name), stamp)?;
            self.reap(old);
            return Ok(replaced);
        }
        if let Some(old) = replaced {
            match (is_dir, self.node(old)?.is_dir()) {
                (true, false) => return Err(FsError::NotDir),
                (false, true) => return Err(FsError::IsDir),
                _ if !self.is_empty(old) => return Err(FsError::NotEmpty),
                _ => self.unlink(old, new_dir, new_name, stamp)?,
            }
            self.change(old)?.sync.replaced_by = Some(ino);
        }
        self.relink(ino, (dir, name), (new_dir, new_name), stamp)?;
        if let Some(old) = replaced {
            self.reap(old);
        }
        Ok(replaced)
    }

    /// Exchanges what two names lead to.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when a directory would come to lie below itself.
    pub fn exchange(
        &mut self,
        dir: Ino,
        name: &[u8],
        other_dir: Ino,
        other_name: &[u8],
    ) -> Result<(), FsError> {
        let ino = self.child(dir, name).ok_or(FsError::NotFound)?;
        let other = self.child(other_dir, other_name).ok_or(FsError::NotFound)?;
        if ino == other {
            return Ok(());
        }
        if self.is_ancestor(ino, other_dir) || self.is_ancestor(other, dir) {
            return Err(FsError::Invalid);
        }
        let stamp = self.stamp();
        let id = self.detach(ino, dir, name)?;
        let other_id = self.detach(other, other_dir, other_name)?;
        self.place(ino, id, (other_dir, other_name), stamp)?;
        self.place(other, other_id, (dir, name), stamp)
    }

    /// Whether a directory may take entries: it exists and was not removed.
    #[must_use]
    pub fn is_live_dir(&self, dir: Ino) -> bool {
        dir == ROOT || self.directory(dir).is_ok()
    }
}

/// The first record of a new node.
fn new_record(
    file: FileId,
    new: NewNode,
    now: crate::Time,
    link: LinkId,
    place: Place,
    stamp: Stamp,
) -> Result<Record, RecordError> {
    let mode = u16::try_from(new.mode & 0o7777).expect("twelve bits fit");
    let owner = Owner { uid: new.uid, gid: new.gid };
    let base = record::NewNode { mode, owner, mtime: record_time(now) };
    let special = |kind| Record::new_special(file, kind, base, new.rdev, link, place.clone(), stamp);
    match new.kind {
        Kind::File => Record::new_file(file, base, link, place, stamp),
        Kind::Dir => Record::new_dir(file, base, place, stamp),
        Kind::Symlink => Record::new_symlink(file, base, new.target.unwrap_or_default(), link, place, stamp),
        Kind::Fifo => special(record::Kind::Fifo),
        Kind::Socket => special(record::Kind::Socket),
        Kind::Char => special(record::Kind::Char),
        Kind::Block => special(record::Kind::Block),
    }
}
