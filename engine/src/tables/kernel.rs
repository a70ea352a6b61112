//! What the kernel holds: lookup counts, and what becomes of nodes it lets go.
//!
//! A node without names lives as long as somebody has it open. With the last reference its content
//! goes, unsent; its record stays if another device may know the node, because the deletion has to
//! travel.

use crate::body::Body;
use crate::journal::item::Item;
use crate::tables::Tables;
use crate::{Ino, ROOT};

impl Tables {
    /// Notes `count` more references of the kernel to a node.
    pub fn remember(&mut self, ino: Ino, count: u64) {
        if !self.nodes.hold(ino, count) {
            self.asleep.hold(ino, count);
        }
    }

    /// Drops `count` references; a node without names goes with the last one, its content unsent.
    ///
    /// The old version of a file that was written after a remote version replaced it is kept until
    /// its bytes are cut into a conflict copy.
    pub fn forget(&mut self, ino: Ino, count: u64) {
        if !self.nodes.release(ino, count) {
            self.asleep.release(ino, count);
        }
        self.reap(ino);
    }

    /// The node that a new name of `ino` must lead to: itself, or the version that replaced it.
    #[must_use]
    pub fn successor(&self, ino: Ino) -> Ino {
        let mut at = ino;
        while let Some(next) = self.nodes.get(at).and_then(|node| node.successor) {
            at = next;
        }
        at
    }

    /// Drops a node that nothing leads to and nobody holds.
    pub(crate) fn reap(&mut self, ino: Ino) {
        // A packed node has a name, or is a deletion that others know of: nothing of it can go.
        if self.nodes.lookups(ino) > 0 || self.nodes.is_packed(ino) || ino == ROOT {
            return;
        }
        let Some(node) = self.nodes.get_mut(ino).filter(|node| node.links.is_empty()) else { return };
        if node.successor.is_none() && !node.is_deleted() {
            return;
        }
        if node.successor.is_some() {
            if !node.body.is_dirty() {
                self.drop_detached(ino);
            }
            return;
        }
        if node.sync.is_known() {
            // The deletion must still travel; the content goes now.
            if node.body.is_dirty() {
                let mut log = std::mem::take(&mut node.body.log);
                log.clean();
                node.body = Body { log, ..Body::of_record(&node.record) };
                self.dirty.insert(ino);
                self.op += 1;
                self.uncut.remove(&ino);
                self.update_waiting(ino);
            }
            return;
        }
        self.drop_node(ino);
    }

    /// Takes a node no other device knows out of the tables.
    pub(crate) fn drop_node(&mut self, ino: Ino) {
        let Some(node) = self.nodes.remove(ino) else { return };
        let file = node.file();
        if self.by_file.get(&file) == Some(&ino) {
            self.by_file.remove(&file);
        }
        self.dirty.remove(&ino);
        self.uncut.remove(&ino);
        self.waiting.remove(&ino);
        self.op += 1;
        self.gone.push(Item::Gone(file));
    }

    /// Takes an old version out of the tables.
    pub(crate) fn drop_detached(&mut self, ino: Ino) {
        let Some(node) = self.nodes.remove(ino) else { return };
        self.dirty.remove(&ino);
        self.uncut.remove(&ino);
        self.waiting.remove(&ino);
        if let Some(next) = node.successor.and_then(|next| self.nodes.get_mut(next)) {
            next.old_versions = next.old_versions.saturating_sub(1);
        }
        if node.body.is_logged() {
            self.op += 1;
            self.gone.push(Item::BodyGone { file: node.file(), detached: ino });
        }
    }
}
