//! From index rows and journal batches to the tables.
//!
//! Rows first, one at a time, then the batches they do not contain; bodies come from the whole journal,
//! because unsent bytes are never in the index. Nodes are packed or put to sleep as they come, so a start
//! needs no more room than the vault at rest. The tree is shown once everything is in.

use crate::body::piece::Piece;
use crate::body::{Body, BodyLog, ExtentMap, Source};
use crate::index::{Index, IndexError, Rows};
use crate::journal::item::{BodyImage, BodyMode, BodyOp, Item, NodeImage, Run};
use crate::journal::replay::Origin;
use crate::journal::{Loc, Segments};
use crate::tables::Tables;
use crate::tables::asleep::Sleeper;
use crate::tables::node::{Link, Node, Sync};
use crate::tables::packed::is_settled;
use crate::tables::rest::{has_own_place, is_forgettable};
use crate::tables::stand::{Lying, Standing};
use crate::tables::sync::OutboxEntry;
use crate::volume::meta;
use crate::{Ino, OpenError, ROOT, Recovery, Time, limits};
use freehold_model::codec::from_slice;
use freehold_model::{ChunkId, CommitHash, FileId};
use freehold_vault::record::{self, Record};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A body as the journal tells it.
#[derive(Default)]
struct Unsent {
    extents: ExtentMap,
    size: u64,
    generation: u64,
    segment: u64,
    base: Option<Record>,
    damaged: bool,
}

/// Pieces by place, so that extents that shared one share it again.
type Pieces = HashMap<(u64, u64), Arc<Piece>>;

/// Tables being filled. Nodes go in as they come, packed if they can be; everything else waits for the
/// last word on it.
pub(crate) struct Loading<'a> {
    fresh: &'a dyn Fn() -> Tables,
    /// Files that the journal speaks of, and up to which batch the rows have heard it.
    journal: &'a [(u64, FileId)],
    /// Those of them that stay awake.
    spoken_of: BTreeSet<FileId>,
    tables: Tables,
    names: Names,
    bodies: BTreeMap<(FileId, Ino), Unsent>,
    meta: BTreeMap<u16, Vec<u8>>,
    outbox: Vec<OutboxEntry>,
    pins: BTreeMap<FileId, Vec<ChunkId>>,
}

impl Rows for Loading<'_> {
    fn begin(&mut self, applied: u64) {
        let unheard = self.journal.iter().filter(|(batch, _)| *batch > applied);
        self.spoken_of = unheard.map(|(_, file)| *file).collect();
    }

    fn row(&mut self, item: Item) {
        self.take(item, 0);
    }

    fn restart(&mut self) {
        *self = Self::new(self.fresh, self.journal);
    }
}

impl<'a> Loading<'a> {
    /// Nothing came yet. `fresh` makes tables with nothing but a root; `journal` names the files that
    /// [`history`](Self::history) will speak of: those of batches that the rows do not contain stay awake.
    pub(crate) fn new(fresh: &'a dyn Fn() -> Tables, journal: &'a [(u64, FileId)]) -> Self {
        Self {
            fresh,
            journal,
            spoken_of: BTreeSet::new(),
            tables: fresh(),
            names: Names::default(),
            bodies: BTreeMap::new(),
            meta: BTreeMap::new(),
            outbox: Vec::new(),
            pins: BTreeMap::new(),
        }
    }

    /// Takes the journal's items, of which the rows contain those up to batch `applied`.
    pub(crate) fn history(&mut self, applied: u64, history: Vec<(Origin, Item)>, segments: &Segments) {
        self.tables.asleep.know_all();
        let mut pieces = Pieces::new();
        for (origin, item) in history {
            match item {
                Item::Body(image) => self.body(image, origin.segment, segments, &mut pieces),
                Item::BodyGone { file, detached } => drop(self.bodies.remove(&(file, detached))),
                // Rows already say this; only where it lies in the journal is news.
                Item::Node(image) if origin.batch <= applied => self.locate_node(&image.file, origin.segment),
                Item::Gone(file) if origin.batch <= applied => drop(self.bodies.remove(&(file, 0))),
                Item::Outbox { hash, .. } if origin.batch <= applied => self.locate(hash, origin.segment),
                _ if origin.batch <= applied => {}
                item => self.take(item, origin.segment),
            }
        }
    }

