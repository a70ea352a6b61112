//! The whole tree: where each directory hangs, what is hidden, what is lost.
//!
//! Only directories can make cycles, so only they need a rule (Wallace's mutable tree hierarchy):
//! a directory hangs where it was moved last. Directories that the root does not reach that way
//! take, newest first, an older parent that is reached; the rest hangs in Lost and Found.
//!
//! A deleted directory hides everything below it that its deleters had seen. What they had not seen
//! stays, with exactly the directories that lead to it.

use super::content::resolve_content;
use super::names::{Entry, Listing, What, resolve_dir};
use crate::record::{Kind, LOST_AND_FOUND, ParentEdge, ROOT, Record, Trash};
use freehold_model::{DeviceId, Dot, FileId, LinkId, Stamp, VersionVector};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, btree_map};

/// The name of the directory for what no path leads to.
pub const LOST_AND_FOUND_NAME: &[u8] = b"Lost and Found";

/// The parent of every directory but the root, free of cycles.
#[must_use]
pub fn parents<'a>(dirs: impl IntoIterator<Item = (FileId, &'a [ParentEdge])>) -> BTreeMap<FileId, FileId> {
    let mut hang = Hang::new(dirs);
    hang.reach(ROOT);
    hang.take_older_parents();
    // What is left leads to a directory nobody has, or round in a circle.
    let orphans: Vec<FileId> = hang.unreached().filter(|dir| !hang.has_known_parent(dir)).collect();
    orphans.into_iter().for_each(|dir| hang.attach(dir, LOST_AND_FOUND));
    hang.take_older_parents();
    let circles: Vec<FileId> = hang.unreached().collect();
    for dir in circles {
        hang.attach(dir, LOST_AND_FOUND);
        hang.take_older_parents();
    }
    hang.parent
}

/// Directories being hung up.
struct Hang<'a> {
    dirs: BTreeMap<FileId, &'a [ParentEdge]>,
    /// Moves by the parent they chose.
    below: BTreeMap<FileId, Vec<(Stamp, FileId)>>,
    parent: BTreeMap<FileId, FileId>,
    /// Moves from unreached to reached directories, newest on top.
    older: BinaryHeap<(Stamp, FileId, FileId)>,
}

impl<'a> Hang<'a> {
    fn new(dirs: impl IntoIterator<Item = (FileId, &'a [ParentEdge])>) -> Self {
        let dirs: BTreeMap<FileId, &[ParentEdge]> =
            dirs.into_iter().filter(|(dir, _)| *dir != ROOT && *dir != LOST_AND_FOUND).collect();
        let mut below: BTreeMap<FileId, Vec<(Stamp, FileId)>> = BTreeMap::new();
        for (dir, edges) in &dirs {
            for edge in *edges {
                below.entry(edge.parent).or_default().push((edge.stamp, *dir));
            }
        }
        Self { dirs, below, parent: BTreeMap::new(), older: BinaryHeap::new() }
    }

    fn newest(&self, dir: &FileId) -> Option<&'a ParentEdge> {
        self.dirs.get(dir).and_then(|edges| edges.iter().max())
    }

    fn has_known_parent(&self, dir: &FileId) -> bool {
        self.newest(dir).is_some_and(|edge| self.dirs.contains_key(&edge.parent))
    }

    fn unreached(&self) -> impl Iterator<Item = FileId> + '_ {
        self.dirs.keys().filter(|dir| !self.parent.contains_key(dir)).copied()
    }

    fn attach(&mut self, dir: FileId, parent: FileId) {
        if let btree_map::Entry::Vacant(free) = self.parent.entry(dir) {
            free.insert(parent);
            self.reach(dir);
        }
    }

    /// Everything whose newest parent is reached is reached; other moves here wait their turn.
    fn reach(&mut self, top: FileId) {
        let mut reached = vec![top];
        while let Some(parent) = reached.pop() {
            for (stamp, dir) in self.below.get(&parent).cloned().unwrap_or_default() {
                if self.parent.contains_key(&dir) {
                    continue;
                }
                if self.newest(&dir).is_some_and(|edge| edge.stamp == stamp && edge.parent == parent) {
                    self.parent.insert(dir, parent);
                    reached.push(dir);
                } else {
                    self.older.push((stamp, dir, parent));
                }
            }
        }
    }

    fn take_older_parents(&mut self) {
        while let Some((_, dir, parent)) = self.older.pop() {
            self.attach(dir, parent);
        }
    }
}

