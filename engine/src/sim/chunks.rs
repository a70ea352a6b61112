//! Files in chunks and a storage node that comes and goes: what counts as placed is there, whatever happens.
//!
//! The node's store is the real one, on a disk that loses power. Cutting and sealing are the device's own. Uploads are
//! driven from here, chunk by chunk, since the device's own need links: a put may be answered and the answer lost.

use super::random::Dice;
use super::replica::Replica;
use super::server::reachable;
use super::world::World;
use crate::body::ahead::AheadPiece;
use crate::cut::cutting::{Cutting, Shape};
use crate::cut::known::Known;
use crate::cut::seal::{Run, Sealed, Sealer, Snapshot};
use crate::testing::{TraceDisk, file};
use crate::{ChunkSource, CutJob, FetchDone, FetchError, FsError, ROOT};
use freehold_model::{ChunkId, Entropy, VaultTag, VersionHash};
use freehold_store::{CacheStore, NodeOptions, NodeStore, Pin, PutStatus};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

const SEEDS: u64 = 60;
const STEPS: usize = 120;
const TAG: VaultTag = VaultTag::from_bytes([7; 16]);

/// A storage node.
struct Node {
    disk: TraceDisk,
    store: NodeStore,
    is_up: bool,
}

impl Node {
    fn on(disk: TraceDisk) -> Self {
        let opened = NodeStore::open_on(Arc::new(disk.clone()), NodeOptions::default());
        Self { disk, store: opened.expect("it opens whatever was lost").0, is_up: true }
    }

    /// Stores chunks; those it acknowledges.
    fn put(&self, chunks: Vec<(ChunkId, Vec<u8>)>) -> Vec<ChunkId> {
        let ids: Vec<ChunkId> = chunks.iter().map(|(id, _)| *id).collect();
        let items = chunks.into_iter().map(|(id, bytes)| (TAG, id, bytes.into())).collect();
        let acknowledged = |status: &PutStatus| matches!(status, PutStatus::Stored | PutStatus::Present);
        let statuses = self.store.put_batch(items);
        ids.into_iter().zip(statuses).filter(|(_, status)| acknowledged(status)).map(|(id, _)| id).collect()
    }

    /// A chunk, hashed.
    fn get(&self, id: ChunkId) -> Option<Vec<u8>> {
        self.store.get(TAG, id, None).expect("nothing rots").map(|slice| slice.bytes.to_vec())
    }
}

/// Brings a device the chunks it reads.
struct FromNode {
    node: Arc<Mutex<Node>>,
    cache: Arc<CacheStore>,
}

impl ChunkSource for FromNode {
    fn want(&self, chunks: Vec<ChunkId>, _deadline: Instant, done: FetchDone) {
        let is_all = {
            let node = self.node.lock();
            chunks.iter().all(|id| {
                let found = node.get(*id).filter(|_| node.is_up);
                found.is_some_and(|bytes| self.cache.put(*id, &bytes, Pin::Evictable).is_ok())
            })
        };
        done(if is_all { Ok(()) } else { Err(FetchError::Unreachable) });
    }
}

/// A job as the sealer sees it: nothing of it is reused.
struct View(CutJob);

impl Snapshot for View {
    fn shape(&self) -> Shape {
        Shape::default()
    }

    fn run_at(&self, _offset: u64, max: u64) -> Run {
        Run { len: max, clean: None }
    }

    fn sealed_ahead(&self, _: u64) -> Option<AheadPiece> {
        None
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FsError> {
        self.0.reader.read_at(offset, buffer).map_err(|blocked| blocked.err().unwrap_or(FsError::Unreachable))
    }

    fn fetch(&self, _chunks: &[ChunkId]) -> Result<(), FsError> {
        Err(FsError::Unreachable)
    }
}

/// Keys that a second run draws again.
struct Drawn<'a>(&'a mut Dice);

impl Entropy for Drawn<'_> {
    fn fill(&mut self, buffer: &mut [u8]) {
        buffer.fill_with(|| self.0.roll().to_be_bytes()[0]);
    }
}

/// Cuts every changed file as the cutting thread does.
fn cut(replica: &Replica, dice: &mut Dice) {
    let (volume, cache) = (&replica.local.volume, &replica.local.cache);
    let cutting = Cutting::new(&replica.local.keyring);
    while let Some(job) = volume.next_cut(true) {
        let (token, size, mut pins) = (job.token, job.size, Vec::new());
        let (known, mut entropy) = (Known::new(), Drawn(dice));
        let (keyring, known) = (&replica.local.keyring, &known);
        let mut sealer = Sealer { cutting: &cutting, keyring, cache, known, entropy: &mut entropy };
        let Sealed { body, .. } =
            sealer.seal(size, None, &View(job), &mut pins).expect("all of it is on a healthy disk");
        cache.sync().expect("a healthy disk");
        volume.finish_cut(&token, body, pins);
    }
}

/// Two devices, of which the first writes and the second reads, and what was written.
struct Story {
    world: World,
    node: Arc<Mutex<Node>>,
    written: BTreeMap<String, Vec<u8>>,
    chunks: BTreeMap<VersionHash, BTreeSet<ChunkId>>,
    receipts: BTreeSet<ChunkId>,
    lost_answers: u64,
}

impl Story {
    fn new() -> Self {
        let world = World::new(2);
        let node = Arc::new(Mutex::new(Node::on(TraceDisk::default())));
        for replica in &world.replicas {
            let source = FromNode { node: Arc::clone(&node), cache: Arc::clone(&replica.local.cache) };
            replica.local.volume.set_source(Arc::new(source));
        }
        Self {
            world,
            node,
            written: BTreeMap::new(),
            chunks: BTreeMap::new(),
            receipts: BTreeSet::new(),
            lost_answers: 0,
        }
    }

