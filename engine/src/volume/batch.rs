//! From the tables to a batch: what changed, taken in one piece.
//!
//! A snapshot is taken under the tables' lock and holds everything by value or by reference to
//! immutable pieces; sealing and writing happen without the lock. Afterwards the tables learn where
//! the state went, or, after a failure, that all of it is due again.

use crate::Ino;
use crate::body::log::Due;
use crate::body::piece::{Piece, Place};
use crate::body::{ExtentMap, Op, Source};
use crate::journal::item::{BodyImage, BodyMode, BodyOp, Item, NodeImage, Run};
use crate::limits;
use crate::tables::Tables;
use crate::tables::node::Node;
use crate::volume::meta;
use bytes::Bytes;
use freehold_model::FileId;
use freehold_model::codec::to_vec;
use freehold_vault::record;
use std::collections::HashMap;
use std::sync::Arc;

/// One body's part of a snapshot.
struct BodyPart {
    ino: Ino,
    file: FileId,
    detached: Ino,
    generation: u64,
    due: Due,
    base: Option<Vec<u8>>,
    extents: ExtentMap,
    size: u64,
}

/// Everything that changed since the last batch.
pub(crate) struct Snapshot {
    /// How far the tables had come.
    pub(crate) op: u64,
    nodes: Vec<(Ino, NodeImage)>,
    bodies: Vec<BodyPart>,
    gone: Vec<Item>,
    pending: Vec<Item>,
    counters: Item,
}

impl Snapshot {
    /// Takes what is dirty. `whole_meta` repeats the small sync state, for a fresh segment.
    pub(crate) fn take(tables: &mut Tables, whole_meta: bool) -> Self {
        let mut snapshot = Self {
            op: tables.op,
            nodes: Vec::new(),
            bodies: Vec::new(),
            gone: std::mem::take(&mut tables.gone),
            pending: std::mem::take(&mut tables.pending),
            counters: meta::counters(tables),
        };
        if whole_meta {
            snapshot.pending.extend(meta::all(tables));
        }
        for ino in std::mem::take(&mut tables.dirty) {
            let Some(node) = tables.nodes.get_mut(ino) else { continue };
            if node.successor.is_none() && !node.is_local_only() {
                snapshot.nodes.push((ino, image(node)));
            }
            snapshot.bodies.extend(body_part(node));
        }
        snapshot
    }

    /// Whether there is anything to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.bodies.is_empty() && self.gone.is_empty() && self.pending.is_empty()
    }

    /// The pieces that are not on disk yet, each once.
    pub(crate) fn pieces(&self) -> Vec<(Arc<Piece>, Bytes)> {
        let mut seen = std::collections::HashSet::new();
        let mut pieces = Vec::new();
        let mut add = |piece: &Arc<Piece>| {
            if seen.insert(Arc::as_ptr(piece))
                && let Place::Memory(bytes) = piece.place()
            {
                pieces.push((Arc::clone(piece), bytes));
            }
        };
        for body in &self.bodies {
            match &body.due {
                Due::Clean => {}
                Due::Full => body.extents.pieces().for_each(&mut add),
                Due::Delta(ops) => ops.iter().for_each(|op| {
                    if let Op::Show { source: Source::Piece { piece, .. }, .. } = op {
                        add(piece);
                    }
                }),
            }
        }
        pieces
    }

    /// The items, once every piece has its place.
    pub(crate) fn items(&self) -> Vec<Item> {
        let mut items = self.gone.clone();
        items.extend(self.nodes.iter().map(|(_, image)| Item::Node(image.clone())));
        self.bodies.iter().for_each(|body| body.items(&mut items));
        items.extend(self.pending.iter().cloned());
        items.push(self.counters.clone());
        items
    }

    /// Notes where the state went.
    pub(crate) fn written(self, tables: &mut Tables, segment: u64) {
        for (ino, _) in &self.nodes {
            if let Some(node) = tables.nodes.get_mut(*ino) {
                node.sync.image_segment = segment;
            }
        }
        for part in self.bodies {
            if let Some(node) = tables.nodes.get_mut(part.ino) {
                let last = part.last_generation();
                node.body.log.written(&part.due, last, segment);
            }
        }
        for item in &self.pending {
            if let Item::Outbox { hash, .. } = item
                && let Some(entry) = tables.outbox.iter_mut().find(|entry| entry.hash == *hash)
            {
                entry.segment = segment;
            }
        }
    }

    /// Makes everything due again after a failure; with `poison`, `fsync` will tell.
    pub(crate) fn failed(self, tables: &mut Tables, poison: bool) {
        tables.op += 1;
        for (ino, _) in self.nodes {
            if let Some(node) = tables.nodes.get_mut(ino) {
                node.poisoned |= poison;
                tables.dirty.insert(ino);
            }
        }
        for part in self.bodies {
            if let Some(node) = tables.nodes.get_mut(part.ino) {
                node.poisoned |= poison;
                match part.due {
                    Due::Clean => node.body.log.clean_again(),
                    Due::Full | Due::Delta(_) => node.body.log.rewrite(),
                }
                tables.dirty.insert(part.ino);
            }
        }
        tables.gone.splice(0..0, self.gone);
        tables.pending.splice(0..0, self.pending);
    }
}

