//! Pieces that need not be sealed again: those of versions a file is made of, and those sealed lately.
//!
//! Only what this device sealed, or opened and compared by keyed hash, is ever used again, and only
//! while its chunk is kept: waiting for upload under a pin, or placed on nodes. One exception is open: a version of
//! another device that is not placed yet; its chunks are here, but nothing holds them.

use super::seal::Snapshot;
use freehold_crypto::open_chunk;
use freehold_model::ChunkId;
use freehold_store::CacheStore;
use freehold_vault::Chunked;
use freehold_vault::compress::unfold;
use freehold_vault::manifest::{Child, ManifestEntry, Node, Target};
use lru::LruCache;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::OnceLock;

/// Entries remembered: 8.7 GiB of file in pieces of 139 KiB, in about 8 MiB.
const ENTRIES_MAX: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// Nodes of manifests whose ids are noted; beyond that a node may be sent again.
const NODES_MAX: usize = 65_536;

/// Versions one file is made of that are kept open at once; copies of ranges make more than one.
const MANIFESTS_MAX: usize = 4;

/// Pieces of contents that were installed lately, by the keyed hash of their plain content.
pub(crate) struct Known(Mutex<LruCache<[u8; 16], ManifestEntry>>);

impl Known {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(ENTRIES_MAX)))
    }

    /// The entry of a piece with this plain content.
    pub(crate) fn find(&self, h: &[u8; 16]) -> Option<ManifestEntry> {
        self.0.lock().get(h).cloned()
    }

    /// Remembers the pieces of a content that is installed.
    pub(crate) fn add(&self, entries: Vec<ManifestEntry>) {
        let mut known = self.0.lock();
        for entry in entries {
            known.put(entry.h, entry);
        }
    }
}

/// Pieces of the content before by the keyed hash of their plain content: what an insertion has moved is found
/// here, also after a start. Empty until something is seen to have moved.
pub(crate) type Moved = OnceLock<BTreeMap<[u8; 16], ManifestEntry>>;

/// The manifests a file's content refers to, opened as they are needed.
pub(crate) struct Manifests<'a> {
    cache: &'a CacheStore,
    snapshot: &'a dyn Snapshot,
    before: Option<&'a Chunked>,
    moved: &'a Moved,
    open: RefCell<Vec<Manifest>>,
    nodes: RefCell<BTreeSet<ChunkId>>,
}

/// One opened manifest.
struct Manifest {
    id: ChunkId,
    root: Node,
    /// The leaf opened last, with where it begins.
    leaf: Option<(u64, Node)>,
}

impl<'a> Manifests<'a> {
    /// Nothing is opened yet. `before` is the file's content before.
    pub(crate) fn new(
        cache: &'a CacheStore,
        snapshot: &'a dyn Snapshot,
        before: Option<&'a Chunked>,
        moved: &'a Moved,
    ) -> Self {
        Self { cache, snapshot, before, moved, open: RefCell::default(), nodes: RefCell::default() }
    }

    /// Pins a chunk again; whether it is there. A file that shared it and was deleted took the pin along.
    pub(crate) fn pins(&self, chunk: &ChunkId) -> bool {
        self.cache.pin(&[*chunk]).is_ok() && self.cache.contains(chunk)
    }

    /// Whether a manifest node is one of the versions that were looked at.
    pub(crate) fn has_node(&self, id: &ChunkId) -> bool {
        self.nodes.borrow().contains(id)
    }

    /// The piece of the content before that began at an offset. Its manifest is not fetched for that:
    /// the piece was read, so sealing it again costs less.
    pub(crate) fn entry_before(&self, offset: u64) -> Option<ManifestEntry> {
        let before = self.before?;
        if !self.is_open(&before.root) && !self.cache.contains(&before.root) {
            return None;
        }
        self.entry_of(before, offset)
    }

    /// The piece of a version that begins at an offset. Missing manifest nodes are fetched.
    pub(crate) fn entry_of(&self, content: &Chunked, offset: u64) -> Option<ManifestEntry> {
        self.piece_around(content, offset).filter(|(start, _)| *start == offset).map(|(_, entry)| entry)
    }

    /// How many bytes of the piece around an offset follow it.
    pub(crate) fn rest_of_piece(&self, content: &Chunked, offset: u64) -> Option<u64> {
        let (start, entry) = self.piece_around(content, offset)?;
        (start + u64::from(entry.plain_len)).checked_sub(offset)
    }

    /// Notes that new bytes begin a piece at an offset where the content before has no piece: what follows may be
    /// that content, moved.
    pub(crate) fn look_for_moved(&self, offset: u64) {
        if let Some(before) = self.before
            && offset < before.size
        {
            self.moved.get_or_init(|| self.pieces_here(before));
        }
    }

