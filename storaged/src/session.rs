//! One client's requests: bytes and the time in, replies out.
//!
//! No socket, clock or thread is used here; the store is a parameter and its calls block. The
//! shell (`serve.rs`) receives bodies, bounds memory and chooses the thread. A request is decoded
//! and admitted before its body is taken, so a stranger cannot make the node hold bytes.

use crate::admit::{Authority, Budgets, Shown};
use bytes::Bytes;
use freehold_api::peer::{
    GetItem, GetOutcome, GetRequest, GetResponse, HaveRequest, HaveResponse, PeerError, PutOutcome,
    PutRequest, PutResponse, WitnessRequest,
};
use freehold_model::codec::{DecodeError, from_slice, to_vec};
use freehold_model::limits::{BATCH_BYTES_MAX, CHUNK_SEALED_BYTES_MAX};
use freehold_model::{ChunkId, NodeId, VaultTag};
use freehold_store::{NodeStore, PutStatus, Slice, StoreError};
use freehold_trust::{HolderHash, Ops, PublicKey, Receipt, ReceivedChunk, SignKey, SignedReceipt};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

#[cfg(test)]
mod tests;

/// The chunk store as a session uses it.
pub(crate) trait Chunks: Send + Sync {
    /// Stores a batch durably; one status for each item.
    fn put(&self, items: Vec<(VaultTag, ChunkId, Bytes)>) -> Vec<PutStatus>;

    /// Which chunks are on stable storage.
    fn has(&self, tag: VaultTag, ids: &[ChunkId]) -> Vec<bool>;

    /// Reads a chunk or a range of it.
    fn get(&self, tag: VaultTag, id: ChunkId, range: Option<Range<u32>>)
    -> Result<Option<Slice>, StoreError>;
}

impl Chunks for NodeStore {
    fn put(&self, items: Vec<(VaultTag, ChunkId, Bytes)>) -> Vec<PutStatus> {
        self.put_batch(items)
    }

    fn has(&self, tag: VaultTag, ids: &[ChunkId]) -> Vec<bool> {
        Self::has(self, tag, ids)
    }

    fn get(
        &self,
        tag: VaultTag,
        id: ChunkId,
        range: Option<Range<u32>>,
    ) -> Result<Option<Slice>, StoreError> {
        Self::get(self, tag, id, range)
    }
}

/// What all sessions of a node share.
pub(crate) struct Shared {
    node: NodeId,
    sign: SignKey,
    budgets: Mutex<Budgets>,
}

/// One link's state: what its client has shown.
pub(crate) struct Session {
    shown: Mutex<Shown>,
}

/// An admitted put that waits for its body. Its bytes are counted; [`Put::finish`] gives back what
/// was not stored, [`Put::abandon`] everything.
#[derive(Debug)]
#[must_use = "a put that is not finished must be abandoned, or its bytes stay counted"]
pub(crate) struct Put {
    request: PutRequest,
    serial: [u8; 16],
}

/// An admitted get.
#[derive(Debug)]
pub(crate) struct Get {
    request: GetRequest,
    credit_bytes: u64,
}

/// An admitted question about what devices left.
#[derive(Debug)]
pub(crate) struct Witnessed {
    pub(crate) request: WitnessRequest,
    /// Who asks, and whose place it is.
    pub(crate) holder: HolderHash,
}

/// The answer to a get.
#[derive(Debug)]
pub(crate) struct Found {
    /// Encoded [`GetResponse`].
    pub(crate) head: Vec<u8>,
    /// The found bytes, in order.
    pub(crate) body: Vec<Bytes>,
}

impl Shared {
    /// A node with its receipt key.
    pub(crate) fn new(node: NodeId, sign: SignKey) -> Self {
        Self { node, sign, budgets: Mutex::default() }
    }

    fn budgets(&self) -> std::sync::MutexGuard<'_, Budgets> {
        // Counts stay right even if somebody panicked while holding them.
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receipt(&self, vault_tag: VaultTag, chunks: Vec<ReceivedChunk>, now: u64) -> Vec<u8> {
        if chunks.is_empty() {
            return Vec::new();
        }
        SignedReceipt::sign(Receipt { node: self.node, vault_tag, time: now, chunks }, &self.sign).to_bytes()
    }
}

impl Session {
    /// A session with the holder of that TLS key.
    pub(crate) fn new(authority: Authority, client: PublicKey) -> Self {
        Self { shown: Mutex::new(Shown::new(authority, client)) }
    }

    /// `AUTH`: takes the capability in the head.
    pub(crate) fn auth(&self, head: &[u8], now: u64) -> Result<(), PeerError> {
        self.shown().show(head, now)
    }

    /// Whether the client ever showed a capability.
    pub(crate) fn is_admitted(&self) -> bool {
        self.shown().is_any()
    }

    /// `HAVE`: the encoded answer.
    pub(crate) fn have(&self, head: &[u8], now: u64, store: &dyn Chunks) -> Result<Vec<u8>, PeerError> {
        let request: HaveRequest = from_slice(head).map_err(malformed)?;
        self.shown().terms(&request.vault_tag, Ops::HAVE, now)?;
        Ok(to_vec(&HaveResponse { present: store.has(request.vault_tag, &request.ids) }))
    }

    /// `PUT`, before its body: checks and counts what the head announces.
    pub(crate) fn begin_put(&self, head: &[u8], now: u64, shared: &Shared) -> Result<Put, PeerError> {
        let request: PutRequest = from_slice(head).map_err(malformed)?;
        let shown = self.shown();
        let terms = shown.terms(&request.vault_tag, Ops::PUT, now)?;
        shared.budgets().charge(terms, request.body_bytes(), now)?;
        Ok(Put { serial: terms.serial, request })
    }

