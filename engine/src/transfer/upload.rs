//! Bringing pinned chunks to the nodes that should have them.
//!
//! A chunk waits here from the moment it is sealed until as many nodes as the layout's write quorum
//! have signed that it is on their disks and the server has booked their receipts. What waits is
//! pinned in the cache, so after a restart the pins are the queue. Sending a chunk that a node
//! already has costs its bytes and yields the receipt anyway; nothing else does.

use super::batch::{Batch, Waiting, next_batch};
use super::limits::{BATCH_TIMEOUT, FULL_NODE_PAUSE, UPLOAD_BATCH_BYTES, UPLOADS_IN_FLIGHT};
use super::nodes::Nodes;
use super::peer::{Ask, PeerFailure};
use super::serving::{Serving, StandBack};
use crate::problems::Problems;
use crate::server::Server;
use crate::sync::pace::Backoff;
use bytes::Bytes;
use freehold_api::bulk::ReceiptsRequest;
use freehold_api::peer::{PUT, PUT_RESPONSE_BYTES_MAX, PutItem, PutOutcome, PutRequest, PutResponse};
use freehold_model::codec::{from_slice, to_vec};
use freehold_model::{ChunkId, NodeId, VaultId};
use freehold_net::Class;
use freehold_store::CacheStore;
use freehold_trust::{Receipt, ReceivedChunk, SignedReceipt};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// Problem: a node refuses chunks because its disk is full.
pub(crate) const NODE_FULL: &str = "node_full";
/// Problem: a pinned chunk cannot be read back.
pub(crate) const CHUNK_LOST: &str = "chunk_lost";

/// Chunks waiting for their copies.
pub(crate) struct Uploads {
    vault: VaultId,
    cache: Arc<CacheStore>,
    nodes: Arc<Nodes>,
    server: Arc<Server>,
    problems: Arc<Problems>,
    serving: Arc<Serving>,
    state: Mutex<State>,
    work: Notify,
    /// Counts chunks that became placed.
    placed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<ChunkId, Waiting>,
    bytes: u64,
    /// Placed, for versions that may not have their number yet.
    done: BTreeSet<ChunkId>,
    /// Nodes without space, and until when they are left alone.
    full: BTreeMap<NodeId, Instant>,
}

/// A receipt that was checked against its node's certificate.
#[derive(Default)]
struct Checked {
    chunks: Vec<ChunkId>,
    /// Empty where there is none.
    bytes: Vec<u8>,
}

/// What one batch came to.
struct Outcome {
    batch: Batch,
    booked: Vec<ChunkId>,
    full: bool,
    failed: bool,
}

impl Uploads {
    /// Takes up what is pinned in the cache.
    pub(crate) fn new(
        vault: VaultId,
        cache: Arc<CacheStore>,
        nodes: Arc<Nodes>,
        server: Arc<Server>,
        problems: Arc<Problems>,
        serving: Arc<Serving>,
    ) -> Self {
        let uploads = Self {
            vault,
            cache,
            nodes,
            server,
            problems,
            serving,
            state: Mutex::default(),
            work: Notify::new(),
            placed: watch::Sender::new(0),
        };
        let pinned = uploads.cache.pinned();
        uploads.add(&pinned);
        uploads
    }

    /// Adds chunks that are pinned in the cache.
    pub(crate) fn add(&self, chunks: &[ChunkId]) {
        let mut state = self.state.lock();
        for chunk in chunks {
            if state.done.contains(chunk) || state.waiting.contains_key(chunk) {
                continue;
            }
            let Some(len_bytes) = self.cache.len_bytes(chunk) else {
                self.problems.raise(
                    CHUNK_LOST,
                    "a sealed piece of a changed file is gone from this device's cache before it was uploaded",
                    "write the file again; check the disk",
                );
                continue;
            };
            state.bytes += u64::from(len_bytes);
            state.waiting.insert(*chunk, Waiting { len_bytes, ..Waiting::default() });
        }
        drop(state);
        self.work.notify_one();
    }

