//! From records to the names this device shows, and the difference to what it showed before.
//!
//! `freehold_vault::view` decides what everybody sees. After remote records came in, the shown
//! names are compared with it: entries go and come, directories keep their inode, and the kernel is
//! told of exactly the names that changed. A losing content value is settled on sight: it becomes a
//! file of its own, with an id and stamps every device derives alike.

use crate::tables::Tables;
use crate::tables::node::{Link, Node};
use crate::{Ino, Notice, ROOT};
use freehold_model::{DeviceId, Dot, FileId, LinkId, Stamp};
use freehold_vault::record::{LOST_AND_FOUND, NewNode, Place, Record, Time, conflict_id};
use freehold_vault::view::Tree;
use freehold_vault::view::tree::{LOST_AND_FOUND_NAME, Leaf};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Tables {
    /// As [`Self::show_all`], which needs every record: while files sleep it is left to
    /// [`Volume::show_again`](crate::Volume), which wakes them first.
    pub(crate) fn show_or_leave(&mut self, notices: &mut BTreeSet<Notice>) {
        if self.asleep.shown() == 0 {
            self.show_all(notices);
        } else {
            (self.is_plain, self.needs_show) = (false, true);
        }
    }

    /// Shows what the records say, and notes every name that changed. No file that has a name may sleep.
    pub(crate) fn show_all(&mut self, notices: &mut BTreeSet<Notice>) {
        let mut tree = self.view();
        // Settling adds records; what it adds is shown by the next look, which finds none left.
        while self.settle(&tree) {
            tree = self.view();
        }
        self.unified =
            tree.unified.iter().fold(BTreeMap::new(), |mut all: BTreeMap<_, Vec<_>>, (from, into)| {
                all.entry(*into).or_default().push(*from);
                all
            });
        if tree.dirs.contains_key(&LOST_AND_FOUND) {
            self.make_lost_and_found();
        }
        let wanted = self.wanted(&tree);
        let shown: Vec<Ino> =
            self.nodes.open().filter(|node| node.children.len() > 0).map(|node| node.ino).collect();
        let empty = BTreeMap::new();
        for dir in shown {
            self.hide_others(dir, wanted.get(&dir).unwrap_or(&empty), notices);
        }
        for (dir, names) in &wanted {
            for (name, (ino, link)) in names {
                if self.child(*dir, name).is_none() {
                    self.show_name(*ino, *dir, name, *link, notices);
                }
            }
        }
        self.needs_show = false;
        let is_plain = self.current().all(|node| self.is_shown_plain(&node));
        self.is_plain = is_plain;
    }

    /// Whether a node stands exactly where its record says, under the names it says.
    fn is_shown_plain(&self, node: &Node) -> bool {
        if node.record.is_trashed() || node.ino == ROOT || node.is_local_only() {
            return node.links.is_empty();
        }
        let stands = |dir: Ino, parent: FileId| self.nodes.get(dir).is_some_and(|dir| dir.file() == parent);
        if node.is_dir() {
            let (Some(link), Some(edge)) = (node.links.first(), node.record.newest_parent()) else {
                return false;
            };
            let name = node.record.dir_name().map(|name| name.value.as_slice());
            return stands(link.dir, edge.parent) && name == Some(&*link.name);
        }
        node.links.len() == node.record.links().count()
            && node.links.iter().all(|shown| {
                let link = node.record.link(&shown.id);
                link.is_some_and(|link| {
                    *shown.name == *link.place.name && stands(shown.dir, link.place.parent)
                })
            })
    }

    fn view(&self) -> Tree {
        let nodes: Vec<_> = self.current().filter(|node| !node.is_local_only()).collect();
        Tree::build(nodes.iter().map(|node| &node.record), &|device| self.label(device))
    }

    /// The name of a device in conflict names.
    pub(crate) fn label(&self, device: &DeviceId) -> String {
        self.labels.get(device).cloned().unwrap_or_else(|| device.to_string().chars().take(8).collect())
    }

    /// Turns losing contents into files; whether there were any.
    fn settle(&mut self, tree: &Tree) -> bool {
        let mut copies: Vec<(Place, LinkId, Dot)> = Vec::new();
        for (dir, leaves) in &tree.dirs {
            for Leaf { name, link, copy, .. } in leaves {
                if let (Some(dot), Some(link)) = (copy, link) {
                    copies.push((Place { parent: *dir, name: name.clone() }, *link, *dot));
                }
            }
        }
        let losers = self.owners(copies);
        let mut any = false;
        for (file, place, dot) in losers {
            any |= self.settle_one(file, place, &dot).is_some();
        }
        any
    }

    /// The files that losing contents belong to, in the order of the tree.
    fn owners(&self, copies: Vec<(Place, LinkId, Dot)>) -> Vec<(FileId, Place, Dot)> {
        let mut owners: Vec<Option<FileId>> = vec![None; copies.len()];
        let contested = self.current().filter(|node| !copies.is_empty() && node.record.contents().len() > 1);
        for node in contested {
            for ((_, link, dot), owner) in copies.iter().zip(&mut owners) {
                let has_content = node.record.contents().iter().any(|content| content.stamp.dot == *dot);
                if has_content && node.record.link(link).is_some() {
                    *owner = Some(node.file());
                }
            }
        }
        let found = copies.into_iter().zip(owners);
        found.filter_map(|((place, _, dot), owner)| Some((owner?, place, dot))).collect()
    }

    fn settle_one(&mut self, file: FileId, place: Place, loser: &Dot) -> Option<()> {
        if self.asleep.has(&conflict_id(&file, loser)) {
            // It was a file of its own before, and was deleted as one.
            return None;
        }
        let ino = *self.by_file.get(&file)?;
        let stamp = self.stamp();
        let copy = self.change_record(ino, stamp).ok()?.record.settle(loser, place, stamp)?;
        let copy_ino = self.next_ino;
        self.next_ino += 1;
        let now = self.now;
        self.by_file.insert(copy.file(), copy_ino);
        self.nodes.insert(copy_ino, Node::new(copy_ino, copy, now));
        self.change_record(copy_ino, stamp).ok()?;
        Some(())
    }

    fn make_lost_and_found(&mut self) {
        if self.by_file.contains_key(&LOST_AND_FOUND) {
            return;
        }
        let dot = Dot { device: DeviceId::default(), incarnation: 0, seq: 1 };
        let stamp = Stamp { hlc: freehold_model::Hlc::default(), dot };
        let new = NewNode { mode: 0o700, owner: self.owner, mtime: Time::default() };
        let place = Place { parent: freehold_vault::record::ROOT, name: LOST_AND_FOUND_NAME.to_vec() };
        let record = Record::new_dir(LOST_AND_FOUND, new, place, stamp).expect("a valid name, mode and time");
        let ino = self.next_ino;
        self.next_ino += 1;
        self.by_file.insert(LOST_AND_FOUND, ino);
        self.nodes.insert(ino, Node::new(ino, record, self.now));
    }

    /// Whether what is shown is what a look at all records would show: what every shorter way must end with.
    /// Of files that sleep neither side speaks.
    #[cfg(test)]
    pub(crate) fn shows_its_records(&self) -> bool {
        let wanted = self.wanted(&self.view());
        let shown = self.nodes.open().map(|node| {
            let entries = node.children.after(0).map(|(_, name, ino)| {
                let links = self.nodes.get(ino).map_or(&[][..], |node| &node.links);
                let link = links.iter().find(|link| link.dir == node.ino && link.name == *name);
                (name.to_vec(), (ino, link.map(|link| link.id).unwrap_or_default()))
            });
            (node.ino, entries.collect::<BTreeMap<_, _>>())
        });
        wanted.into_iter().filter(|(_, names)| !names.is_empty()).collect::<BTreeMap<_, _>>()
            == shown.filter(|(_, names)| !names.is_empty()).collect()
    }

    /// The entries each directory should have.
    fn wanted(&self, tree: &Tree) -> BTreeMap<Ino, BTreeMap<Vec<u8>, (Ino, LinkId)>> {
        let mut wanted = BTreeMap::new();
        for (dir, leaves) in &tree.dirs {
            let Some(dir) = self.by_file.get(dir) else { continue };
            let mut names = BTreeMap::new();
            for leaf in leaves {
                if let Some(ino) = self.by_file.get(&leaf.file) {
                    names.insert(leaf.name.clone(), (*ino, leaf.link.unwrap_or_default()));
                }
            }
            wanted.insert(*dir, names);
        }
        wanted
    }

    /// Removes the entries of a directory that lead elsewhere than wanted.
    fn hide_others(
        &mut self,
        dir: Ino,
        wanted: &BTreeMap<Vec<u8>, (Ino, LinkId)>,
        notices: &mut BTreeSet<Notice>,
    ) {
        let Some(node) = self.nodes.get(dir) else { return };
        let entries: Vec<(Arc<[u8]>, Ino)> =
            node.children.after(0).map(|(_, name, ino)| (Arc::clone(name), ino)).collect();
        for (name, ino) in entries {
            let link = self.nodes.get(ino).and_then(|node| {
                node.links.iter().find(|link| link.dir == dir && link.name == name).map(|link| link.id)
            });
            let stays = wanted.get(&*name).copied();
            if stays == link.map(|link| (ino, link)) {
                continue;
            }
            if let Some((_, new)) = stays.filter(|(wanted, _)| *wanted == ino) {
                // The same file under the same name, by another of its links: nobody need hear of it.
                let links = self.nodes.get_mut(ino).into_iter().flat_map(|node| &mut node.links);
                links.filter(|link| link.dir == dir && link.name == name).for_each(|link| link.id = new);
                continue;
            }
            self.hide_name(ino, dir, &name, notices);
        }
    }

    pub(crate) fn hide_name(&mut self, ino: Ino, dir: Ino, name: &[u8], notices: &mut BTreeSet<Notice>) {
        let now = self.now;
        let when = self.nodes.get(ino).and_then(|node| left_at(&node.record));
        if let Some(parent) = self.nodes.get_mut(dir) {
            parent.children.remove(name);
            entry_changed(parent, when, now);
        }
        if let Some(node) = self.nodes.get_mut(ino) {
            node.links.retain(|link| !(link.dir == dir && &*link.name == name));
            node.ctime = now;
        }
        notices.insert(Notice::Entry { parent: dir, name: name.to_vec() });
        notices.insert(Notice::Listing { dir });
        notices.insert(Notice::Attr { ino });
    }

    pub(crate) fn show_name(
        &mut self,
        ino: Ino,
        dir: Ino,
        name: &[u8],
        link: LinkId,
        notices: &mut BTreeSet<Notice>,
    ) {
        let now = self.now;
        let name: Arc<[u8]> = name.into();
        let Some(node) = self.nodes.get_mut(ino) else { return };
        let is_dir = node.is_dir();
        let when = placed_at(&node.record, &link);
        node.links.reserve_exact(1);
        node.links.push(Link { dir, name: Arc::clone(&name), id: link });
        if let Some(parent) = self.nodes.get_mut(dir) {
            parent.children.insert(Arc::clone(&name), ino, is_dir);
            entry_changed(parent, when, now);
        }
        notices.insert(Notice::Entry { parent: dir, name: name.to_vec() });
        notices.insert(Notice::Listing { dir });
        notices.insert(Notice::Attr { ino });
    }
}

