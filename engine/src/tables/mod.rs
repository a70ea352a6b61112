//! The tree in memory: the truth at run time.
//!
//! Directories are all in memory, and of files as many as stay there ([`nodes`]); the others sleep
//! ([`asleep`]) and are woken before anybody takes the lock for them. So lookups, listings and attributes
//! never touch a disk under the lock. One lock
//! guards all of it ([`TablesGuard`]), is held for microseconds and never across I/O. Each change
//! writes the node's record under a stamp of its own and marks the node dirty; the journal takes
//! the dirty nodes of a flush in one piece, under this lock, so what is on disk is always a state
//! that existed.

pub(crate) mod asleep;
pub(crate) mod attrs;
mod burst;
pub(crate) mod conflicts;
pub(crate) mod dir;
pub(crate) mod hydration;
mod kernel;
mod links;
pub(crate) mod node;
mod nodes;
mod own;
pub(crate) mod packed;
pub(crate) mod remote;
mod removal;
mod reshow;
pub(crate) mod rest;
mod save;
mod show;
pub(crate) mod stand;
pub(crate) mod sync;
#[cfg(test)]
pub(crate) mod tests;

use crate::journal::item::Item;
use crate::journal::space::Space;
use crate::{Attr, FsError, Ino, Kind, ROOT, Time, limits};
use freehold_model::{DeviceId, Dot, Entropy, FileId, Hlc, LinkId, Stamp, VersionHash, VersionVector};
use freehold_vault::record::{NewNode, Owner, Record};
use node::Node;
use nodes::{Nodes, Peek};
use parking_lot::MutexGuard;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{ControlFlow, Deref, DerefMut};
use std::sync::Arc;

/// Fills buffers from the operating system's generator.
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the kernel's generator does not fail after boot");
    }
}

/// Who writes here: the device and which of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Author {
    /// The device.
    pub device: DeviceId,
    /// Its incarnation in this vault.
    pub incarnation: u32,
}

/// The inode and name tables of one volume.
pub struct Tables {
    pub(crate) nodes: Nodes,
    pub(crate) by_file: HashMap<FileId, Ino>,
    /// Files that are not in the two above.
    pub(crate) asleep: asleep::Asleep,
    pub(crate) next_ino: Ino,
    pub(crate) now: Time,
    pub(crate) author: Author,
    /// The own write counter: the seq of the last dot.
    pub(crate) write_seq: u64,
    /// Every write in any record here.
    pub(crate) seen: VersionVector,
    /// Nodes whose state the journal does not have yet.
    pub(crate) dirty: BTreeSet<Ino>,
    /// Files dropped since the last flush, and detached bodies.
    pub(crate) gone: Vec<Item>,
    /// Sync state for the next batch.
    pub(crate) pending: Vec<Item>,
    /// Nodes whose record or body is not on the server for good.
    pub(crate) waiting: BTreeSet<Ino>,
    /// Files whose body differs from their record's content.
    pub(crate) uncut: BTreeSet<Ino>,
    /// Whether closed files come one by one or in floods.
    burst: burst::Burst,
    /// Own versions that are not placed yet.
    pub(crate) by_version: HashMap<VersionHash, FileId>,
    /// Commits on their way, oldest first.
    pub(crate) outbox: Vec<sync::OutboxEntry>,
    /// Small sync state.
    pub(crate) meta: BTreeMap<u16, Vec<u8>>,
    /// Changes so far: what a flush has reached.
    pub(crate) op: u64,
    /// Directories shown as part of another one of the same name, by the one shown.
    pub(crate) unified: BTreeMap<FileId, Vec<FileId>>,
    /// Every live node is shown under exactly the names its record has.
    pub(crate) is_plain: bool,
    /// The names shown may not be those the records ask for; see [`Tables::show_all`].
    pub(crate) needs_show: bool,
    /// Names of devices, for conflict copies.
    pub(crate) labels: BTreeMap<DeviceId, String>,
    /// Admits changes that need room on disk; absent for a volume in memory.
    pub(crate) space: Option<Arc<Space>>,
    /// What users want kept on this device, and who wants to be looked at again.
    pub(crate) hydration: hydration::Hydration,
    /// Shown for a root whose owner nobody has set.
    pub(crate) owner: Owner,
    entropy: Box<dyn Entropy + Send>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("nodes", &self.nodes.len()).field("dirty", &self.dirty.len()).finish()
    }
}