    /// Chunks that wait, and their bytes.
    pub(crate) fn pending(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.waiting.len() as u64, state.bytes)
    }

    /// Whether a chunk is new with a version of this device: waiting, or placed lately.
    pub(crate) fn holds(&self, chunk: &ChunkId) -> bool {
        let state = self.state.lock();
        state.waiting.contains_key(chunk) || state.done.contains(chunk)
    }

    /// Waits until none of these chunks waits any more, at most for `patience`.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(crate) async fn settle(&self, chunks: &[ChunkId], patience: Duration) {
        let mut placed = self.placed.subscribe();
        let settled = async {
            loop {
                {
                    let state = self.state.lock();
                    if !chunks.iter().any(|chunk| state.waiting.contains_key(chunk)) {
                        return;
                    }
                }
                if placed.changed().await.is_err() {
                    return;
                }
            }
        };
        // Whether it was in time makes no difference: commits may go before their chunks.
        drop(tokio::time::timeout(patience, settled).await);
    }

    /// Waits for the next chunk to become placed.
    pub(crate) fn placed(&self) -> watch::Receiver<u64> {
        self.placed.subscribe()
    }

    /// Whether a chunk still waits for receipts.
    pub(crate) fn is_waiting(&self, chunk: &ChunkId) -> bool {
        self.state.lock().waiting.contains_key(chunk)
    }

    /// Forgets which chunks were placed: nothing of this device refers to them as new any more.
    pub(crate) fn forget(&self) {
        self.state.lock().done.clear();
    }

    /// Uploads until dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut batches: JoinSet<Outcome> = JoinSet::new();
        let mut backoff = Backoff::default();
        let mut pause = None;
        let mut back = StandBack::default();
        loop {
            let stands_back = back.is_due(&self.serving, Instant::now());
            while pause.is_none() && !stands_back && batches.len() < UPLOADS_IN_FLIGHT {
                let Some(batch) = self.take_batch() else { break };
                let uploads = Arc::clone(&self);
                batches.spawn(async move { uploads.send(batch).await });
            }
            let rest = async {
                match pause {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None if stands_back => tokio::time::sleep(StandBack::LOOK).await,
                    // New nodes and nodes that are back come without another sign.
                    None => tokio::time::sleep(Duration::from_secs(1)).await,
                }
            };
            tokio::select! {
                Some(done) = batches.join_next() => match done {
                    Ok(outcome) if outcome.failed => {
                        self.finish(outcome);
                        pause = Some(backoff.next(crate::sync::random()));
                    }
                    Ok(outcome) => {
                        self.finish(outcome);
                        backoff.reset();
                    }
                    Err(error) => tracing::error!(%error, "an upload task failed"),
                },
                () = self.work.notified(), if pause.is_none() => {}
                () = self.nodes.changed(), if pause.is_none() => {}
                () = rest => pause = None,
            }
        }
    }

    fn take_batch(&self) -> Option<Batch> {
        // Receipts count once the server has booked them: while it is away they would be lost, and the
        // same bytes sent again and again.
        if !self.server.is_reachable() {
            return None;
        }
        let layout = self.nodes.layout()?;
        let mut usable = self.nodes.usable();
        let now = Instant::now();
        let mut state = self.state.lock();
        state.full.retain(|_, until| now < *until);
        usable.retain(|node| !state.full.contains_key(node));
        let wanted = usize::from(layout.write_quorum());
        let batch = next_batch(&state.waiting, &layout.weights(), &usable, wanted, UPLOAD_BATCH_BYTES)?;
        for chunk in &batch.chunks {
            if let Some(waiting) = state.waiting.get_mut(chunk) {
                waiting.in_flight = true;
            }
        }
        Some(batch)
    }

    /// One batch to its node, and its receipts to the server.
    async fn send(&self, batch: Batch) -> Outcome {
        let mut outcome = Outcome { batch, booked: Vec::new(), full: false, failed: false };
        let Some((items, body)) = self.read(&outcome.batch.chunks).await else {
            outcome.failed = true;
            return outcome;
        };
        let answer = match self.put(outcome.batch.node, &items, body).await {
            Ok(answer) => answer,
            Err(failure) => {
                tracing::debug!(node = ?outcome.batch.node, %failure, "an upload was not taken");
                outcome.failed = true;
                return outcome;
            }
        };
        self.look_at_wrong(&items, &answer).await;
        let (checked, full) = self.check(outcome.batch.node, &items, answer);
        outcome.full = full;
        outcome.failed = checked.chunks.is_empty();
        let chunks = checked.chunks;
        match self.book(checked.bytes).await {
            Ok(()) => outcome.booked = chunks,
            Err(error) => {
                tracing::debug!(%error, "a receipt was not booked");
                outcome.failed = true;
            }
        }
        outcome
    }

    /// Reads the batch from the cache, beside the runtime. It is not verified: the node does that.
    async fn read(&self, chunks: &[ChunkId]) -> Option<(Vec<PutItem>, Vec<Bytes>)> {
        let cache = Arc::clone(&self.cache);
        let wanted = chunks.to_vec();
        let read = tokio::task::spawn_blocking(move || {
            let whole = |chunk| (chunk, cache.get_range(&chunk, 0..u32::MAX));
            wanted.into_iter().map(whole).collect::<Vec<_>>()
        });
        let (mut items, mut body, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for (id, bytes) in read.await.ok()? {
            let Some(bytes) = bytes else {
                lost.push(id);
                continue;
            };
            let len_bytes = u32::try_from(bytes.len()).expect("chunks are bounded far below 4 GiB");
            items.push(PutItem { id, len_bytes });
            body.push(Bytes::from(bytes));
        }
        if !lost.is_empty() {
            self.give_up(&lost);
        }
        if items.is_empty() { None } else { Some((items, body)) }
    }

    /// Looks at chunks that a node found to be damaged, and gives up those that are so here.
    async fn look_at_wrong(&self, items: &[PutItem], answer: &PutResponse) {
        let outcomes = items.iter().zip(&answer.outcomes);
        let wrong = outcomes.filter(|(_, outcome)| **outcome == PutOutcome::WrongId).map(|(item, _)| item.id);
        let wrong: Vec<ChunkId> = wrong.collect();
        if wrong.is_empty() {
            return;
        }
        let cache = Arc::clone(&self.cache);
        let look = move || wrong.into_iter().partition(|chunk| cache.get(chunk).is_some());
        let looked: Result<(Vec<ChunkId>, Vec<ChunkId>), _> = tokio::task::spawn_blocking(look).await;
        match looked {
            Ok((sound, lost)) => {
                if !sound.is_empty() {
                    tracing::error!(?sound, "a node refuses chunks that are sound here");
                }
                if !lost.is_empty() {
                    self.give_up(&lost);
                }
            }
            Err(error) => tracing::error!(%error, "chunks that a node refuses could not be looked at"),
        }
    }

    /// The only copy of these is damaged or gone. Waiting for them would be for ever.
    fn give_up(&self, lost: &[ChunkId]) {
        let mut state = self.state.lock();
        for chunk in lost {
            if let Some(waiting) = state.waiting.remove(chunk) {
                state.bytes -= u64::from(waiting.len_bytes);
            }
        }
        drop(state);
        self.problems.raise(
            CHUNK_LOST,
            format!("{} sealed pieces of changed files are damaged in this device's cache", lost.len()),
            "check the disk; files that other devices show as waiting for this device must be written again",
        );
    }

    async fn put(
        &self,
        node: NodeId,
        items: &[PutItem],
        body: Vec<Bytes>,
    ) -> Result<PutResponse, PeerFailure> {
        let head = |vault_tag| to_vec(&PutRequest { vault_tag, items: items.to_vec() });
        let answer_bytes_max = PUT_RESPONSE_BYTES_MAX;
        let ask = Ask { method: PUT, class: Class::Bulk, head: &head, body, answer_bytes_max };
        let asked = tokio::time::timeout(BATCH_TIMEOUT, self.nodes.ask(&node, &ask)).await;
        let response = asked.map_err(|_| PeerFailure::Away)??;
        let answer: PutResponse = from_slice(&response.body).map_err(|_| PeerFailure::Malformed)?;
        if answer.outcomes.len() == items.len() { Ok(answer) } else { Err(PeerFailure::Malformed) }
    }

    /// The receipt of an answer if it is what it should be, and whether the node is full.
    fn check(&self, node: NodeId, items: &[PutItem], answer: PutResponse) -> (Checked, bool) {
        let Some((cert, vault_tag)) = self.nodes.receipt_terms(&node) else { return Default::default() };
        let (mut full, mut stored) = (false, Vec::with_capacity(items.len()));
        for (item, outcome) in items.iter().zip(&answer.outcomes) {
            match outcome {
                PutOutcome::Stored | PutOutcome::Present => {
                    stored.push(ReceivedChunk { id: item.id, len_bytes: item.len_bytes });
                }
                PutOutcome::NoSpace | PutOutcome::ReadOnly => full = true,
                // Was looked at already.
                PutOutcome::WrongId => {}
                PutOutcome::TooLarge => {
                    tracing::error!(?node, chunk = ?item.id, "a node refuses a chunk that is sound here");
                }
            }
        }
        if stored.is_empty() {
            return (Checked::default(), full);
        }
        let signed = SignedReceipt::from_bytes(&answer.receipt).ok();
        let receipt = signed.as_ref().and_then(|signed| signed.verify(&cert.sign_pk).ok());
        let is_sound = |receipt: &Receipt| {
            receipt.node == node && receipt.vault_tag == vault_tag && receipt.chunks == stored
        };
        if !receipt.is_some_and(is_sound) {
            tracing::error!(?node, "a node's receipt is not good; its chunks count as not stored");
            return (Checked::default(), full);
        }
        let chunks = stored.iter().map(|chunk| chunk.id).collect();
        (Checked { chunks, bytes: answer.receipt }, full)
    }

    async fn book(&self, receipt: Vec<u8>) -> Result<(), freehold_net::coord::CoordError> {
        if receipt.is_empty() {
            return Ok(());
        }
        let (vault, request) = (self.vault, &ReceiptsRequest { receipts: vec![receipt] });
        self.server.ask(|client| async move { client.receipts(&vault, request).await }).await.map(drop)
    }

    /// Books the outcome in the queue.
    fn finish(&self, outcome: Outcome) {
        let wanted = self.nodes.layout().map_or(1, |layout| usize::from(layout.write_quorum()));
        let mut newly_placed = 0;
        let mut state = self.state.lock();
        for chunk in &outcome.batch.chunks {
            if let Some(waiting) = state.waiting.get_mut(chunk) {
                waiting.in_flight = false;
            }
        }
        for chunk in &outcome.booked {
            let Some(waiting) = state.waiting.get_mut(chunk) else { continue };
            waiting.holders.insert(outcome.batch.node);
            if waiting.holders.len() >= wanted {
                let len_bytes = waiting.len_bytes;
                state.waiting.remove(chunk);
                state.bytes -= u64::from(len_bytes);
                state.done.insert(*chunk);
                newly_placed += 1;
            }
        }
        if outcome.full {
            state.full.insert(outcome.batch.node, Instant::now() + FULL_NODE_PAUSE);
        }
        drop(state);
        if outcome.full {
            self.problems.raise(
                NODE_FULL,
                "a storage node takes no more chunks: its disk is full or failing",
                "free space there or add a node; nothing is lost, changes wait on this device",
            );
        } else if newly_placed > 0 {
            self.problems.clear(NODE_FULL);
        }
        if newly_placed > 0 {
            self.placed.send_modify(|count| *count += newly_placed);
        }
    }
}

impl std::fmt::Debug for Uploads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uploads").field("pending", &self.pending()).finish_non_exhaustive()
    }
}
