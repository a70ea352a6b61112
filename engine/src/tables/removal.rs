//! What a remote version would take off the tree, and who took it off.
//!
//! The brake on mass deletion asks this before versions are merged. Only what is shown here counts,
//! only deletions of other devices, and only where the merge would really delete: an edit they had
//! not seen wins anyway.

use crate::tables::Tables;
use crate::tables::node::Node;
use crate::{Ino, RemoteVersion};
use freehold_model::{DeviceId, FileId};
use freehold_vault::record::Place;
use freehold_vault::view::hides;
use std::collections::BTreeSet;

impl Tables {
    /// The other device whose deletion of a node shown here a version carries.
    pub(crate) fn remover(&self, remote: &RemoteVersion) -> Option<DeviceId> {
        if !remote.record.is_trashed() {
            return None;
        }
        let node = self.removable(&remote.record.file())?;
        let device = remote.record.deletion()?.dot.device;
        if device == self.author.device {
            return None;
        }
        node.record.merge(&remote.record).ok()?.is_trashed().then_some(device)
    }

    fn removable(&self, file: &FileId) -> Option<&Node> {
        let node = self.nodes.get(self.by_file.get(file)?)?;
        (!node.is_orphan() && !node.record.is_trashed() && !node.body.is_dirty()).then_some(node)
    }

    /// Adds the files that go when a version is merged: the file itself, or all a folder's deletion hides.
    pub(crate) fn files_taken(&self, remote: &RemoteVersion, into: &mut BTreeSet<Ino>) {
        let Some(top) = self.removable(&remote.record.file()) else { return };
        let Some(trash) = remote.record.trash_mark() else {
            into.insert(top.ino);
            return;
        };
        let mut open = vec![top.ino];
        // The tree has no cycles; the bound keeps a broken one from hanging the lock.
        for _ in 0..=self.nodes.len() {
            let Some(dir) = open.pop().and_then(|ino| self.nodes.get(&ino)) else { return };
            for (_, _, ino) in dir.children.after(0) {
                match self.nodes.get(&ino) {
                    Some(node) if node.is_dir() => open.push(ino),
                    Some(node) if hides(trash, node.record.context()) => {
                        into.insert(ino);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Files, links and special nodes that are shown.
    pub(crate) fn shown_count(&self) -> usize {
        let nodes = self.by_file.values().filter_map(|ino| self.nodes.get(ino));
        nodes.filter(|node| !node.is_dir() && !node.is_orphan()).count()
    }

    /// Which of these places another node stands at than the one that left it.
    pub(crate) fn places_retaken(&self, left: &[(FileId, &Place)]) -> BTreeSet<FileId> {
        let leaving: BTreeSet<FileId> = left.iter().map(|(file, _)| *file).collect();
        let wanted: BTreeSet<&Place> = left.iter().map(|(_, place)| *place).collect();
        let nodes = self.by_file.values().filter_map(|ino| self.nodes.get(ino));
        let others = nodes.filter(|node| !leaving.contains(&node.file()));
        let links = others.flat_map(|node| node.record.links());
        let taken: BTreeSet<&Place> =
            links.map(|link| &link.place).filter(|place| wanted.contains(place)).collect();
        left.iter().filter(|(_, place)| taken.contains(place)).map(|(file, _)| *file).collect()
    }

    /// Writes down that a node is wanted: a deletion that had not seen this write cannot win.
    pub(crate) fn assert_wanted(&mut self, file: &FileId) {
        let Some(ino) = self.by_file.get(file).copied() else { return };
        let Some(node) = self.nodes.get(&ino).filter(|node| !node.record.is_trashed()) else { return };
        let (mode, stamp) = (node.record.mode(), self.stamp());
        if let Ok(node) = self.change_record(ino, stamp)
            && node.record.set_mode(mode, stamp).is_err()
        {
            tracing::error!("a record held a mode that no record can hold");
        }
    }
}