    /// Takes an item in as the last word on its subject.
    fn take(&mut self, item: Item, segment: u64) {
        match item {
            Item::Node(image) => self.node(image, segment),
            Item::Gone(file) => {
                self.forget(&file);
                self.bodies.remove(&(file, 0));
                self.pins.remove(&file);
            }
            Item::Meta { key, value } if value.is_empty() => drop(self.meta.remove(&key)),
            Item::Meta { key, value } => drop(self.meta.insert(key, value)),
            Item::Outbox { hash, commit, payload } => {
                self.outbox.retain(|entry| entry.hash != hash);
                self.outbox.push(OutboxEntry { hash, commit, payload, segment });
            }
            Item::OutboxGone(hash) => self.outbox.retain(|entry| entry.hash != hash),
            Item::Pins { file, chunks } => drop(self.pins.insert(file, chunks)),
            Item::Body(_) | Item::BodyGone { .. } => {}
        }
    }

    fn locate(&mut self, hash: CommitHash, segment: u64) {
        self.outbox.iter_mut().filter(|entry| entry.hash == hash).for_each(|entry| entry.segment = segment);
    }

    /// Where a node's image lies matters while the node waits.
    fn locate_node(&mut self, file: &FileId, segment: u64) {
        let waiting = self.tables.by_file.get(file).filter(|ino| self.tables.waiting.contains(*ino));
        if let Some(node) = waiting.copied().and_then(|ino| self.tables.nodes.get_mut(ino)) {
            node.sync.image_segment = segment;
        }
    }

    /// Applies one body item.
    fn body(&mut self, image: BodyImage, segment: u64, segments: &Segments, pieces: &mut Pieces) {
        let key = (image.file, image.detached);
        if image.mode == BodyMode::Clean {
            self.bodies.remove(&key);
            return;
        }
        let body = self.bodies.entry(key).or_default();
        if image.mode == BodyMode::Full {
            *body = Unsent { segment, ..Unsent::default() };
        } else if image.generation != body.generation + 1 {
            body.damaged = true;
        }
        body.generation = image.generation;
        body.base = image.base.as_deref().and_then(|bytes| Record::from_bytes(bytes).ok());
        let contents: Vec<Option<Arc<record::Body>>> =
            image.contents.iter().map(|bytes| from_slice(bytes).ok().map(Arc::new)).collect();
        for op in image.ops {
            match op {
                BodyOp::Size(size) => {
                    if size < body.size {
                        body.extents.clear(size, u64::MAX - size);
                    }
                    body.size = size;
                }
                BodyOp::Clear { offset, len } => body.extents.clear(offset, len),
                BodyOp::Show { offset, len, run } => {
                    match source(&run, len, &contents, segments, pieces) {
                        Some(source) => body.extents.insert(offset, len, source),
                        None => body.damaged = true,
                    }
                    body.size = body.size.max(offset.saturating_add(len));
                }
            }
        }
    }

