//! Building a manifest bottom-up from the entries of the pieces, in constant memory per level.
//!
//! Where a node ends is told by its entries, so that an edit re-makes one leaf and the path above it. A full node is
//! sealed when the next entry arrives, never before: so the last node of every level
//! is still open at the end, and the topmost one becomes the root without a useless level above.

use super::ends::is_full;
use super::node::{Child, ManifestEntry, Node};
use crate::limits::FILE_BYTES_MAX;
use freehold_model::limits::CHUNK_PLAIN_BYTES_MAX;

/// A manifest cannot be built from these pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError<E> {
    /// A piece is empty or longer than any chunk.
    #[error("a piece has 1 to {} bytes", CHUNK_PLAIN_BYTES_MAX)]
    Piece,
    /// No piece at all: an empty file is inline.
    #[error("a manifest needs at least one piece; empty content stands in the record")]
    Empty,
    /// The file is longer than the format holds (EFBIG).
    #[error("a file has at most {} bytes", FILE_BYTES_MAX)]
    TooLong,
    /// Sealing or storing a node failed.
    #[error("sealing a manifest node failed")]
    Seal(E),
}

/// A finished manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The root node, for its reference list.
    pub node: Node,
    /// Its bytes, to be sealed under the content key.
    pub plain: Vec<u8>,
    /// Length of the file.
    pub size: u64,
}

/// Takes entries in file order, yields nodes.
///
/// `seal(node, plain)` seals a finished node like a chunk, stores it, and returns its entry.
#[derive(Debug)]
pub struct Builder<S> {
    seal: S,
    entries: Vec<ManifestEntry>,
    /// The open node of each inner level, from level 1 up. None is ever empty.
    inner: Vec<Vec<Child>>,
    size: u64,
}

impl<S, E> Builder<S>
where
    S: FnMut(&Node, &[u8]) -> Result<ManifestEntry, E>,
{
    /// An empty manifest.
    pub const fn new(seal: S) -> Self {
        Self { seal, entries: Vec::new(), inner: Vec::new(), size: 0 }
    }

    /// Appends a piece.
    ///
    /// # Errors
    /// `Piece`, `TooLong`; `Seal` with the callback's error, after which the builder is of no use.
    pub fn push(&mut self, entry: ManifestEntry) -> Result<(), BuildError<E>> {
        if entry.plain_len == 0 || entry.plain_len as usize > CHUNK_PLAIN_BYTES_MAX {
            return Err(BuildError::Piece);
        }
        let size = self.size.saturating_add(u64::from(entry.plain_len));
        if size > FILE_BYTES_MAX {
            return Err(BuildError::TooLong);
        }
        if self.entries.last().is_some_and(|last| is_full(self.entries.len(), &last.h)) {
            let full = Node::Leaf(std::mem::take(&mut self.entries));
            self.close(full)?;
        }
        self.size = size;
        self.entries.push(entry);
        Ok(())
    }

    /// Seals what is open, but the root.
    ///
    /// # Errors
    /// `Empty`, `Seal`.
    pub fn finish(mut self) -> Result<Root, BuildError<E>> {
        if self.entries.is_empty() {
            return Err(BuildError::Empty);
        }
        let mut top = Node::Leaf(std::mem::take(&mut self.entries));
        while self.inner.len() > usize::from(top.level()) {
            let level = top.level() + 1;
            self.close(top)?;
            let open = self.inner.get_mut(usize::from(level) - 1).map(std::mem::take);
            top = Node::Inner { level, children: open.unwrap_or_default() };
        }
        Ok(Root { plain: top.to_bytes(), node: top, size: self.size })
    }

    /// Seals a node and appends it to the level above, which may close a node there.
    fn close(&mut self, node: Node) -> Result<(), BuildError<E>> {
        let mut node = node;
        loop {
            let above = node.level() + 1;
            let sealed = (self.seal)(&node, &node.to_bytes()).map_err(BuildError::Seal)?;
            let child = Child { node: sealed, span: node.total() };
            let slot = usize::from(above) - 1;
            if self.inner.len() == slot {
                self.inner.push(Vec::new());
            }
            let Some(open) = self.inner.get_mut(slot) else { return Ok(()) };
            let is_full = open.last().is_some_and(|last| is_full(open.len(), &last.node.h));
            let full = is_full.then(|| std::mem::take(open));
            open.push(child);
            let Some(children) = full else { return Ok(()) };
            node = Node::Inner { level: above, children };
        }
    }
}