/// Whether a deletion of an ancestor (or of the node itself) hides a node with these writes.
///
/// Only ask for directories that are trashed themselves ([`Record::is_trashed`]).
#[must_use]
pub fn hides(trash: &Trash, context: &VersionVector) -> bool {
    trash.seen.dominates(context)
}

/// One entry of a shown directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The name it is shown under.
    pub name: Vec<u8>,
    /// The node.
    pub file: FileId,
    /// Which of a node's links; `None` for directories.
    pub link: Option<LinkId>,
    /// Which losing content value; `None` for everything else.
    pub copy: Option<Dot>,
}

/// The tree that a set of merged records shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// The entries of each shown directory in byte order of their names.
    pub dirs: BTreeMap<FileId, Vec<Leaf>>,
    /// Directories shown as part of another of the same name.
    pub unified: BTreeMap<FileId, FileId>,
}

/// An entry before names are resolved.
struct Standing<'a> {
    entry: Entry<'a>,
    link: Option<LinkId>,
    copy: Option<Dot>,
}

impl Tree {
    /// Resolves everything.
    #[must_use]
    pub fn build<'a>(
        records: impl IntoIterator<Item = &'a Record>,
        label: &dyn Fn(&DeviceId) -> String,
    ) -> Self {
        let records: BTreeMap<FileId, &Record> = records.into_iter().map(|r| (r.file(), r)).collect();
        let dirs = records.values().filter(|record| record.kind() == Kind::Dir);
        let parent = parents(dirs.map(|record| (record.file(), record.parents())));
        let cover = Cover::new(&records, &parent);
        let mut standing = cover.standing();
        let mut tree = Self::default();
        let mut open = vec![(ROOT, vec![ROOT])];
        while let Some((dir, aliases)) = open.pop() {
            let entries: Vec<Standing<'_>> =
                aliases.iter().filter_map(|alias| standing.remove(alias)).flatten().collect();
            let plain: Vec<Entry<'_>> = entries.iter().map(|standing| standing.entry).collect();
            let listing = resolve_dir(&plain, label);
            for shown in listing.iter().filter(|shown| is_dir(&plain, shown.entry)) {
                let others = shown.stands_for.iter().filter_map(|index| plain.get(*index)).map(|e| e.file);
                let others: Vec<FileId> = others.collect();
                tree.unified.extend(others.iter().map(|other| (*other, shown.file)));
                open.push((shown.file, [vec![shown.file], others].concat()));
            }
            tree.dirs.insert(dir, leaves(&listing, &entries));
        }
        tree
    }
}

