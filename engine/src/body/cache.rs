//! Opened bytes kept for the next read: pieces and chunk frames, bounded, wiped when dropped.
//!
//! The kernel's page cache is the real read cache; this one spares the second opening of a piece or
//! frame that a read took only part of.

use crate::limits;
use freehold_model::ChunkId;
use lru::LruCache;
use parking_lot::Mutex;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A piece, by segment number and offset.
    Piece(u64, u64),
    /// One frame of an uncompressed chunk.
    Frame(ChunkId, u32),
    /// A whole chunk that was compressed.
    Chunk(ChunkId),
}

/// Opened bytes.
pub(crate) type Plain = Arc<Zeroizing<Vec<u8>>>;

struct State {
    entries: LruCache<Key, Plain>,
    bytes: usize,
}

/// A cache of opened bytes.
pub(crate) struct PlainCache {
    state: Mutex<State>,
}

impl PlainCache {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { entries: LruCache::unbounded(), bytes: 0 }) }
    }

    /// What was kept under the key, else what `open` makes, kept from then on.
    pub(crate) fn get_or<E>(&self, key: Key, open: impl FnOnce() -> Result<Vec<u8>, E>) -> Result<Plain, E> {
        if let Some(plain) = self.state.lock().entries.get(&key) {
            return Ok(Arc::clone(plain));
        }
        let plain: Plain = Arc::new(Zeroizing::new(open()?));
        let mut state = self.state.lock();
        state.bytes += plain.len();
        if let Some((_, old)) = state.entries.push(key, Arc::clone(&plain)) {
            state.bytes -= old.len();
        }
        while state.bytes > limits::PLAIN_CACHE_BYTES_MAX {
            let Some((_, old)) = state.entries.pop_lru() else { break };
            state.bytes -= old.len();
        }
        Ok(plain)
    }
}