impl Tables {
    /// A tree with nothing but its root.
    ///
    /// The root's first record is the same on every device, so that two devices that open an empty
    /// vault agree without a write: mode 0700, shown as `owner`'s until somebody sets an owner.
    pub(crate) fn new(author: Author, owner: Owner, now: Time, entropy: Box<dyn Entropy + Send>) -> Self {
        let dot = Dot { device: DeviceId::default(), incarnation: 0, seq: 1 };
        let new =
            NewNode { mode: 0o700, owner: Owner::default(), mtime: freehold_vault::record::Time::default() };
        let record =
            Record::new_root(new, Stamp { hlc: Hlc::default(), dot }).expect("a valid mode and time");
        let mut tables = Self {
            nodes: Nodes::default(),
            by_file: HashMap::new(),
            asleep: asleep::Asleep::default(),
            next_ino: ROOT + 1,
            now,
            author,
            write_seq: 0,
            seen: VersionVector::new(),
            dirty: BTreeSet::new(),
            gone: Vec::new(),
            pending: Vec::new(),
            waiting: BTreeSet::new(),
            uncut: BTreeSet::new(),
            burst: burst::Burst::default(),
            by_version: HashMap::new(),
            outbox: Vec::new(),
            meta: BTreeMap::new(),
            op: 0,
            unified: BTreeMap::new(),
            is_plain: true,
            needs_show: false,
            labels: BTreeMap::new(),
            space: None,
            hydration: hydration::Hydration::default(),
            owner,
            entropy,
        };
        tables.nodes.let_stay(limits::FILES_IN_MEMORY);
        let mut root = Node::new(ROOT, record, now);
        root.mtime = now;
        tables.by_file.insert(root.file(), ROOT);
        tables.nodes.insert(ROOT, root);
        tables
    }

    pub(crate) fn node(&self, ino: Ino) -> Result<&Node, FsError> {
        self.nodes.get(ino).ok_or(FsError::NotFound)
    }

