//! Remote records coming in: merge, compare, show.
//!
//! Each record is merged with what is here; attributes change in place, content changes by a version
//! swap. In a plain tree only the names of changed records are looked at (`reshow`); what that cannot
//! decide is resolved over the whole tree.

use crate::body::Body;
use crate::tables::Tables;
use crate::tables::node::{Node, shown_time};
use crate::{Ino, Notice};
use freehold_model::{FileId, VersionHash};
use freehold_vault::record::Record;
use std::collections::BTreeSet;

/// A version of a record that another device wrote, opened and verified.
#[derive(Clone, Debug)]
pub struct RemoteVersion {
    /// Hash of its ciphertext.
    pub version: VersionHash,
    /// The versions it names as superseded.
    pub supersedes: Vec<VersionHash>,
    /// The record.
    pub record: Record,
}

impl Tables {
    /// Merges versions and shows the result. The ids of records that could not be merged come back:
    /// no honest device wrote them.
    pub(crate) fn apply(
        &mut self,
        versions: Vec<RemoteVersion>,
        notices: &mut BTreeSet<Notice>,
    ) -> Vec<FileId> {
        let mut refused = Vec::new();
        let was_plain = self.is_plain && !self.needs_show;
        let mut changed = Vec::new();
        if versions.iter().any(|remote| remote.record.trash_mark().is_some()) {
            let unsent: Vec<Ino> = self.uncut.iter().copied().collect();
            unsent.into_iter().for_each(|ino| self.assert_unsent(ino));
        }
        for remote in versions {
            let file = remote.record.file();
            assert!(!self.asleep.has(&file), "whoever speaks of a file that sleeps wakes it first");
            match self.by_file.get(&file).copied() {
                Some(ino) => match self.merge(ino, remote, notices) {
                    Some(true) => changed.push(file),
                    Some(false) => {}
                    None => refused.push(file),
                },
                None => {
                    self.adopt(remote);
                    changed.push(file);
                }
            }
        }
        // Found by their ids: a version may have come on top of another in the same step.
        let mut seen = BTreeSet::new();
        let current = changed.iter().filter_map(|file| self.by_file.get(file).copied());
        let changed: Vec<Ino> = current.filter(|ino| seen.insert(*ino)).collect();
        if !was_plain || !self.reshow(&changed, notices) {
            self.show_or_leave(notices);
        }
        #[cfg(test)]
        assert!(self.needs_show || self.shows_its_records(), "the short way shows what the long way would");
        refused
    }

    /// Writes down that a file with unsent bytes was edited, so that a deletion whose author had not
    /// seen the edit does not win: its content itself goes into the record only when it is cut.
    fn assert_unsent(&mut self, ino: Ino) {
        let Some(node) = self.nodes.get(ino) else { return };
        if !node.body.is_dirty() || node.is_deleted() || node.successor.is_some() {
            return;
        }
        let (mode, stamp) = (node.record.mode(), self.stamp());
        if let Ok(node) = self.change_record(ino, stamp)
            && node.record.set_mode(mode, stamp).is_err()
        {
            tracing::error!("a record held a mode that no record can hold");
        }
    }

    /// Takes in a node nobody here knew.
    fn adopt(&mut self, remote: RemoteVersion) {
        let ino = self.next_ino;
        self.next_ino += 1;
        self.seen.join(remote.record.context());
        let mut node = Node::new(ino, remote.record, self.now);
        node.sync.heads = vec![remote.version];
        node.sync.has_version = true;
        self.by_file.insert(node.file(), ino);
        self.nodes.insert(ino, node);
        self.dirty.insert(ino);
        self.op += 1;
    }

    /// Merges a version into a node; whether that changed its record, or `None` when it cannot be merged.
    fn merge(&mut self, ino: Ino, remote: RemoteVersion, notices: &mut BTreeSet<Notice>) -> Option<bool> {
        let node = self.nodes.get(ino)?;
        if node.record.links().any(|link| remote.record.link(&link.id).is_none()) {
            self.assert_unsent(ino);
        }
        let node = self.nodes.get_mut(ino)?;
        let mut heads: Vec<VersionHash> =
            node.sync.heads.iter().filter(|head| !remote.supersedes.contains(head)).copied().collect();
        if !heads.contains(&remote.version) {
            heads.push(remote.version);
        }
        let merged = node.record.merge(&remote.record).ok()?;
        node.sync.heads = heads;
        self.seen.join(remote.record.context());
        self.op += 1;
        self.dirty.insert(ino);
        if merged == node.record {
            return Some(false);
        }
        let old = std::mem::replace(&mut node.record, merged);
        node.ctime = self.now;
        if node.record.mtime() != old.mtime() && !node.body.is_dirty() {
            node.mtime = shown_time(node.record.mtime());
        }
        notices.insert(Notice::Attr { ino });
        self.follow_content(ino, old, notices);
        Some(true)
    }

    /// Makes the shown content that of the record, unless unsent bytes stand on the old one.
    pub(crate) fn follow_content(&mut self, ino: Ino, old: Record, notices: &mut BTreeSet<Notice>) {
        let is_held = self.nodes.lookups(ino) > 0;
        let Some(node) = self.nodes.get_mut(ino) else { return };
        let newest = node.record.newest_content();
        if newest.map(|content| content.stamp.dot) == node.body.shown {
            return;
        }
        if node.body.is_dirty() {
            // A local edit on an old base: it becomes a version of its own beside the remote one.
            node.body.base.get_or_insert_with(|| Box::new(old));
            return;
        }
        let shown = old.contents().iter().find(|content| Some(content.stamp.dot) == node.body.shown);
        let is_same = matches!((shown, newest), (Some(a), Some(b)) if a.body.same_plain(&b.body));
        if is_same || !is_held {
            node.body = Body { log: std::mem::take(&mut node.body.log), ..Body::of_record(&node.record) };
            return;
        }
        self.swap(ino, old, notices);
    }

    /// Puts a new inode in the place of one whose content changed; the old one stays readable.
    fn swap(&mut self, ino: Ino, old: Record, notices: &mut BTreeSet<Notice>) {
        let new_ino = self.next_ino;
        self.next_ino += 1;
        let now = self.now;
        let Some(node) = self.nodes.get_mut(ino) else { return };
        let record = std::mem::replace(&mut node.record, old);
        let mut fresh = Node::new(new_ino, record, now);
        fresh.old_versions = 1;
        fresh.sync = std::mem::take(&mut node.sync);
        fresh.links = std::mem::take(&mut node.links);
        fresh.atime = node.atime;
        fresh.body.log = std::mem::take(&mut node.body.log);
        node.successor = Some(new_ino);
        node.ctime = now;
        let links = fresh.links.clone();
        self.by_file.insert(fresh.file(), new_ino);
        if self.waiting.remove(&ino) {
            self.waiting.insert(new_ino);
        }
        self.nodes.insert(new_ino, fresh);
        self.dirty.remove(&ino);
        self.dirty.insert(new_ino);
        for link in links {
            if let Some(parent) = self.nodes.get_mut(link.dir) {
                parent.children.replace(&link.name, new_ino);
            }
            notices.insert(Notice::Entry { parent: link.dir, name: link.name.to_vec() });
            notices.insert(Notice::Listing { dir: link.dir });
        }
        notices.insert(Notice::Detached { ino });
    }
}