    /// `GET`: what the head asks for, within the credit.
    pub(crate) fn begin_get(&self, head: &[u8], credit_bytes: u64, now: u64) -> Result<Get, PeerError> {
        let request: GetRequest = from_slice(head).map_err(malformed)?;
        self.shown().terms(&request.vault_tag, Ops::GET, now)?;
        Ok(Get { request, credit_bytes: credit_bytes.min(BATCH_BYTES_MAX as u64) })
    }

    /// `WITNESS`: what is brought, counted as bytes put, and whose it is.
    pub(crate) fn begin_witness(
        &self,
        head: &[u8],
        now: u64,
        shared: &Shared,
    ) -> Result<Witnessed, PeerError> {
        let request: WitnessRequest = from_slice(head).map_err(malformed)?;
        let shown = self.shown();
        let mut terms = shown.terms(&request.vault_tag, Ops::GET, now)?;
        if !request.left.is_empty() {
            terms = shown.terms(&request.vault_tag, Ops::PUT, now)?;
            shared.budgets().charge(terms, request.left.len() as u64, now)?;
        }
        Ok(Witnessed { holder: terms.holder, request })
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Put {
    /// Bytes the body must have.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.request.body_bytes()
    }

    /// Stores the body's chunks and returns the encoded answer. Blocks until they are durable.
    pub(crate) fn finish(
        self,
        mut body: Bytes,
        now: u64,
        shared: &Shared,
        store: &dyn Chunks,
    ) -> Result<Vec<u8>, PeerError> {
        if body.len() as u64 != self.request.body_bytes() {
            self.abandon(shared);
            return Err(PeerError::Malformed);
        }
        let tag = self.request.vault_tag;
        let split = |len_bytes: u32| body.split_to(len_bytes as usize);
        let chunks: Vec<Bytes> = self.request.items.iter().map(|item| item.len_bytes).map(split).collect();
        let items = self.request.items.iter().zip(chunks).map(|(item, bytes)| (tag, item.id, bytes));
        let statuses = store.put(items.collect());
        let (mut outcomes, mut received, mut unused_bytes) =
            (Vec::with_capacity(statuses.len()), Vec::new(), 0_u64);
        for (item, status) in self.request.items.iter().zip(statuses) {
            let outcome = match status {
                PutStatus::Stored => PutOutcome::Stored,
                PutStatus::Present => PutOutcome::Present,
                PutStatus::WrongId => PutOutcome::WrongId,
                PutStatus::TooLarge => PutOutcome::TooLarge,
                PutStatus::NoSpace => PutOutcome::NoSpace,
                PutStatus::ReadOnly => PutOutcome::ReadOnly,
            };
            if status != PutStatus::Stored {
                unused_bytes = unused_bytes.saturating_add(u64::from(item.len_bytes));
            }
            if matches!(outcome, PutOutcome::Stored | PutOutcome::Present) {
                received.push(ReceivedChunk { id: item.id, len_bytes: item.len_bytes });
            }
            outcomes.push(outcome);
        }
        shared.budgets().refund(&self.serial, unused_bytes);
        Ok(to_vec(&PutResponse { outcomes, receipt: shared.receipt(tag, received, now) }))
    }

    /// Gives up: the body did not come.
    pub(crate) fn abandon(self, shared: &Shared) {
        shared.budgets().refund(&self.serial, self.request.body_bytes());
    }
}

impl Get {
    /// Most bytes the answer may take in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let most = CHUNK_SEALED_BYTES_MAX as u64;
        let asked = self.request.items.iter().map(|item| u64::from(item.len_bytes).min(most));
        // A part is read alone, a whole chunk to be hashed.
        asked.fold(0, u64::saturating_add).min(self.credit_bytes.saturating_add(most))
    }

    /// Reads the chunks. Blocks on the disk.
    pub(crate) fn finish(self, store: &dyn Chunks) -> Result<Found, PeerError> {
        let (mut outcomes, mut body, mut left_bytes) = (Vec::new(), Vec::new(), self.credit_bytes);
        let mut is_full = false;
        for item in &self.request.items {
            let outcome = if is_full {
                GetOutcome::Later
            } else {
                match store.get(self.request.vault_tag, item.id, range(item)) {
                    Ok(None) => GetOutcome::Missing,
                    Err(StoreError::Damaged) => GetOutcome::Damaged,
                    Err(error) => {
                        tracing::error!(%error, "a chunk could not be read");
                        return Err(PeerError::Failed);
                    }
                    Ok(Some(slice)) if slice.bytes.len() as u64 > left_bytes => {
                        is_full = true;
                        GetOutcome::Later
                    }
                    Ok(Some(Slice { total_bytes, bytes })) => {
                        left_bytes -= bytes.len() as u64;
                        let len_bytes =
                            u32::try_from(bytes.len()).expect("a slice is no longer than its chunk");
                        body.push(bytes);
                        GetOutcome::Found { total_bytes, len_bytes }
                    }
                }
            };
            outcomes.push(outcome);
        }
        Ok(Found { head: to_vec(&GetResponse { outcomes }), body })
    }
}

fn range(item: &GetItem) -> Option<Range<u32>> {
    (*item != GetItem::whole(item.id)).then(|| item.from..item.from.saturating_add(item.len_bytes))
}

fn malformed(error: DecodeError) -> PeerError {
    match error {
        DecodeError::TooLong => PeerError::TooLarge,
        _ => PeerError::Malformed,
    }
}