    /// Makes a node of an image.
    fn node(&mut self, image: NodeImage, segment: u64) {
        let file = image.file;
        let Some(mut node) = node_of(image, segment, self.tables.now) else { return };
        let ino = node.ino;
        // Of each file there is one row, and of each number.
        if segment != 0 {
            self.forget(&file);
            if self.tables.nodes.peek(ino).is_some_and(|other| other.file() != file) {
                // Two files exchanged their numbers; the other one comes again under its own.
                self.tables.waiting.remove(&ino);
                self.names.forget(ino);
            }
        }
        let tables = &mut self.tables;
        tables.seen.join(node.record.context());
        if node.sync.is_waiting() {
            tables.waiting.insert(ino);
        }
        tables.next_ino = tables.next_ino.max(ino + 1);
        let is_deletion = is_forgettable(&node) && !node.sync.is_waiting();
        // Whatever a row says, the index has.
        let may_sleep = tables.asleep.has_index && segment == 0 && !self.spoken_of.contains(&file);
        if may_sleep && is_deletion {
            tables.asleep.let_in(Sleeper::new(file, ino, &node.sync.heads, None));
            return;
        }
        if may_sleep
            && tables.nodes.crowd() > 0
            && !self.pins.contains_key(&file)
            && self.names.lay(&node, tables)
        {
            return;
        }
        tables.by_file.insert(file, ino);
        node.links = self.names.note(&node);
        if is_deletion {
            // The flush thread looks at it: it may sleep later.
            tables.nodes.insert(ino, node);
        } else {
            tables.nodes.insert_packed(ino, node);
        }
    }

    /// Takes an earlier state of a file out again.
    fn forget(&mut self, file: &FileId) {
        self.tables.asleep.remove(file);
        let Some(ino) = self.tables.by_file.remove(file) else { return };
        if self.tables.nodes.peek(ino).is_none_or(|node| node.file() != *file) {
            return;
        }
        self.tables.nodes.remove(ino);
        self.tables.waiting.remove(&ino);
        self.names.forget(ino);
    }

    /// The tables, with everything in its place.
    ///
    /// # Errors
    /// `TooManyNodes`; `Disk` when rows cannot be read again.
    pub(crate) fn finish(
        mut self,
        index: Option<&Index>,
        recovery: &mut Recovery,
    ) -> Result<Tables, OpenError> {
        // Deletions are not counted: other devices make them as well, and nobody could end that.
        let count = self.tables.nodes.len() + self.names.lying.len();
        if count > limits::NODES_MAX {
            return Err(OpenError::TooManyNodes { count, max: limits::NODES_MAX });
        }
        self.sync_state(recovery);
        let Self { mut tables, names, bodies, pins, .. } = self;
        for (file, chunks) in pins {
            let node = tables.by_file.get(&file).and_then(|ino| tables.nodes.get_mut(*ino));
            if let Some(node) = node {
                node.sync.pins = chunks;
            }
        }
        for ((file, detached), body) in bodies {
            attach(&mut tables, file, detached, body, recovery);
        }
        let own = tables.author;
        let own_dots = tables.seen.iter().filter(|(life, _)| *life == (own.device, own.incarnation));
        tables.write_seq = own_dots.map(|(_, seq)| seq).max().unwrap_or(0).max(tables.write_seq);
        show(&mut tables, names, index)?;
        drop_orphans(&mut tables);
        Ok(tables)
    }

    /// What is not a node: counters, small values, commits and versions on their way.
    fn sync_state(&mut self, recovery: &Recovery) {
        if recovery.heads_needed {
            self.meta.remove(&meta::MetaKey::CURSOR.number());
        }
        let tables = &mut self.tables;
        let counters =
            self.meta.iter().find_map(|(key, value)| meta::read_counters(*key, value).ok().flatten());
        if let Some(counters) = counters.filter(|counters| counters.incarnation >= tables.author.incarnation)
        {
            tables.author.incarnation = counters.incarnation;
            tables.write_seq = counters.write_seq;
            tables.next_ino = counters.next_ino.max(tables.next_ino);
        }
        tables.meta = std::mem::take(&mut self.meta);
        tables.meta.remove(&0);
        if let Some(pins) = tables.meta.get(&meta::MetaKey::PINS.number()) {
            tables.hydration.load(pins);
        }
        tables.outbox = std::mem::take(&mut self.outbox);
        for node in tables.waiting.iter().filter_map(|ino| tables.nodes.get(*ino)) {
            tables.by_version.extend(node.sync.unplaced.iter().map(|version| (*version, node.file())));
        }
    }
}

