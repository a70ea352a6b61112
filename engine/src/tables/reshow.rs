//! Showing what changed and nothing else, as long as the tree leaves nothing to decide.
//!
//! In a plain tree every name shown is the one a record asks for, and nothing is hidden but what was
//! deleted. A changed record then moves its own names only: those it no longer asks for go, and those
//! it asks for come, if their directory is there and the name is free. Whatever else there is (a name
//! taken, a circle, a deleted directory with something in it, two contents) is for
//! [`Tables::show_all`], which starts from any state of what is shown.

use crate::tables::Tables;
use crate::tables::node::Node;
use crate::{Ino, Notice, ROOT};
use freehold_model::{FileId, LinkId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A name a record asks for: directory, name, which link.
pub(crate) type Asked = (FileId, Arc<[u8]>, LinkId);

/// The names a node's record asks for, in the order of its links; `None` when other records have a say.
pub(crate) fn asked_for(node: &Node) -> Option<Vec<Asked>> {
    let record = &node.record;
    if node.ino == ROOT || record.is_trashed() {
        return Some(Vec::new());
    }
    if record.contents().len() > 1 {
        return None;
    }
    if node.is_dir() {
        let (edge, name) = (record.newest_parent()?, record.dir_name()?);
        return Some(vec![(edge.parent, (*name.value).into(), LinkId::default())]);
    }
    Some(record.links().map(|link| (link.place.parent, (*link.place.name).into(), link.id)).collect())
}

impl Tables {
    /// Shows the names of nodes whose records came or changed, parents first; false when that is not enough,
    /// with some of them shown.
    pub(crate) fn reshow(&mut self, changed: &[Ino], notices: &mut BTreeSet<Notice>) -> bool {
        let mut coming = Vec::new();
        for ino in changed {
            match self.hide_stale(*ino, notices) {
                Some(names) => coming.extend(names.into_iter().map(|name| (*ino, name))),
                None => return false,
            }
        }
        let goes_alone = |ino: &Ino| self.nodes.peek(*ino).is_none_or(|node| goes_alone(&node));
        changed.iter().all(goes_alone)
            && coming.into_iter().all(|(ino, name)| self.show_asked(ino, &name, notices))
    }

    /// Hides the names a node is shown under but does not ask for; those it asks for and is not shown under.
    fn hide_stale(&mut self, ino: Ino, notices: &mut BTreeSet<Notice>) -> Option<Vec<Asked>> {
        let Some(node) = self.nodes.get(ino) else { return Some(Vec::new()) };
        let mut asked = asked_for(node)?;
        let mut stale = Vec::new();
        for shown in &node.links {
            let file = self.nodes.peek(shown.dir).map(|dir| dir.file());
            let stays = asked.iter().position(|(parent, name, id)| {
                Some(*parent) == file && *name == shown.name && *id == shown.id
            });
            match stays {
                Some(at) => drop(asked.remove(at)),
                None => stale.push(shown.clone()),
            }
        }
        stale.into_iter().for_each(|link| self.hide_name(ino, link.dir, &link.name, notices));
        Some(asked)
    }

    fn show_asked(&mut self, ino: Ino, (parent, name, id): &Asked, notices: &mut BTreeSet<Notice>) -> bool {
        let Some(dir) = self.by_file.get(parent).copied().filter(|dir| self.is_live_dir(*dir)) else {
            return false;
        };
        let is_circle = self.nodes.get(ino).is_some_and(Node::is_dir) && self.is_ancestor(ino, dir);
        // A directory that was moved may not be shown again yet.
        if is_circle || !self.is_ancestor(ROOT, dir) || self.is_taken(dir, name) {
            return false;
        }
        self.show_name(ino, dir, name, *id, notices);
        true
    }
}

/// Whether a node stays, or goes with nothing below it.
fn goes_alone(node: &Node) -> bool {
    !node.record.is_trashed() || node.children.len() == 0
}
