//! Making and changing records: each write names its stamp.
//!
//! A write always beats what its author saw: when the stamp's clock is not past the newest reading
//! in the record, it is raised just past it. Several changes of one operation share one stamp.
//! Every change but those of links asserts the node's links again, so that a deletion which had not
//! seen it cannot win (edit beats delete). Do not call mutators on a node the user has deleted.

use super::content::{Body, Content, Time};
use super::link::{Link, Names, Place};
use super::observed;
use super::place::{DirPlace, ParentEdge, Trash};
use super::register::Register;
use super::xattr::Xattr;
use super::{Kind, NewNode, Node, Owner, Record, SpecialKind};
use crate::limits;
use crate::name::{self, NameError};
use freehold_model::{FileId, Hlc, LinkId, Stamp, VersionVector};

/// A change the format does not allow. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The name cannot stand in a directory.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The operation does not exist for this kind of node.
    #[error("a {0:?} node has no such property")]
    WrongKind(Kind),
    /// The node has no such link.
    #[error("the node has no such link; look the name up again")]
    UnknownLink,
    /// One more link than a record carries (EMLINK).
    #[error("a node carries at most {} links", limits::LINKS_MAX)]
    TooManyLinks,
    /// The attribute's name is empty or over its limit (ERANGE).
    #[error("an attribute name has 1 to {} bytes", limits::XATTR_NAME_BYTES_MAX)]
    XattrName,
    /// The attribute's value, or all attributes together, are over their limit (ENOSPC).
    #[error(
        "attributes hold at most {} bytes each, {} together",
        limits::XATTR_VALUE_BYTES_MAX,
        limits::XATTR_TOTAL_BYTES_MAX
    )]
    XattrSpace,
    /// A mode, target, time or inline body out of its range.
    #[error("a value is out of the range the record format has")]
    OutOfRange,
}

impl Record {
    /// A new empty file with its first link.
    ///
    /// # Errors
    /// `Name`, `OutOfRange`.
    pub fn new_file(
        file: FileId,
        new: NewNode,
        link: LinkId,
        place: Place,
        stamp: Stamp,
    ) -> Result<Self, RecordError> {
        name::validate(&place.name)?;
        let content = Content { stamp, mtime: Register::new(stamp, new.mtime), body: Body::empty() };
        let names = Names::one(link, place, stamp);
        Self::fresh(file, new, stamp, Node::File { names, contents: vec![content] })
    }

    /// A new directory.
    ///
    /// # Errors
    /// `Name`, `OutOfRange`.
    pub fn new_dir(file: FileId, new: NewNode, place: Place, stamp: Stamp) -> Result<Self, RecordError> {
        name::validate(&place.name)?;
        let parents = vec![ParentEdge { stamp, parent: place.parent }];
        let place = DirPlace { name: Register::new(stamp, place.name), parents, trash: None };
        Self::fresh(file, new, stamp, Node::Dir { mtime: Register::new(stamp, new.mtime), place })
    }