fn is_dir(entries: &[Entry<'_>], index: usize) -> bool {
    entries.get(index).is_some_and(|entry| entry.what == What::Dir)
}

fn leaves(listing: &Listing, entries: &[Standing<'_>]) -> Vec<Leaf> {
    let leaf = |shown: &super::names::Shown| {
        let standing = entries.get(shown.entry)?;
        let (name, file) = (shown.name.clone(), shown.file);
        Some(Leaf { name, file, link: standing.link, copy: standing.copy })
    };
    listing.iter().filter_map(leaf).collect()
}

/// What deletions hide.
struct Cover<'a> {
    records: &'a BTreeMap<FileId, &'a Record>,
    parent: &'a BTreeMap<FileId, FileId>,
    trashed: BTreeMap<FileId, &'a Trash>,
}

impl<'a> Cover<'a> {
    fn new(records: &'a BTreeMap<FileId, &'a Record>, parent: &'a BTreeMap<FileId, FileId>) -> Self {
        let marks = records.values().filter(|record| record.is_trashed());
        let trashed = marks.filter_map(|record| Some((record.file(), record.trash_mark()?))).collect();
        Self { records, parent, trashed }
    }

    /// The directory and those above it, up to but without the root.
    fn upwards(&self, dir: FileId) -> impl Iterator<Item = FileId> + '_ {
        std::iter::successors(Some(dir), |dir| self.parent.get(dir).copied())
            .take_while(|dir| *dir != ROOT && *dir != LOST_AND_FOUND)
    }

    /// Adds the directory and those above it, as far as they are not in yet.
    fn mark(&self, dir: FileId, leads_to: &mut BTreeSet<FileId>) {
        let _ = self.upwards(dir).all(|above| leads_to.insert(above));
    }

    fn is_hidden(&self, dir: FileId, context: &VersionVector) -> bool {
        !self.trashed.is_empty()
            && self
                .upwards(dir)
                .any(|above| self.trashed.get(&above).is_some_and(|trash| hides(trash, context)))
    }

    /// Where a link's parent stands: Lost and Found when nobody has it.
    fn home(&self, parent: FileId) -> FileId {
        let known = self.records.get(&parent).is_some_and(|record| record.kind() == Kind::Dir);
        if known || parent == ROOT { parent } else { LOST_AND_FOUND }
    }

    /// All visible entries by the directory they stand in.
    fn standing(&self) -> BTreeMap<FileId, Vec<Standing<'a>>> {
        let mut standing: BTreeMap<FileId, Vec<Standing<'a>>> = BTreeMap::new();
        let mut leads_to = BTreeSet::new();
        for record in self.records.values() {
            for (home, found) in self.files(record) {
                self.mark(home, &mut leads_to);
                standing.entry(home).or_default().push(found);
            }
            let file = record.file();
            if record.kind() == Kind::Dir && file != ROOT && !self.is_hidden(file, record.context()) {
                self.mark(file, &mut leads_to);
            }
        }
        for dir in leads_to {
            let (Some(record), Some(home)) = (self.records.get(&dir), self.parent.get(&dir)) else {
                continue;
            };
            let Some(name) = record.dir_name() else { continue };
            let entry =
                Entry { file: dir, name: &name.value, placed: name.stamp, what: What::Dir, is_copy: false };
            standing.entry(*home).or_default().push(Standing { entry, link: None, copy: None });
        }
        if standing.contains_key(&LOST_AND_FOUND) {
            standing.entry(ROOT).or_default().push(lost_and_found());
        }
        standing
    }

    /// The visible entries of a file, symlink or special node, with those of its conflict copies.
    fn files(&self, record: &'a Record) -> Vec<(FileId, Standing<'a>)> {
        let (current, copies) = resolve_content(record);
        let what = match record.kind() {
            Kind::Dir => return Vec::new(),
            Kind::File => What::File(current.map(|content| &content.body)),
            Kind::Symlink => What::Symlink(record.target().unwrap_or_default()),
            kind => What::Special(kind, record.rdev()),
        };
        let mut found = Vec::new();
        for link in record.links() {
            let home = self.home(link.place.parent);
            if !self.is_hidden(home, record.context()) {
                let (file, name) = (record.file(), link.place.name.as_slice());
                let entry = Entry { file, name, placed: link.placed, what, is_copy: false };
                found.push((home, Standing { entry, link: Some(link.id), copy: None }));
            }
        }
        let Some(link) = record.links().min_by_key(|link| link.id) else { return found };
        for copy in copies.iter().filter(|copy| !self.records.contains_key(&copy.file)) {
            let (dot, home) = (copy.content.stamp.dot, self.home(link.place.parent));
            if self.is_hidden(home, &[dot].into_iter().collect()) {
                continue;
            }
            let entry = Entry {
                file: copy.file,
                name: &link.place.name,
                placed: copy.content.stamp,
                what: What::File(Some(&copy.content.body)),
                is_copy: true,
            };
            found.push((home, Standing { entry, link: Some(link.id), copy: Some(dot) }));
        }
        found
    }
}

fn lost_and_found<'a>() -> Standing<'a> {
    let nobody = Dot { device: DeviceId::default(), incarnation: 0, seq: 0 };
    let placed = Stamp { hlc: freehold_model::Hlc(0), dot: nobody };
    let what = What::Dir;
    let entry = Entry { file: LOST_AND_FOUND, name: LOST_AND_FOUND_NAME, placed, what, is_copy: false };
    Standing { entry, link: None, copy: None }
}
