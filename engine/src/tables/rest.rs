//! Falling asleep and waking up: which nodes may leave the tables, and how they come back.
//!
//! A node may sleep when its row in the index says all there is to say: it is settled, and the tree is
//! plain, so that its record's one name is the one shown. Directories stay, so that a sleeper's place is
//! always there. What people look for without naming it stays as well: copies that conflicts left. Files
//! with a wish of their own stay from when it is known; a start may have put them to sleep before.

use crate::tables::Tables;
use crate::tables::asleep::{Bedtime, Place, Sleeper};
use crate::tables::node::{Link, Node};
use crate::{Ino, Kind, limits};
use freehold_model::FileId;
use freehold_vault::name::is_conflict_name;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whether a settled node is a deletion that can leave the tables.
pub(crate) fn is_forgettable(node: &Node) -> bool {
    node.kind() != Kind::Dir && node.is_deleted() && node.links.is_empty() && node.sync.is_known()
}

/// Whether a settled node's record alone says which one name it has.
pub(crate) fn has_own_place(node: &Node) -> bool {
    let record = &node.record;
    let mut links = record.links();
    node.kind() != Kind::Dir
        && !node.poisoned
        && !record.is_trashed()
        && record.contents().len() <= 1
        && links.next().is_some_and(|link| !(is_conflict_name(&link.place.name) && record.is_copy()))
        && links.next().is_none()
}

impl Tables {
    /// Looks at `count` packed nodes; those that nobody looked at for a while fall asleep, if they may. No
    /// flush may be under way: the index must have heard of whatever is not dirty.
    pub(crate) fn rest(&mut self, count: usize) {
        if self.asleep.bedtime() != Bedtime::Now || !self.is_plain || self.needs_show {
            return;
        }
        for ino in self.nodes.unused(count) {
            self.lie_down(ino);
        }
        self.nodes.give_room_back();
        if self.by_file.capacity() > 4 * self.by_file.len() + limits::NODES_OPEN {
            self.by_file.shrink_to(2 * self.by_file.len());
        }
    }

    fn lie_down(&mut self, ino: Ino) {
        let is_busy = [&self.dirty, &self.waiting, &self.uncut].iter().any(|busy| busy.contains(&ino));
        let Some(node) = self.nodes.peek(ino) else { return };
        let file = node.file();
        let [link] = &node.links[..] else { return };
        let is_current = self.by_file.get(&file) == Some(&ino);
        let stands = node.record.link(&link.id).is_some_and(|known| *known.place.name == *link.name);
        if is_busy || !is_current || !stands || !has_own_place(&node) || self.hydration.has_wish(&file) {
            return;
        }
        let (link, heads) = (link.clone(), node.sync.heads.clone());
        drop(node);
        let lookups = self.nodes.lookups(ino);
        let Self { nodes, asleep, by_file, .. } = self;
        let Some(dir) = nodes.get_mut(link.dir) else { return };
        let name = asleep.name_hash(&dir.file(), &link.name);
        let lies = dir.children.lay(&link.name, |cookie| {
            let place = Place { dir: link.dir, cookie, name };
            let mut sleeper = Sleeper::new(file, ino, &heads, Some(place));
            sleeper.lookups = lookups;
            asleep.insert(sleeper)
        });
        if lies {
            by_file.remove(&file);
            nodes.remove(ino);
        }
    }

    /// Takes a packed deletion out of the tables.
    pub(crate) fn bury(&mut self, ino: Ino) {
        let Some(node) = self.nodes.peek(ino) else { return };
        let (file, heads) = (node.file(), node.sync.heads.clone());
        drop(node);
        if self.by_file.get(&file) == Some(&ino) {
            self.by_file.remove(&file);
            self.nodes.remove(ino);
            self.asleep.insert(Sleeper::new(file, ino, &heads, None));
        }
    }

    /// Takes a file in again, as its row has it; one that is awake by now stays as it is.
    pub(crate) fn rouse(&mut self, mut node: Node) {
        let (file, ino) = (node.file(), node.ino);
        let Some(sleeper) = self.asleep.remove(&file) else { return };
        if let Some(place) = sleeper.place()
            && let Some(link) = node.record.links().next()
        {
            let name: Arc<[u8]> = (*link.place.name).into();
            node.links = vec![Link { dir: place.dir, name: Arc::clone(&name), id: link.id }];
            if let Some(dir) = self.nodes.get_mut(place.dir) {
                dir.children.rouse(place.cookie, name, ino);
            }
        }
        self.by_file.insert(file, ino);
        self.nodes.insert(ino, node);
        self.nodes.hold(ino, sleeper.lookups);
    }

    /// Whether a node sleeps that the kernel may know attributes of.
    pub(crate) fn is_held_asleep(&self, ino: Ino) -> bool {
        self.asleep.at(ino).is_some_and(|sleeper| sleeper.lookups > 0)
    }

    /// Whether a name in a directory is taken, or may be by a file that sleeps.
    pub(crate) fn is_taken(&self, dir: Ino, name: &[u8]) -> bool {
        self.child(dir, name).is_some() || self.sleeper(dir, name).is_some()
    }

    /// The file that may have a name in a directory, if it sleeps.
    fn sleeper(&self, dir: Ino, name: &[u8]) -> Option<&Sleeper> {
        if self.asleep.shown() == 0 {
            return None;
        }
        let hash = self.asleep.name_hash(&self.nodes.get(dir)?.file(), name);
        self.asleep.named(dir, hash)
    }

    /// Adds the file with a number, if it sleeps.
    pub(crate) fn sleeper_at(&self, ino: Ino, into: &mut BTreeSet<FileId>) {
        if !self.nodes.contains(ino)
            && let Some(sleeper) = self.asleep.at(ino)
        {
            self.with_neighbours(sleeper, into);
        }
    }

    /// Adds the file that may have this name, if it sleeps.
    pub(crate) fn sleeper_named(&self, dir: Ino, name: &[u8], into: &mut BTreeSet<FileId>) {
        if let Some(sleeper) = self.sleeper(dir, name) {
            self.with_neighbours(sleeper, into);
        }
    }

    /// A sleeper, and those behind it where somebody goes through a directory in order.
    fn with_neighbours(&self, sleeper: &Sleeper, into: &mut BTreeSet<FileId>) {
        into.insert(sleeper.file);
        if let Some(place) = sleeper.place()
            && let Some(dir) = self.nodes.get(place.dir)
            && dir.children.is_awake_before(place.cookie)
        {
            let next = dir.children.asleep_after(place.cookie).take(limits::WOKEN_AHEAD);
            into.extend(next.map(|(_, bed)| self.asleep.in_bed(bed).file));
        }
    }

    /// Adds the first files that sleep after a cookie of a directory.
    pub(crate) fn sleepers_listed(&self, dir: Ino, after: u64, into: &mut BTreeSet<FileId>) {
        let Some(dir) = self.nodes.get(dir) else { return };
        // Those that are awake come first anyway: what follows them is for the next part of the listing.
        let asleep = dir.children.asleep_after(after);
        if dir.children.is_asleep_next(after) {
            into.extend(asleep.take(limits::LISTED_AHEAD).map(|(_, bed)| self.asleep.in_bed(bed).file));
        }
    }

    /// Adds every file that sleeps in a directory.
    pub(crate) fn sleepers_in(&self, dir: Ino, into: &mut BTreeSet<FileId>) {
        if let Some(dir) = self.nodes.get(dir) {
            into.extend(dir.children.asleep_after(0).map(|(_, bed)| self.asleep.in_bed(bed).file));
        }
    }
}