    /// The root directory: [`super::ROOT`], no name, no parent.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub fn new_root(new: NewNode, stamp: Stamp) -> Result<Self, RecordError> {
        let place = DirPlace { name: Register::new(stamp, Vec::new()), parents: Vec::new(), trash: None };
        Self::fresh(super::ROOT, new, stamp, Node::Dir { mtime: Register::new(stamp, new.mtime), place })
    }

    /// A new symbolic link. Its target never changes.
    ///
    /// # Errors
    /// `Name`; `OutOfRange` for an empty or over-long target.
    pub fn new_symlink(
        file: FileId,
        new: NewNode,
        target: Vec<u8>,
        link: LinkId,
        place: Place,
        stamp: Stamp,
    ) -> Result<Self, RecordError> {
        name::validate(&place.name)?;
        if target.is_empty() || target.len() > limits::SYMLINK_BYTES_MAX {
            return Err(RecordError::OutOfRange);
        }
        let (names, mtime) = (Names::one(link, place, stamp), Register::new(stamp, new.mtime));
        Self::fresh(file, new, stamp, Node::Symlink { names, mtime, target })
    }

    /// A new fifo, socket or device.
    ///
    /// # Errors
    /// `WrongKind` for any other kind; `Name`, `OutOfRange`.
    pub fn new_special(
        file: FileId,
        kind: Kind,
        new: NewNode,
        rdev: u32,
        link: LinkId,
        place: Place,
        stamp: Stamp,
    ) -> Result<Self, RecordError> {
        name::validate(&place.name)?;
        let kind = match kind {
            Kind::Fifo => SpecialKind::Fifo,
            Kind::Socket => SpecialKind::Socket,
            Kind::Char => SpecialKind::Char,
            Kind::Block => SpecialKind::Block,
            Kind::File | Kind::Dir | Kind::Symlink => return Err(RecordError::WrongKind(kind)),
        };
        let (names, mtime) = (Names::one(link, place, stamp), Register::new(stamp, new.mtime));
        let rdev = Register::new(stamp, rdev);
        Self::fresh(file, new, stamp, Node::Special { kind, names, mtime, rdev })
    }

    fn fresh(file: FileId, new: NewNode, stamp: Stamp, node: Node) -> Result<Self, RecordError> {
        check_mode(new.mode)?;
        check_time(new.mtime)?;
        Ok(Self {
            file,
            context: [stamp.dot].into_iter().collect(),
            mode: Register::new(stamp, new.mode),
            owner: Register::new(stamp, new.owner),
            xattrs: Vec::new(),
            node,
        })
    }

    /// Sets the permission bits.
    ///
    /// # Errors
    /// `OutOfRange` above `0o7777`.
    pub fn set_mode(&mut self, mode: u16, stamp: Stamp) -> Result<(), RecordError> {
        check_mode(mode)?;
        let stamp = self.edit(stamp);
        self.mode = Register::new(stamp, mode);
        Ok(())
    }

    /// Sets the owner.
    pub fn set_owner(&mut self, owner: Owner, stamp: Stamp) {
        let stamp = self.edit(stamp);
        self.owner = Register::new(stamp, owner);
    }

    /// Sets the modification time: of the current content for files, the explicit one otherwise.
    ///
    /// # Errors
    /// `OutOfRange` for a second or more of nanoseconds.
    pub fn set_mtime(&mut self, time: Time, stamp: Stamp) -> Result<(), RecordError> {
        check_time(time)?;
        let stamp = self.edit(stamp);
        match &mut self.node {
            Node::File { contents, .. } => {
                if let Some(content) = contents.iter_mut().max_by_key(|content| content.stamp) {
                    content.mtime = Register::new(stamp, time);
                }
            }
            Node::Dir { mtime, .. } | Node::Symlink { mtime, .. } | Node::Special { mtime, .. } => {
                *mtime = Register::new(stamp, time);
            }
        }
        Ok(())
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    /// `XattrName`, `XattrSpace`.
    pub fn set_xattr(&mut self, name: &[u8], value: &[u8], stamp: Stamp) -> Result<(), RecordError> {
        if name.is_empty() || name.len() > limits::XATTR_NAME_BYTES_MAX {
            return Err(RecordError::XattrName);
        }
        let others: usize =
            self.xattrs().filter(|(key, _)| *key != name).map(|(key, value)| key.len() + value.len()).sum();
        let total = others + name.len() + value.len();
        if value.len() > limits::XATTR_VALUE_BYTES_MAX || total > limits::XATTR_TOTAL_BYTES_MAX {
            return Err(RecordError::XattrSpace);
        }
        let stamp = self.edit(stamp);
        self.xattrs.retain(|xattr| xattr.name != name);
        observed::insert(&mut self.xattrs, Xattr { name: name.to_vec(), stamp, value: value.to_vec() });
        Ok(())
    }

    /// Removes an extended attribute; whether there was one.
    pub fn remove_xattr(&mut self, name: &[u8], stamp: Stamp) -> bool {
        if self.xattr(name).is_none() {
            return false;
        }
        self.edit(stamp);
        self.xattrs.retain(|xattr| xattr.name != name);
        true
    }

    /// Replaces the current content of a file. Losing values of a conflict stay: they show as files
    /// of their own, and only [`Record::settle`] or their own deletion takes them away.
    ///
    /// # Errors
    /// `WrongKind` for anything but a file, `OutOfRange` for an over-long body or a bad time.
    pub fn set_content(&mut self, body: Body, mtime: Time, stamp: Stamp) -> Result<(), RecordError> {
        let kind = self.kind();
        if kind != Kind::File {
            return Err(RecordError::WrongKind(kind));
        }
        check_time(mtime)?;
        if matches!(&body, Body::Inline(bytes) if bytes.len() > limits::INLINE_BYTES_MAX)
            || body.size() > limits::FILE_BYTES_MAX
            || matches!(&body, Body::Chunked(chunked) if chunked.size == 0)
        {
            return Err(RecordError::OutOfRange);
        }
        let stamp = self.edit(stamp);
        if let Node::File { contents, .. } = &mut self.node {
            if let Some(current) = contents.iter().max_by_key(|content| content.stamp).cloned() {
                contents.retain(|old| old.stamp != current.stamp && !old.body.same_plain(&current.body));
            }
            observed::insert(contents, Content { stamp, mtime: Register::new(stamp, mtime), body });
        }
        Ok(())
    }

    /// Adds a name.
    ///
    /// # Errors
    /// `WrongKind` for directories, `Name`, `TooManyLinks`.
    pub fn add_link(&mut self, id: LinkId, place: Place, stamp: Stamp) -> Result<(), RecordError> {
        name::validate(&place.name)?;
        let Some(names) = self.names() else { return Err(RecordError::WrongKind(Kind::Dir)) };
        if names.find(&id).is_none() && names.current().count() >= limits::LINKS_MAX {
            return Err(RecordError::TooManyLinks);
        }
        self.put_link(id, place, stamp);
        Ok(())
    }

    /// Moves or renames a name.
    ///
    /// # Errors
    /// `UnknownLink`, `Name`.
    pub fn move_link(&mut self, id: &LinkId, place: Place, stamp: Stamp) -> Result<(), RecordError> {
        name::validate(&place.name)?;
        self.link(id).ok_or(RecordError::UnknownLink)?;
        self.put_link(*id, place, stamp);
        Ok(())
    }

    fn put_link(&mut self, id: LinkId, place: Place, stamp: Stamp) {
        let stamp = self.begin(stamp);
        if let Some(names) = self.names_mut() {
            names.put(Link { id, asserted: stamp, placed: stamp, place });
        }
    }

    /// Removes a name. The last one leaves the node in the trash, with its place remembered.
    ///
    /// # Errors
    /// `UnknownLink`.
    pub fn remove_link(&mut self, id: &LinkId, stamp: Stamp) -> Result<(), RecordError> {
        let place = self.link(id).ok_or(RecordError::UnknownLink)?.place.clone();
        let stamp = self.begin(stamp);
        if let Some(names) = self.names_mut() {
            names.links.retain(|link| link.id != *id);
            if names.links.is_empty() {
                names.unlinked = Some(Register::new(stamp, place));
            }
        }
        Ok(())
    }

    /// Moves or renames a directory; a part that stays the same is not written.
    ///
    /// # Errors
    /// `WrongKind` for anything else and for the root, `Name`.
    pub fn set_dir_place(&mut self, place: Place, stamp: Stamp) -> Result<(), RecordError> {
        name::validate(&place.name)?;
        let kind = self.kind();
        if kind != Kind::Dir || self.file == super::ROOT {
            return Err(RecordError::WrongKind(kind));
        }
        let stamp = self.begin(stamp);
        if let Node::Dir { place: dir, .. } = &mut self.node {
            if dir.name.value != place.name {
                dir.name = Register::new(stamp, place.name);
            }
            if dir.newest().is_none_or(|edge| edge.parent != place.parent) {
                dir.parents.retain(|edge| edge.parent != place.parent);
                dir.prune(limits::PARENTS_MAX - 1);
                observed::insert(&mut dir.parents, ParentEdge { stamp, parent: place.parent });
            }
        }
        Ok(())
    }

    /// Deletes the node. For a directory, `seen` is every write its author had seen in the vault:
    /// what is below and not in it survives. For anything else all links go.
    pub fn trash(&mut self, seen: &VersionVector, stamp: Stamp) {
        let stamp = self.begin(stamp);
        let context = self.context.clone();
        if let Node::Dir { place, .. } = &mut self.node {
            let mut trash = Trash { stamp, seen: seen.clone() };
            trash.seen.join(&context);
            place.trash = Some(place.trash.as_ref().map_or(trash.clone(), |old| old.merge(&trash)));
            return;
        }
        if let Some(names) = self.names_mut() {
            let last = names.current().max_by_key(|link| link.placed).map(|link| link.place.clone());
            names.links.clear();
            names.unlinked = last.map(|place| Register::new(stamp, place)).or(names.unlinked.take());
        }
    }

    /// Brings a deleted directory back where it stood. Files come back by [`Record::add_link`].
    pub fn revive_dir(&mut self, stamp: Stamp) {
        self.begin(stamp);
    }

    /// Drops content and attributes of a deleted node after the retention time. An edit its author
    /// had not seen survives, and revives the node.
    pub fn purge(&mut self, stamp: Stamp) {
        let stamp = self.begin(stamp);
        self.xattrs.clear();
        match &mut self.node {
            Node::File { contents, .. } => contents.clear(),
            Node::Dir { place, .. } => place.trash.iter_mut().for_each(|trash| trash.seen.observe(stamp.dot)),
            Node::Symlink { .. } | Node::Special { .. } => {}
        }
    }

    /// Notes the write and raises its clock past everything the author saw. Changes of one
    /// operation share a dot, so a later one stays level with an earlier one.
    pub(super) fn begin(&mut self, stamp: Stamp) -> Stamp {
        let mut hlc = stamp.hlc;
        self.each_stamp(&mut |seen| {
            let past = if seen.dot == stamp.dot { seen.hlc } else { Hlc(seen.hlc.0.saturating_add(1)) };
            hlc = hlc.max(past);
        });
        self.context.observe(stamp.dot);
        Stamp { hlc, dot: stamp.dot }
    }

    /// As [`Record::begin`], and asserts the links.
    fn edit(&mut self, stamp: Stamp) -> Stamp {
        let stamp = self.begin(stamp);
        if let Some(names) = self.names_mut() {
            names.assert_all(stamp);
        }
        stamp
    }
}

const fn check_mode(mode: u16) -> Result<(), RecordError> {
    if mode <= 0o7777 { Ok(()) } else { Err(RecordError::OutOfRange) }
}

const fn check_time(time: Time) -> Result<(), RecordError> {
    if time.nanos < 1_000_000_000 { Ok(()) } else { Err(RecordError::OutOfRange) }
}