    /// The pieces of a version as far as its manifest is in the cache: the first [`ENTRIES_MAX`] of them, in at most
    /// [`NODES_MAX`] nodes, however often one comes again.
    fn pieces_here(&self, content: &Chunked) -> BTreeMap<[u8; 16], ManifestEntry> {
        let mut found = BTreeMap::new();
        let mut open = Vec::new();
        if self.cache.contains(&content.root) {
            open.extend(self.open_root(content).map(|manifest| manifest.root));
        }
        let mut nodes = 0;
        while let Some(node) = open.pop()
            && found.len() < ENTRIES_MAX.get()
            && nodes < NODES_MAX
        {
            nodes += 1;
            match &node {
                Node::Leaf(entries) => found.extend(entries.iter().map(|entry| (entry.h, entry.clone()))),
                Node::Inner { children, .. } => {
                    let below = children
                        .iter()
                        .filter_map(|child| open_node(&node, child, &self.cache.get(&child.node.chunk)?));
                    let below: Vec<Node> = below.collect();
                    below.iter().for_each(|node| self.note_children(node));
                    open.extend(below.into_iter().rev());
                }
            }
        }
        found
    }

    /// The piece of a version that covers an offset, and where it begins.
    fn piece_around(&self, content: &Chunked, offset: u64) -> Option<(u64, ManifestEntry)> {
        if !self.is_open(&content.root) {
            let manifest = self.open_root(content)?;
            let mut open = self.open.borrow_mut();
            if open.len() >= MANIFESTS_MAX {
                open.remove(0);
            }
            open.push(manifest);
        }
        let mut open = self.open.borrow_mut();
        let manifest = open.iter_mut().find(|manifest| manifest.id == content.root)?;
        if let Some((start, leaf)) = &manifest.leaf
            && offset >= *start
            && let Some(found) = piece_at(leaf, *start, offset)
        {
            return Some(found);
        }
        let (start, leaf) = self.descend(&manifest.root, offset)?;
        let found = piece_at(&leaf, start, offset);
        manifest.leaf = Some((start, leaf));
        found
    }

    fn is_open(&self, root: &ChunkId) -> bool {
        self.open.borrow().iter().any(|manifest| manifest.id == *root)
    }

    fn open_root(&self, content: &Chunked) -> Option<Manifest> {
        let sealed = self.chunk(&content.root)?;
        let plain = content.cek.root_key(&content.root_salt).open(&sealed).ok()?;
        let root = Node::decode_root(&plain, content.size).ok()?;
        self.note_children(&root);
        Some(Manifest { id: content.root, root, leaf: None })
    }

    /// The leaf that covers an offset, and where it begins.
    fn descend(&self, root: &Node, offset: u64) -> Option<(u64, Node)> {
        let mut node = root.clone();
        let mut start = 0;
        while node.level() > 0 {
            let (below, child) = {
                let within = offset.checked_sub(start)?;
                let located = node.locate(within..within + 1).next()?;
                let Target::Child(child) = located.target else { return None };
                (located.start, child.clone())
            };
            let sealed = self.chunk(&child.node.chunk)?;
            node = open_node(&node, &child, &sealed)?;
            self.note_children(&node);
            start += below;
        }
        Some((start, node))
    }

    fn note_children(&self, node: &Node) {
        let mut nodes = self.nodes.borrow_mut();
        if let Node::Inner { children, .. } = node
            && nodes.len() < NODES_MAX
        {
            nodes.extend(children.iter().map(|child| child.node.chunk));
        }
    }

    fn chunk(&self, id: &ChunkId) -> Option<Vec<u8>> {
        self.cache.get(id).or_else(|| {
            self.snapshot.fetch(&[*id]).ok()?;
            self.cache.get(id)
        })
    }
}

/// The piece that covers an offset of the file, in a leaf that begins at `start`.
fn piece_at(leaf: &Node, start: u64, offset: u64) -> Option<(u64, ManifestEntry)> {
    let within = offset - start;
    let located = leaf.locate(within..within + 1).next()?;
    match located.target {
        Target::Piece(entry) => Some((start + located.start, entry.clone())),
        Target::Child(_) => None,
    }
}

/// Opens a manifest node below `parent`.
pub(crate) fn open_node(parent: &Node, child: &Child, sealed: &[u8]) -> Option<Node> {
    let payload = open_chunk(&child.node.key, sealed).ok()?;
    let plain = unfold(payload, child.node.plain_len).ok()?;
    parent.decode_child(child, &plain).ok()
}