    /// The current version of every file that is awake, in no order, for a look.
    pub(crate) fn current(&self) -> impl Iterator<Item = Peek<'_>> {
        self.by_file.values().filter_map(|ino| self.nodes.glance(*ino))
    }

    /// Looks at `count` open nodes and packs those that are settled and that nobody has asked for since the
    /// last look; deletions among them leave the tables. No flush may be under way: the index must have heard of
    /// whatever is not dirty.
    pub(crate) fn pack(&mut self, count: usize) {
        let (dirty, waiting, uncut) = (&self.dirty, &self.waiting, &self.uncut);
        let is_busy = |ino| dirty.contains(&ino) || waiting.contains(&ino) || uncut.contains(&ino);
        let deleted = self.nodes.pack(count, self.asleep.bedtime(), is_busy);
        deleted.into_iter().for_each(|ino| self.bury(ino));
    }

    /// The node for a change of local state: marks it for the next flush.
    pub(crate) fn change(&mut self, ino: Ino) -> Result<&mut Node, FsError> {
        let node = self.nodes.get_mut(ino).ok_or(FsError::NotFound)?;
        self.op += 1;
        self.dirty.insert(ino);
        Ok(node)
    }

    /// A file for a change of its content.
    pub(crate) fn change_body(&mut self, ino: Ino) -> Result<&mut Node, FsError> {
        match self.node(ino)?.kind() {
            Kind::File => {}
            Kind::Dir => return Err(FsError::IsDir),
            _ => return Err(FsError::Invalid),
        }
        let now = self.now.millis();
        self.waiting.insert(ino);
        self.uncut.insert(ino);
        let node = self.change(ino)?;
        if !node.body.is_dirty() && node.successor.is_some() {
            node.body.base = Some(Box::new(node.record.clone()));
        }
        node.body.touch(now);
        Ok(node)
    }

    /// The stamp of one operation. Everything it changes carries the same one.
    pub(crate) fn stamp(&mut self) -> Stamp {
        self.write_seq += 1;
        let dot =
            Dot { device: self.author.device, incarnation: self.author.incarnation, seq: self.write_seq };
        self.seen.observe(dot);
        Stamp { hlc: Hlc::from_millis(self.now.millis()), dot }
    }

    /// A node for a change of its record under `stamp`.
    pub(crate) fn change_record(&mut self, ino: Ino, stamp: Stamp) -> Result<&mut Node, FsError> {
        let node = self.change(ino)?;
        node.sync.writes += 1;
        if node.sync.dirty_since == 0 {
            node.sync.dirty_since = stamp.dot.seq;
        }
        self.waiting.insert(ino);
        self.nodes.get_mut(ino).ok_or(FsError::NotFound)
    }

    /// Draws ids from elsewhere, so that a run can be repeated.
    #[cfg(test)]
    pub(crate) fn set_entropy(&mut self, entropy: Box<dyn Entropy + Send>) {
        self.entropy = entropy;
    }

    pub(crate) fn random_file(&mut self) -> FileId {
        let mut id = [0; FileId::LEN];
        self.entropy.fill(&mut id);
        FileId::from_bytes(id)
    }

    pub(crate) fn random_link(&mut self) -> LinkId {
        let mut id = [0; LinkId::LEN];
        self.entropy.fill(&mut id);
        LinkId::from_bytes(id)
    }

    /// Whether a change that makes the tree larger may be made. Renames and deletes never ask.
    pub(crate) fn admit(&self) -> Result<(), FsError> {
        self.space.as_ref().map_or(Ok(()), |space| space.admit(limits::CHANGE_BYTES))
    }

    /// The next inode number.
    pub(crate) fn take_ino(&mut self) -> Result<Ino, FsError> {
        if self.node_count() >= limits::NODES_MAX {
            return Err(FsError::NoSpace);
        }
        let ino = self.next_ino;
        self.next_ino += 1;
        Ok(ino)
    }

    /// The attributes of a node.
    #[must_use]
    pub fn attr(&self, ino: Ino) -> Option<Attr> {
        let node = self.nodes.peek(ino)?;
        let mut attr = node.attr();
        if attr.kind == Kind::File {
            attr.blocks = self.blocks_here(&node);
        }
        if ino == ROOT && (attr.uid, attr.gid) == (0, 0) {
            (attr.uid, attr.gid) = (self.owner.uid, self.owner.gid);
        }
        Some(attr)
    }

    /// What a node is.
    #[must_use]
    pub fn kind(&self, ino: Ino) -> Option<Kind> {
        self.nodes.peek(ino).map(|node| node.kind())
    }

    /// The node a name in a directory leads to.
    #[must_use]
    pub fn child(&self, dir: Ino, name: &[u8]) -> Option<Ino> {
        self.nodes.get(dir)?.children.entry(name).map(|entry| entry.ino)
    }

    /// Whether a directory has no entries; true for everything that is not a directory.
    #[must_use]
    pub fn is_empty(&self, dir: Ino) -> bool {
        self.nodes.get(dir).is_none_or(|node| node.children.len() == 0)
    }

    /// The directory a directory lies in; the root lies in itself. `None` for removed directories.
    #[must_use]
    pub fn parent(&self, dir: Ino) -> Option<Ino> {
        if dir == ROOT {
            return Some(ROOT);
        }
        self.nodes.get(dir)?.links.first().map(|link| link.dir)
    }

    /// Whether `ancestor` is `of` or lies above it.
    #[must_use]
    pub fn is_ancestor(&self, ancestor: Ino, of: Ino) -> bool {
        let mut at = of;
        // The tree has no cycles; the bound only keeps a broken one from hanging the lock.
        for _ in 0..=self.nodes.len() {
            if at == ancestor {
                return true;
            }
            match self.parent(at) {
                Some(up) if up != at => at = up,
                _ => return false,
            }
        }
        false
    }

    /// A symlink's target.
    #[must_use]
    pub fn target(&self, ino: Ino) -> Option<Vec<u8>> {
        self.nodes.peek(ino)?.record.target().map(<[u8]>::to_vec)
    }

    /// Calls `each` with cookie, name and attributes of the entries after a cookie, until it breaks.
    ///
    /// It ends before an entry whose file sleeps: [`Volume::lock_listing`](crate::Volume) wakes those that
    /// come first. Start with 0. Cookies of entries are [`FIRST_COOKIE`](crate::FIRST_COOKIE) and above; `.` and
    /// `..` are the caller's.
    pub fn list(&self, dir: Ino, after: u64, mut each: impl FnMut(u64, &[u8], Attr) -> ControlFlow<()>) {
        let Some(node) = self.nodes.get(dir) else { return };
        for (cookie, name, ino) in node.children.awake_after(after) {
            let Some(attr) = self.attr(ino) else { continue };
            if each(cookie, name, attr).is_break() {
                return;
            }
        }
    }

    /// Number of nodes, deleted ones included.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes.len() + self.asleep.len()
    }
}

/// The tables, locked. Drop it before any I/O.
#[derive(Debug)]
pub struct TablesGuard<'a>(pub(crate) MutexGuard<'a, Tables>);

impl Deref for TablesGuard<'_> {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.0
    }
}

impl DerefMut for TablesGuard<'_> {
    fn deref_mut(&mut self) -> &mut Tables {
        &mut self.0
    }
}