fn image(node: &Node) -> NodeImage {
    NodeImage {
        ino: node.ino,
        file: node.file(),
        atime: node.atime,
        mtime: node.mtime,
        ctime: node.ctime,
        dirty_since: node.sync.dirty_since,
        heads: node.sync.heads.clone(),
        unplaced: node.sync.unplaced.clone(),
        record: node.record.to_bytes(),
    }
}

fn body_part(node: &mut Node) -> Option<BodyPart> {
    let detached = if node.successor.is_some() { node.ino } else { 0 };
    let due = node.body.log.take()?;
    // The bytes of an unlinked file die with this process.
    if node.is_deleted() && !matches!(due, Due::Clean) {
        return None;
    }
    let extents = if matches!(due, Due::Full) { node.body.extents.clone() } else { ExtentMap::default() };
    Some(BodyPart {
        ino: node.ino,
        file: node.file(),
        detached,
        generation: node.body.log.generation + 1,
        due,
        base: node.body.base.as_ref().map(|base| base.to_bytes()),
        extents,
        size: node.body.size,
    })
}

/// Collects the versions that runs refer to, each once.
#[derive(Default)]
struct Contents {
    list: Vec<Vec<u8>>,
    index: HashMap<*const record::Body, u32>,
}

impl Contents {
    fn number(&mut self, content: &Arc<record::Body>) -> u32 {
        *self.index.entry(Arc::as_ptr(content)).or_insert_with(|| {
            self.list.push(to_vec(&**content));
            u32::try_from(self.list.len() - 1).expect("fewer contents than extents")
        })
    }
}

impl BodyPart {
    /// Number of items the operations fill.
    fn last_generation(&self) -> u64 {
        let ops = match &self.due {
            Due::Clean => 0,
            Due::Full => self.extents.runs().count() + 1,
            Due::Delta(ops) => ops.len(),
        };
        self.generation + ops.div_ceil(limits::BODY_OPS_PER_ITEM).max(1) as u64 - 1
    }

    fn items(&self, items: &mut Vec<Item>) {
        let mut contents = Contents::default();
        let ops: Vec<BodyOp> = match &self.due {
            Due::Clean => Vec::new(),
            Due::Full => {
                let shows = self.extents.runs().map(|(offset, extent)| BodyOp::Show {
                    offset,
                    len: extent.len,
                    run: run(&extent.source, &mut contents),
                });
                std::iter::once(BodyOp::Size(self.size)).chain(shows).collect()
            }
            Due::Delta(ops) => ops.iter().map(|op| encode_op(op, &mut contents)).collect(),
        };
        let first = match self.due {
            Due::Clean => BodyMode::Clean,
            Due::Full => BodyMode::Full,
            Due::Delta(_) => BodyMode::Delta,
        };
        let parts: Vec<&[BodyOp]> =
            if ops.is_empty() { vec![&[]] } else { ops.chunks(limits::BODY_OPS_PER_ITEM).collect() };
        for (index, part) in parts.into_iter().enumerate() {
            items.push(Item::Body(BodyImage {
                file: self.file,
                detached: self.detached,
                generation: self.generation + index as u64,
                mode: if index == 0 { first } else { BodyMode::Delta },
                base: self.base.clone(),
                contents: contents.list.clone(),
                ops: part.to_vec(),
            }));
        }
    }
}

fn encode_op(op: &Op, contents: &mut Contents) -> BodyOp {
    match op {
        Op::Show { offset, len, source } => {
            BodyOp::Show { offset: *offset, len: *len, run: run(source, contents) }
        }
        Op::Clear { offset, len } => BodyOp::Clear { offset: *offset, len: *len },
        Op::Size(size) => BodyOp::Size(*size),
    }
}

fn run(source: &Source, contents: &mut Contents) -> Run {
    match source {
        Source::Clean { content, offset } => {
            Run::Clean { content: contents.number(content), offset: *offset }
        }
        Source::Piece { piece, skip } => match piece.loc() {
            Ok(loc) => Run::Piece {
                segment: loc.segment.number,
                offset: loc.offset,
                sealed_len: loc.sealed_len,
                piece_len: piece.len(),
                skip: *skip,
            },
            Err(_) => Run::Lost,
        },
    }
}