/// The names that records ask for, as far as they came.
#[derive(Default)]
struct Names {
    first: Vec<Standing>,
    /// Those of files that were put to sleep.
    lying: Vec<Lying>,
    /// Nodes that came again, or went.
    stale: BTreeSet<Ino>,
    /// What those that came again ask for now.
    again: BTreeMap<Ino, Vec<Standing>>,
    /// Nodes whose record alone cannot say what is shown.
    undecided: BTreeSet<Ino>,
}

impl Names {
    /// Notes what a node asks for, and says so as links.
    fn note(&mut self, node: &Node) -> Vec<Link> {
        let Some((standing, links)) = Standing::of(node) else {
            self.undecided.insert(node.ino);
            return Vec::new();
        };
        if self.stale.contains(&node.ino) {
            self.again.insert(node.ino, standing);
        } else {
            self.first.extend(standing);
        }
        links
    }

    /// Puts a file to sleep if it may; whether it did.
    fn lay(&mut self, node: &Node, tables: &mut Tables) -> bool {
        let link = node.record.links().next().filter(|_| is_settled(node) && has_own_place(node));
        let Some(link) = link else { return false };
        let (parent, name) =
            (link.place.parent, tables.asleep.name_hash(&link.place.parent, &link.place.name));
        let bed = tables.asleep.let_in(Sleeper::new(node.file(), node.ino, &node.sync.heads, None));
        self.lying.push(Lying { parent, ino: node.ino, bed, name });
        true
    }

    fn forget(&mut self, ino: Ino) {
        self.stale.insert(ino);
        self.again.remove(&ino);
        self.undecided.remove(&ino);
    }

    /// All that count, and those of files that sleep; `None` when records alone cannot say what is shown.
    fn all(mut self) -> Option<(Vec<Standing>, Vec<Lying>)> {
        self.first.retain(|name| !self.stale.contains(&name.ino));
        self.first.extend(self.again.into_values().flatten());
        self.undecided.is_empty().then_some((self.first, self.lying))
    }
}

/// Shows the tree. Showing entries for the first time is no change of their directories.
fn show(tables: &mut Tables, names: Names, index: Option<&Index>) -> Result<(), OpenError> {
    let asleep: Vec<FileId> = names.lying.iter().map(|name| tables.asleep.in_bed(name.bed).file).collect();
    if names.all().is_some_and(|(standing, lying)| tables.stand(standing, lying)) {
        #[cfg(test)]
        assert!(tables.shows_its_records(), "the short way shows what the long way would");
        return Ok(());
    }
    for files in asleep.chunks(limits::WOKEN_AT_ONCE) {
        let read = index.map_or(Err(IndexError::Damaged), |index| index.nodes(files));
        let images = read.map_err(|error| OpenError::Disk {
            what: "read the index a second time",
            source: Arc::new(std::io::Error::other(error)),
        })?;
        let now = tables.now;
        images.into_iter().filter_map(|image| node_of(image, 0, now)).for_each(|node| tables.rouse(node));
    }
    tables.take_down();
    let times = |node: &Node| (node.ino, node.mtime, node.ctime);
    let before: Vec<(Ino, Time, Time)> = tables.nodes.scan().map(|node| times(&node)).collect();
    tables.show_all(&mut BTreeSet::new());
    for (ino, mtime, ctime) in before {
        if let Some(node) = tables.nodes.get_mut(ino) {
            (node.mtime, node.ctime) = (mtime, ctime);
        }
    }
    Ok(())
}

