//! A whole tree shown at once, when its records leave nothing to decide.
//!
//! At a start every node's names have to be shown. Where each name is the only one of its kind in a
//! directory that is there, that is what `view::tree` would show, and no record has to be looked at a
//! second time. Anything else (a name twice, a circle, a deleted directory with something in it, two
//! contents) is left to [`Tables::show_all`].

use crate::tables::Tables;
use crate::tables::asleep::{Bed, Place};
use crate::tables::dir::Directory;
use crate::tables::node::{Link, Node};
use crate::tables::reshow::asked_for;
use crate::{Ino, ROOT};
use freehold_model::FileId;
use std::sync::Arc;

/// One name a record asks for.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) ino: Ino,
    parent: FileId,
    name: Arc<[u8]>,
    /// Which of the node's names.
    number: u16,
    is_dir: bool,
}

/// The one name of a file that sleeps.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lying {
    pub(crate) parent: FileId,
    pub(crate) ino: Ino,
    pub(crate) bed: Bed,
    /// What stands for the name.
    pub(crate) name: u64,
}

impl Standing {
    /// The names a node's record asks for, and the same as links whose directory is not known yet; `None`
    /// when a record alone cannot say what is shown.
    pub(crate) fn of(node: &Node) -> Option<(Vec<Self>, Vec<Link>)> {
        let places = asked_for(node)?;
        let (mut standing, mut links) = (Vec::new(), Vec::new());
        for (number, (parent, name, id)) in places.into_iter().enumerate() {
            let number = u16::try_from(number).ok()?;
            links.push(Link { dir: 0, name: Arc::clone(&name), id });
            standing.push(Self { ino: node.ino, parent, name, number, is_dir: node.is_dir() });
        }
        Some((standing, links))
    }
}

impl Tables {
    /// Shows all names; false, with some of them shown, when there is something to decide.
    pub(crate) fn stand(&mut self, standing: Vec<Standing>, mut lying: Vec<Lying>) -> bool {
        // A directory after the other: what is looked at again is at hand.
        lying.sort_unstable();
        self.asleep.expect(lying.len());
        let dirs = standing.iter().filter(|name| name.is_dir).count();
        let stands = lying.iter().all(|name| self.lay_one(name))
            && standing.into_iter().all(|name| self.stand_one(name))
            && self.dirs_reached() == dirs;
        (self.is_plain, self.needs_show) = (stands, !stands);
        stands
    }

    fn stand_one(&mut self, name: Standing) -> bool {
        let Some(dir) = self.by_file.get(&name.parent).copied() else { return false };
        if self.is_taken(dir, &name.name) {
            return false;
        }
        let Some(parent) = self.nodes.get_mut(dir) else { return false };
        if !parent.is_dir() || parent.record.is_trashed() {
            return false;
        }
        parent.children.insert(Arc::clone(&name.name), name.ino, name.is_dir);
        self.nodes.place(name.ino, name.number, dir);
        true
    }

    fn lay_one(&mut self, lying: &Lying) -> bool {
        let Some(dir) = self.by_file.get(&lying.parent).copied() else { return false };
        let Some(parent) = self.nodes.get_mut(dir) else { return false };
        let name = lying.name;
        let asleep = &mut self.asleep;
        if !parent.is_dir() || parent.record.is_trashed() || asleep.named(dir, name).is_some() {
            return false;
        }
        parent.children.insert_asleep(|cookie| {
            asleep.place(lying.bed, Place { dir, cookie, name });
            lying.bed
        })
    }

    /// Directories below the root.
    fn dirs_reached(&self) -> usize {
        let (mut open, mut reached) = (vec![ROOT], 0);
        while let Some(node) = open.pop().and_then(|dir| self.nodes.get(dir)) {
            let before = open.len();
            open.extend(node.children.dirs());
            reached += open.len() - before;
        }
        reached
    }

    /// Shows no name any more.
    pub(crate) fn take_down(&mut self) {
        let all: Vec<Ino> = self.nodes.inos().collect();
        for ino in all {
            if let Some(node) = self.nodes.get_mut(ino) {
                node.links.clear();
                node.children = Directory::default();
            }
        }
    }
}