/// The write by which a node came to stand where it does.
fn placed_at(record: &Record, link: &LinkId) -> Option<Stamp> {
    let moved = [record.newest_parent().map(|edge| edge.stamp), record.dir_name().map(|name| name.stamp)];
    let linked = record.link(link).map(|link| link.placed);
    moved.into_iter().flatten().chain(linked).max()
}

/// The write by which a node came to stand elsewhere, or nowhere.
fn left_at(record: &Record) -> Option<Stamp> {
    let links = record.links().map(|link| link.placed);
    let edges = record.parents().iter().map(|edge| edge.stamp);
    let dir = [record.dir_name().map(|name| name.stamp), record.trash_mark().map(|trash| trash.stamp)];
    links.chain(edges).chain(dir.into_iter().flatten()).max()
}

/// Times of a directory in which an entry came or went elsewhere: the modification time follows the change,
/// unless a program has set it since. A copied tree therefore keeps its times on every device.
fn entry_changed(dir: &mut Node, change: Option<Stamp>, now: crate::Time) {
    dir.ctime = now;
    let time = change.map_or(now, |stamp| crate::Time::from_millis(stamp.hlc.millis()));
    let set = dir.record.mtime_stamp();
    let is_later = change.is_none_or(|change| set.is_none_or(|set| is_after(&change, &set)));
    if is_later && time > dir.mtime {
        dir.mtime = time;
    }
}

/// Whether one write came after another. Writes of one device life are counted; clocks of different records differ
/// within a millisecond, so between lives only the milliseconds tell.
fn is_after(write: &Stamp, other: &Stamp) -> bool {
    let life = |stamp: &Stamp| (stamp.dot.device, stamp.dot.incarnation);
    if life(write) == life(other) {
        write.dot.seq > other.dot.seq
    } else {
        write.hlc.millis() > other.hlc.millis()
    }
}
