//! What a remote version would take off the tree, and who took it off.
//!
//! The brake on mass deletion asks this before versions are merged. Only what is shown here counts,
//! only deletions of other devices, and only where the merge would really delete: an edit they had
//! not seen wins anyway.

use crate::tables::Tables;
use crate::tables::node::Node;
use crate::tables::nodes::Peek;
use crate::{Ino, RemoteVersion};
use freehold_model::{DeviceId, FileId, VersionHash};
use freehold_vault::record::Place;
use freehold_vault::view::hides;
use freehold_vault::{Body, Chunked, Content};
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
        let node = self.nodes.get(*self.by_file.get(file)?)?;
        (!node.is_orphan() && !node.record.is_trashed() && !node.body.is_dirty()).then_some(node)
    }

    /// Adds the files that go when a version is merged: the file itself, or all a folder's deletion hides.
    /// They must be awake.
    pub(crate) fn files_taken(&self, remote: &RemoteVersion, into: &mut BTreeSet<Ino>) {
        let Some(top) = self.removable(&remote.record.file()) else { return };
        let Some(trash) = remote.record.trash_mark() else {
            into.insert(top.ino);
            return;
        };
        let mut open = vec![top.ino];
        // The tree has no cycles; the bound keeps a broken one from hanging the lock.
        for _ in 0..=self.nodes.len() {
            let Some(dir) = open.pop().and_then(|ino| self.nodes.get(ino)) else { return };
            for (_, _, ino) in dir.children.after(0) {
                match self.nodes.peek(ino) {
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
        self.current().filter(|node| !node.is_dir() && !node.is_orphan()).count() + self.asleep.shown()
    }

    /// Which of these places another node stands at than the one that left it. Who stands there must be
    /// awake.
    pub(crate) fn places_retaken(&self, left: &[(FileId, &Place)]) -> BTreeSet<FileId> {
        let leaving: BTreeSet<FileId> = left.iter().map(|(file, _)| *file).collect();
        let wanted: BTreeSet<&Place> = left.iter().map(|(_, place)| *place).collect();
        let mut taken: BTreeSet<&Place> = BTreeSet::new();
        for node in self.current().filter(|node| !leaving.contains(&node.file())) {
            taken.extend(node.record.links().filter_map(|link| wanted.get(&link.place)));
        }
        left.iter().filter(|(_, place)| taken.contains(place)).map(|(file, _)| *file).collect()
    }

    /// Writes down that a node is wanted: a deletion that had not seen this write cannot win.
    pub(crate) fn assert_wanted(&mut self, file: &FileId) {
        let Some(ino) = self.by_file.get(file).copied() else { return };
        if self.nodes.get(ino).is_some_and(|node| !node.record.is_trashed()) {
            self.write_again(ino);
        }
    }

    /// The contents in chunks of records that show one of these versions.
    pub(crate) fn contents_shown_of(&self, versions: &BTreeSet<VersionHash>) -> Vec<Chunked> {
        let chunked = |content: &Content| match &content.body {
            Body::Chunked(chunked) => Some(chunked.clone()),
            Body::Inline(_) => None,
        };
        let contents =
            |node: Peek<'_>| -> Vec<Chunked> { node.record.contents().iter().filter_map(chunked).collect() };
        self.showing(versions).flat_map(contents).collect()
    }

    /// Makes records that show one of these versions this device's own, as they are, so that they go out
    /// again.
    pub(crate) fn take_over(&mut self, versions: &BTreeSet<VersionHash>) {
        let is_due = |node: &Peek<'_>| node.sync.dirty_since == 0;
        let shown: Vec<Ino> = self.showing(versions).filter(is_due).map(|node| node.ino).collect();
        shown.into_iter().for_each(|ino| self.write_again(ino));
    }

    fn showing<'a>(&'a self, versions: &'a BTreeSet<VersionHash>) -> impl Iterator<Item = Peek<'a>> {
        let shows = |node: &Peek<'_>| node.sync.heads.iter().any(|head| versions.contains(head));
        let all = (!versions.is_empty()).then(|| self.nodes.scan());
        all.into_iter().flatten().filter(shows)
    }

    /// Writes what a record says anyway: a deletion stays one.
    pub(crate) fn write_again(&mut self, ino: Ino) {
        let Some(node) = self.nodes.get(ino) else { return };
        let mode = node.record.mode();
        let is_trashed_dir = node.is_dir() && node.record.is_trashed();
        let (stamp, seen) = (self.stamp(), self.seen.clone());
        let Ok(node) = self.change_record(ino, stamp) else { return };
        if is_trashed_dir {
            node.record.trash(&seen, stamp);
        } else if node.record.set_mode(mode, stamp).is_err() {
            tracing::error!("a record with a mode that no record can have");
        }
    }
}