    fn step(&mut self, dice: &mut Dice) {
        match dice.below(20) {
            0..4 => self.write(dice),
            4..8 => self.commit(dice),
            8..13 => self.upload(dice.below(4) == 0),
            13 => self.node.lock().is_up ^= true,
            14 => self.cut_the_nodes_power(dice.roll()),
            15 => self.world.replicas[1].intake.server_may_have_more(false),
            _ => {
                self.world.replicas[1].ask(self.world.now_ms);
                let open = self.world.replicas[1].asked.len();
                if open > 0 {
                    self.world.answer(1, dice.below(open));
                }
            }
        }
        self.world.now_ms += 500;
    }

    fn write(&mut self, dice: &mut Dice) {
        let volume = Arc::clone(&self.world.replicas[0].local.volume);
        let name = format!("file {}", dice.below(4));
        // Inline, one chunk, several.
        let len = [900, 30_000, 600_000][dice.below(3)] + dice.below(900);
        let byte = dice.roll();
        let content: Vec<u8> =
            (0..len as u64).map(|at| (at ^ byte).wrapping_mul(at | 1).to_be_bytes()[7]).collect();
        let found = volume.lock().child(ROOT, name.as_bytes());
        let ino =
            found.unwrap_or_else(|| volume.lock().insert(ROOT, name.as_bytes(), file()).expect("a new name"));
        volume.truncate(ino, 0).expect("a file");
        volume.write(ino, 0, &content).expect("room");
        self.written.insert(format!("/{name}"), content);
    }

    fn commit(&mut self, dice: &mut Dice) {
        cut(&self.world.replicas[0], dice);
        if let Some(push) = self.world.replicas[0].commit() {
            let chunks = push.versions.iter().map(|version| (version.hash, reachable(&push, version)));
            self.chunks.extend(chunks);
        }
        if !self.world.replicas[0].has_met {
            self.world.meet(0);
        }
        self.world.send(0);
    }

    /// Brings some chunks to the node. What it acknowledges is booked, unless the answer is lost.
    fn upload(&mut self, loses_answer: bool) {
        let local = Arc::clone(&self.world.replicas[0].local);
        let pins = local.volume.lock().pins();
        let open: Vec<ChunkId> = pins.difference(&self.receipts).copied().take(2).collect();
        let chunks = open.into_iter().map(|id| (id, local.cache.get(&id).expect("pinned"))).collect();
        let node = self.node.lock();
        if !node.is_up {
            return;
        }
        let stored = node.put(chunks);
        if loses_answer {
            self.lost_answers += 1;
            return;
        }
        self.receipts.extend(&stored);
        self.world.server.book(&stored);
        let open: Vec<VersionHash> = local.volume.lock().unplaced_versions().collect();
        let placed: Vec<VersionHash> =
            open.into_iter().filter(|version| self.world.server.is_placed(version)).collect();
        let receipts = &self.receipts;
        local.volume.versions_placed(&placed, |chunk| !receipts.contains(chunk));
    }

    fn cut_the_nodes_power(&mut self, seed: u64) {
        let mut node = self.node.lock();
        let (disk, is_up) = (node.disk.cut(node.disk.operations(), seed), node.is_up);
        *node = Node { is_up, ..Node::on(disk) };
        for chunk in &self.receipts {
            assert!(node.get(*chunk).is_some(), "{chunk:?} has a receipt and is gone");
        }
    }

    /// Nothing counts as placed whose chunks the node lacks.
    fn assert_placed_is_there(&self) {
        let node = self.node.lock();
        for (version, chunks) in &self.chunks {
            if self.world.server.is_placed(version) {
                assert!(chunks.iter().all(|chunk| node.get(*chunk).is_some()), "{version:?} is not there");
            }
        }
    }
}

fn run(seed: u64) -> (blake3::Hash, u64) {
    let mut dice = Dice(seed);
    let mut story = Story::new();
    for _ in 0..STEPS {
        story.step(&mut dice);
        story.assert_placed_is_there();
    }
    story.node.lock().is_up = true;
    story.commit(&mut dice);
    while !story.world.replicas[0].local.volume.lock().pins().is_subset(&story.receipts) {
        story.upload(false);
    }
    story.world.settle();
    story.assert_placed_is_there();
    story.world.assert_converged();
    let shown = story.world.replicas[1].tree();
    for (name, content) in &story.written {
        assert_eq!(shown[name].as_ref(), Some(content), "{name} of seed {seed}");
    }
    (story.world.finish(), story.lost_answers)
}

#[test]
fn what_counts_as_placed_is_on_the_node_and_every_file_reads_back_from_there() {
    let mut lost_answers = 0;
    for seed in 0..SEEDS {
        let once = run(seed);
        assert_eq!(once, run(seed), "seed {seed} takes other steps the second time");
        lost_answers += once.1;
    }
    assert!(lost_answers > SEEDS, "only {lost_answers} answers were lost");
}

#[test]
#[should_panic(expected = "is not there")]
fn a_receipt_for_a_chunk_that_the_node_lacks_is_noticed() {
    let (mut story, mut dice) = (Story::new(), Dice(1));
    while story.world.replicas[0].local.volume.lock().pins().is_empty() {
        story.write(&mut dice);
        story.commit(&mut dice);
    }
    let pins: Vec<ChunkId> = story.world.replicas[0].local.volume.lock().pins().into_iter().collect();
    story.world.server.book(&pins);
    story.assert_placed_is_there();
}
