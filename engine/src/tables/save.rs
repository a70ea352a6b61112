//! Atomic saves: a new file renamed over an old one is a new content of the old one.
//!
//! Editors write a temporary file and rename it over the target. For programs here that must stay what
//! POSIX says: the name leads to the temporary's inode with its mode, owner, attributes and times, and
//! whoever has the old file open keeps it. For everybody else it is the same file, written once more:
//! its history goes on, and an edit elsewhere meets it as an edit, not as a deletion. So the two nodes
//! exchange their records' identities and keep their inodes. The temporary's identity goes with the old
//! node, into nothing: no other device ever heard of it.

use crate::journal::item::Item;
use crate::tables::Tables;
use crate::tables::node::{Link, Node, record_time};
use crate::{FsError, Ino, Kind};
use freehold_model::Stamp;
use freehold_vault::record::{Record, RecordError};
use std::sync::Arc;

impl Tables {
    /// Whether renaming `temp` over `old`, at this name, saves a file: both are plain files of one name, the
    /// old one is known to other devices and the temporary is not.
    pub(crate) fn is_save(&self, temp: Ino, old: Ino, at: (Ino, &[u8])) -> bool {
        let (Some(temp), Some(old)) = (self.nodes.get(temp), self.nodes.get(old)) else { return false };
        let Some(dir) = self.nodes.get(at.0).map(Node::file) else { return false };
        let stands_plain =
            old.record.links().all(|link| link.place.parent == dir && *link.place.name == *at.1);
        has_one_name(temp)
            && has_one_name(old)
            && stands_plain
            && old.sync.is_known()
            && !temp.sync.is_known()
    }

    /// Makes the temporary the old file's new content, under the old file's name.
    ///
    /// # Errors
    /// None when [`is_save`](Self::is_save) says so.
    pub(crate) fn save_over(
        &mut self,
        temp: Ino,
        from: (Ino, &[u8]),
        old: Ino,
        at: (Ino, &[u8]),
        stamp: Stamp,
    ) -> Result<(), FsError> {
        let (saved, dropped) = self.exchanged(temp, old, stamp)?;
        let link = self.node(old)?.links.first().map(|link| link.id).ok_or(FsError::NotFound)?;
        self.detach(temp, from.0, from.1)?;
        let now = self.now;
        let dir = self.change(at.0)?;
        dir.children.replace(at.1, temp);
        (dir.mtime, dir.ctime) = (now, now);
        let node = self.change(old)?;
        let sync = std::mem::take(&mut node.sync);
        node.links.clear();
        node.ctime = now;
        let lost = dropped.file();
        let before = std::mem::replace(&mut node.record, dropped);
        self.by_file.insert(lost, old);

        let node = self.change(temp)?;
        let is_changed = saved != before;
        let unsent = std::mem::replace(&mut node.sync, sync);
        node.record = saved;
        node.links = vec![Link { dir: at.0, name: Arc::from(at.1), id: link }];
        node.sync.has_version = true;
        node.sync.pins.extend(unsent.pins.iter().copied());
        node.body.shown = node.record.newest_content().map(|content| content.stamp.dot);
        node.body.log.retell(node.body.is_dirty());
        let (file, pins) = (node.file(), node.sync.pins.clone());
        self.by_file.insert(file, temp);
        if !unsent.pins.is_empty() {
            self.pending.push(Item::Pins { file, chunks: pins });
            self.pending.push(Item::Pins { file: lost, chunks: Vec::new() });
        }
        if let Some(node) = self.nodes.get_mut(old) {
            node.sync.dirty_since = unsent.dirty_since;
        }
        if is_changed {
            self.change_record(temp, stamp)?;
        }
        self.needs_show |= !self.is_plain;
        self.update_waiting(temp);
        self.update_waiting(old);
        Ok(())
    }

    /// The old file's record as the temporary is, and the temporary's as the old file is, without a name.
    fn exchanged(&self, temp: Ino, old: Ino, stamp: Stamp) -> Result<(Record, Record), FsError> {
        let (temp, old) = (self.node(temp)?, self.node(old)?);
        let (mut saved, mut dropped) = (old.record.clone(), temp.record.clone());
        wear(&mut saved, &temp.record, stamp)?;
        wear(&mut dropped, &old.record, stamp)?;
        // Bytes that are in no version yet become one when they are cut, as after any write.
        if let Some(content) = temp.record.newest_content().filter(|_| !temp.body.is_dirty()) {
            saved.set_content(content.body.clone(), record_time(temp.mtime), stamp)?;
        }
        let links: Vec<_> = dropped.links().map(|link| link.id).collect();
        links.iter().try_for_each(|link| dropped.remove_link(link, stamp))?;
        Ok((saved, dropped))
    }
}

/// A current file with one name and one content, nothing of it on an old base.
fn has_one_name(node: &Node) -> bool {
    node.kind() == Kind::File
        && node.successor.is_none()
        && node.links.len() == 1
        && node.record.links().count() == 1
        && node.record.contents().len() == 1
        && node.body.base.is_none()
}

/// Gives a record the mode, owner and attributes of another; what is alike is not written.
fn wear(record: &mut Record, of: &Record, stamp: Stamp) -> Result<(), RecordError> {
    if record.mode() != of.mode() {
        record.set_mode(of.mode(), stamp)?;
    }
    if record.owner() != of.owner() {
        record.set_owner(of.owner(), stamp);
    }
    // All that go first, so that the limit on their sum is not met halfway.
    let own: Vec<Vec<u8>> = record.xattrs().map(|(name, _)| name.to_vec()).collect();
    for name in own.iter().filter(|name| record.xattr(name) != of.xattr(name)).cloned().collect::<Vec<_>>() {
        record.remove_xattr(&name, stamp);
    }
    let theirs: Vec<(Vec<u8>, Vec<u8>)> =
        of.xattrs().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    for (name, value) in theirs {
        if record.xattr(&name) != Some(&value) {
            record.set_xattr(&name, &value, stamp)?;
        }
    }
    Ok(())
}