/// The node of an image. Only this device's own key seals images; one that does not decode is of another
/// version of the program, and its file will come back with the heads.
pub(crate) fn node_of(image: NodeImage, segment: u64, now: Time) -> Option<Node> {
    let record = Record::from_bytes(&image.record).ok()?;
    let ino = if image.file == record::ROOT { ROOT } else { image.ino };
    let mut node = Node::new(ino, record, now);
    (node.atime, node.mtime, node.ctime) = (image.atime, image.mtime, image.ctime);
    node.sync = Sync {
        dirty_since: image.dirty_since,
        heads: image.heads,
        unplaced: image.unplaced,
        has_version: node.body.size > 0,
        image_segment: segment,
        ..Sync::default()
    };
    Some(node)
}

/// The source of a run; `None` when its bytes are gone.
fn source(
    run: &Run,
    len: u64,
    contents: &[Option<Arc<record::Body>>],
    segments: &Segments,
    pieces: &mut Pieces,
) -> Option<Source> {
    match run {
        Run::Lost => Some(Source::Piece { piece: Piece::lost(u32::try_from(len).ok()?), skip: 0 }),
        Run::Clean { content, offset } => {
            let content = contents.get(usize::try_from(*content).ok()?)?.clone()?;
            Some(Source::Clean { content, offset: *offset })
        }
        Run::Piece { segment, offset, sealed_len, piece_len, skip } => {
            let piece = pieces.entry((*segment, *offset)).or_insert_with(|| match segments.get(*segment) {
                Some(found) => {
                    let segment = Arc::clone(found);
                    Piece::stored(Loc { segment, offset: *offset, sealed_len: *sealed_len }, *piece_len)
                }
                // Spent and deleted; a later state of the file does not show it.
                None => Piece::lost(*piece_len),
            });
            Some(Source::Piece { piece: Arc::clone(piece), skip: *skip })
        }
    }
}

/// Gives a body its unsent bytes.
fn attach(tables: &mut Tables, file: FileId, detached: Ino, unsent: Unsent, recovery: &mut Recovery) {
    let Some(current) = tables.by_file.get(&file).copied() else { return };
    let ino = if detached == 0 { current } else { detached };
    if detached != 0 {
        let Some(base) = unsent.base.clone() else { return };
        let mut node = Node::new(ino, base, tables.now);
        node.successor = Some(current);
        if let Some(current) = tables.nodes.get_mut(current) {
            current.old_versions += 1;
        }
        tables.next_ino = tables.next_ino.max(ino + 1);
        tables.nodes.insert(ino, node);
    }
    let Some(node) = tables.nodes.get_mut(ino) else { return };
    if node.record.is_trashed() && detached == 0 {
        return;
    }
    let mut body =
        Body { extents: unsent.extents, size: unsent.size, shown: node.body.shown, ..Body::default() };
    if unsent.damaged {
        lose(&mut body);
    }
    if body.is_damaged() {
        recovery.damaged_files.push(ino);
    }
    body.base = unsent.base.map(Box::new);
    body.writes = 1;
    let damaged = body.is_damaged();
    body.log = BodyLog::restored(unsent.generation, unsent.segment);
    if damaged {
        body.log.rewrite();
    }
    node.body = body;
    tables.uncut.insert(ino);
    tables.waiting.insert(ino);
}

/// Nothing of the body can be trusted: reads fail until it is overwritten.
fn lose(body: &mut Body) {
    let size = body.size;
    let step = 1 << 30;
    body.extents = ExtentMap::default();
    let mut at = 0;
    while at < size {
        let len = (size - at).min(step);
        let piece = Piece::lost(u32::try_from(len).expect("a step fits 32 bits"));
        body.extents.insert(at, len, Source::Piece { piece, skip: 0 });
        at += len;
    }
    body.log.rewrite();
}

/// Files that were open without a name when the process ended, and that nobody else knows.
fn drop_orphans(tables: &mut Tables) {
    let orphans: Vec<Ino> =
        tables.nodes.open().filter(|node| node.is_deleted()).map(|node| node.ino).collect();
    orphans.into_iter().for_each(|ino| tables.reap(ino));
}
