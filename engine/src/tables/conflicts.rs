//! Conflicts as people see them: which files stand beside each other, and ending that.
//!
//! Two kinds look alike in a listing and end alike. A losing content was settled into a file of its
//! own, whose id tells what it was made from; two files that were created under one name share it
//! by a view rule. What stays always ends in the file with the plain name, as a content write like
//! any other: its identity, history and names stay. Copies go to the trash or take a plain name.

use crate::journal::item::Item;
use crate::tables::Tables;
use crate::tables::node::{Node, shown_time};
use crate::{FsError, Ino, Kind, Notice, ROOT};
use freehold_model::FileId;
use freehold_vault::name::{is_conflict_name, numbered_name};
use freehold_vault::record::Content;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A name as shown: directory, name, and the node it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) dir: Ino,
    pub(crate) name: Arc<[u8]>,
    pub(crate) ino: Ino,
}

/// A file and a conflict copy of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) file: Shown,
    pub(crate) copy: Shown,
}

/// What the tables know of conflicts at one moment.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) pairs: Vec<Pair>,
    /// Copies whose file does not stand beside them.
    pub(crate) strays: Vec<Shown>,
}

impl Tables {
    /// Every pair that stands in one directory, and the copies that stand alone.
    pub(crate) fn conflicts(&self) -> Found {
        let mut found = Found::default();
        for node in self.current() {
            if node.is_dir() {
                continue;
            }
            for link in &node.links {
                let copy = Shown { dir: link.dir, name: Arc::clone(&link.name), ino: node.ino };
                let Some(asked_for) = node.record.link(&link.id) else { continue };
                if *asked_for.place.name != *link.name {
                    if let Some(file) = self.shown(link.dir, &asked_for.place.name) {
                        found.pairs.push(Pair { file, copy });
                    }
                } else if is_conflict_name(&link.name) && node.record.is_copy() {
                    match self.beside(&node, link.dir) {
                        Some(file) => found.pairs.push(Pair { file, copy }),
                        None => found.strays.push(copy),
                    }
                }
            }
        }
        found
    }

    fn shown(&self, dir: Ino, name: &[u8]) -> Option<Shown> {
        Some(Shown { dir, name: name.into(), ino: self.child(dir, name)? })
    }

    /// The file a copy was made from, if it stands in the same directory.
    fn beside(&self, copy: &Node, dir: Ino) -> Option<Shown> {
        let mut entries = self.nodes.get(dir)?.children.after(0);
        let is_origin =
            |ino: &Ino| self.nodes.peek(*ino).is_some_and(|node| copy.record.is_copy_of(&node.file()));
        let (_, name, ino) = entries.find(|(_, _, ino)| is_origin(ino))?;
        Some(Shown { dir, name: Arc::clone(name), ino })
    }

    /// The ids of all files that are shown: what a stray copy may have been made from. Those that sleep may be
    /// of another kind.
    pub(crate) fn shown_files(&self) -> Vec<FileId> {
        let files = self.current().filter(|node| node.kind() == Kind::File && !node.is_orphan());
        let asleep = self.asleep.iter().filter(|sleeper| sleeper.place().is_some());
        files.map(|node| node.file()).chain(asleep.map(|sleeper| sleeper.file)).collect()
    }

    /// Where a file is shown first.
    pub(crate) fn first_shown(&self, file: &FileId) -> Option<Shown> {
        let node = self.nodes.get(*self.by_file.get(file)?)?;
        let link = node.links.first()?;
        Some(Shown { dir: link.dir, name: Arc::clone(&link.name), ino: node.ino })
    }

    /// The path of a name from the root, without a leading slash.
    pub(crate) fn path_of(&self, at: &Shown) -> Vec<u8> {
        let mut parts: Vec<Arc<[u8]>> = vec![Arc::clone(&at.name)];
        let mut dir = at.dir;
        while dir != ROOT
            && let Some(link) = self.nodes.get(dir).and_then(|node| node.links.first())
        {
            parts.push(Arc::clone(&link.name));
            dir = link.dir;
        }
        parts.reverse();
        parts.join(&b'/')
    }

    /// The content a file shows, when it is a file and no byte of it is unsent.
    pub(crate) fn settled_content(&self, ino: Ino) -> Option<&Content> {
        let node = self.nodes.get(ino)?;
        node.record.newest_content().filter(|_| !node.body.is_dirty())
    }

    /// Whether the names still lead where they led.
    pub(crate) fn still_stands(&self, at: &Shown) -> bool {
        self.child(at.dir, &at.name) == Some(at.ino)
    }

    /// Writes another file's content into a file, which stays what it is otherwise.
    ///
    /// The chunks are the other's, already sent or still pinned for it; they are pinned for this one as
    /// well, because the other may go to the trash before they are placed.
    ///
    /// # Errors
    /// `Invalid` unless both are files without unsent bytes.
    pub(crate) fn take_content(
        &mut self,
        ino: Ino,
        from: Ino,
        notices: &mut BTreeSet<Notice>,
    ) -> Result<(), FsError> {
        let content = self.settled_content(from).cloned().ok_or(FsError::Invalid)?;
        self.settled_content(ino).ok_or(FsError::Invalid)?;
        let pins = self.node(from)?.sync.pins.clone();
        let (stamp, now) = (self.stamp(), self.now);
        let node = self.change_record(ino, stamp)?;
        let old = node.record.clone();
        node.record.set_content(content.body, content.mtime.value, stamp)?;
        node.sync.has_version = true;
        node.mtime = shown_time(content.mtime.value);
        node.ctime = now;
        if !pins.is_empty() {
            node.sync.pins.extend(pins);
            let item = Item::Pins { file: node.file(), chunks: node.sync.pins.clone() };
            self.pending.push(item);
        }
        notices.insert(Notice::Attr { ino });
        self.follow_content(ino, old, notices);
        self.needs_show |= !self.is_plain;
        Ok(())
    }

    /// Takes a name off the tree, as a program's `unlink` would, and tells the mount.
    ///
    /// # Errors
    /// `NotFound`, `NotEmpty`.
    pub(crate) fn trash(&mut self, at: &Shown, notices: &mut BTreeSet<Notice>) -> Result<(), FsError> {
        self.remove_link(at.dir, &at.name)?;
        notices.insert(Notice::Entry { parent: at.dir, name: at.name.to_vec() });
        notices.insert(Notice::Listing { dir: at.dir });
        notices.insert(Notice::Attr { ino: at.ino });
        Ok(())
    }

    /// Gives a copy the next free plain name beside it, made from `plain`; which.
    ///
    /// # Errors
    /// As [`move_link`](Self::move_link).
    pub(crate) fn give_plain_name(
        &mut self,
        copy: &Shown,
        plain: &[u8],
        notices: &mut BTreeSet<Notice>,
    ) -> Result<Shown, FsError> {
        let name =
            (2..).map(|number| numbered_name(plain, number)).find(|name| !self.is_taken(copy.dir, name));
        let name = name.expect("there are more numbers than entries");
        self.move_link(copy.dir, &copy.name, copy.dir, &name)?;
        for name in [copy.name.to_vec(), name.clone()] {
            notices.insert(Notice::Entry { parent: copy.dir, name });
        }
        notices.insert(Notice::Listing { dir: copy.dir });
        Ok(Shown { dir: copy.dir, name: name.into(), ino: copy.ino })
    }
}
