//! What of the vault's content is on this device: counting it, giving it up, saying so.
//!
//! Whatever changes it without a change of the tree (a fetch, an eviction) leaves files in doubt;
//! the flush thread counts a few of them at a time and tells the kernel of those that differ. An
//! eviction by the cache's own choice names no files, so all of them are looked at once, in slices:
//! a look at one is a look for its manifest's root.

use crate::body::Here;
use crate::body::walk::walk;
use crate::tables::Tables;
use crate::volume::Volume;
use crate::{FsError, Ino, Kind, NodeState, Notice, PinMode, limits};
use freehold_api::control::{self, Evicted, Hydrated};
use freehold_model::{ChunkId, FileId};
use freehold_store::CacheStore;
use freehold_vault::Chunked;
use std::collections::BTreeSet;
use std::time::Instant;

/// How far the look at all files after an eviction has come.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// Evictions of the cache that all files were looked at for.
    seen: u64,
    /// The node to look at next.
    next: Option<Ino>,
}

/// One file of a subtree, as it was found.
struct Found {
    ino: Ino,
    chunked: Chunked,
    bytes: u64,
}

impl Volume {
    /// Sets what a user wants of a node on this device, or takes the wish back. Durable on return.
    ///
    /// # Errors
    /// `NotFound`; `NoSpace` with too many wishes; `Io` when it may not be durable.
    pub fn set_pin(&self, ino: Ino, mode: Option<PinMode>) -> Result<(), FsError> {
        self.lock_nodes(&[ino])?.set_pin(ino, mode)?;
        self.flush()
    }

    /// What a node and everything below it is on this device. `path` is what it is called in the answer.
    ///
    /// # Errors
    /// `Io` when a row cannot be read.
    pub(crate) fn hydrated(&self, ino: Ino, path: &str) -> Result<Hydrated, FsError> {
        let mode = match self.lock_nodes(&[ino])?.effective_pin(ino) {
            PinMode::Always => control::PinMode::Always,
            PinMode::Auto => control::PinMode::Auto,
            PinMode::Never => control::PinMode::Never,
        };
        let mut sum = Hydrated { path: path.to_owned(), mode, files: 0, bytes: 0, here_bytes: 0 };
        for file in self.files_below(ino)? {
            let tables = self.lock_nodes(&[file])?;
            let Some(node) = tables.nodes.peek(file) else { continue };
            sum.files += 1;
            sum.bytes += node.body.extents.bytes();
            sum.here_bytes += tables.bytes_here(&node);
        }
        Ok(sum)
    }

    /// All regular files at and below a node. The tree is locked for one directory at a time.
    ///
    /// # Errors
    /// `Io` when a row cannot be read.
    pub(crate) fn files_below(&self, ino: Ino) -> Result<Vec<Ino>, FsError> {
        let mut files = BTreeSet::new();
        let mut open = vec![ino];
        while let Some(at) = open.pop() {
            let tables = self.lock_entries(at)?;
            let Some(node) = tables.nodes.peek(at) else { continue };
            match node.kind() {
                Kind::File => drop(files.insert(at)),
                Kind::Dir => open.extend(node.children.after(0).map(|(_, _, ino)| ino)),
                _ => {}
            }
        }
        Ok(files.into_iter().collect())
    }

    /// Gives up the content of a file, or of everything below a folder: it is fetched again when it is
    /// read. What is not safe elsewhere, and what is pinned, stays.
    ///
    /// # Errors
    /// `NotFound`; `Io` when the cache or the index failed, with some of it given up.
    pub fn evict(&self, ino: Ino) -> Result<Evicted, FsError> {
        let Some(cache) = self.local.as_ref().map(|local| &local.chunks) else {
            return Ok(Evicted::default());
        };
        self.lock_nodes(&[ino])?.node(ino)?;
        let mut evicted = Evicted::default();
        let mut ids: Vec<ChunkId> = Vec::new();
        let mut gone = Vec::new();
        for file in self.files_below(ino)? {
            let Some(found) = self.evictable(file, &mut evicted)? else { continue };
            walk(cache, &found.chunked, &mut |id, _| ids.push(id));
            evicted.files += 1;
            evicted.bytes += found.bytes;
            gone.push(found.ino);
            if ids.len() >= limits::FORGET_CHUNKS {
                cache.forget(&std::mem::take(&mut ids)).map_err(|_| FsError::Io)?;
            }
        }
        cache.forget(&ids).map_err(|_| FsError::Io)?;
        self.look_again(gone);
        Ok(evicted)
    }

    fn evictable(&self, ino: Ino, evicted: &mut Evicted) -> Result<Option<Found>, FsError> {
        let tables = self.lock_nodes(&[ino])?;
        let Some(node) = tables.nodes.peek(ino) else { return Ok(None) };
        if tables.sync_state(ino) != Some(NodeState::Synced) {
            evicted.waiting += 1;
            return Ok(None);
        }
        let (chunked, bytes) = (node.body.chunked(), tables.bytes_here(&node));
        let Some(chunked) = chunked.filter(|_| bytes > 0) else { return Ok(None) };
        if tables.effective_pin(ino) == PinMode::Always {
            evicted.pinned += 1;
            return Ok(None);
        }
        Ok(Some(Found { ino, chunked: chunked.clone(), bytes }))
    }

    /// The files that a wish other than `Auto` counts for, with what they show.
    ///
    /// # Errors
    /// `Io` when a row cannot be read.
    pub(crate) fn wished(&self, mode: PinMode) -> Result<Vec<(Ino, Chunked)>, FsError> {
        let wishes: Vec<FileId> = {
            let tables = self.tables.lock();
            let wishes = tables.hydration.wishes().filter(|(_, wish)| *wish == mode);
            wishes.map(|(file, _)| *file).collect()
        };
        let roots: Vec<Ino> = {
            let _awake = self.wake(wishes.iter())?;
            let tables = self.tables.lock();
            wishes.iter().filter_map(|file| tables.by_file.get(file).copied()).collect()
        };
        let mut files = BTreeSet::new();
        for root in roots {
            files.extend(self.files_below(root)?);
        }
        let mut wished = Vec::new();
        for ino in files {
            let tables = self.lock_nodes(&[ino])?;
            let chunked = tables.chunked(ino).filter(|_| tables.effective_pin(ino) == mode);
            wished.extend(chunked.map(|chunked| (ino, chunked)));
        }
        Ok(wished)
    }

    /// What is known about these files' residence is void; the kernel is told.
    pub(crate) fn look_again(&self, files: impl IntoIterator<Item = Ino>) {
        let mut notices = BTreeSet::new();
        let mut tables = self.tables.lock();
        for ino in files {
            if let Some(node) = tables.nodes.get_mut(ino) {
                node.body.here = Here::Unknown;
                notices.insert(Notice::Attr { ino });
            } else if tables.is_held_asleep(ino) {
                notices.insert(Notice::Attr { ino });
            }
        }
        drop(tables);
        self.tell(notices);
    }

    /// Counts what is here of some files in doubt, and looks for files an eviction has touched.
    pub(crate) fn count_residence(&self) {
        self.sweep();
        let unsure = self.tables.lock().hydration.take_unsure(limits::COUNTED_AT_ONCE);
        let Some(cache) = self.local.as_ref().map(|local| &local.chunks) else { return };
        let mut notices = BTreeSet::new();
        let begun = Instant::now();
        for ino in unsure {
            if begun.elapsed() > limits::COUNTING_TIME {
                self.tables.lock().hydration.doubt(ino);
                continue;
            }
            let chunked = {
                let tables = self.tables.lock();
                if tables.is_held_asleep(ino) {
                    // Who asks again wakes it, and it is counted then.
                    notices.insert(Notice::Attr { ino });
                }
                tables.chunked(ino)
            };
            let Some(chunked) = chunked else { continue };
            let (mut here, mut all) = (0, 0);
            let is_whole = walk(cache, &chunked, &mut |id, bytes| {
                all += bytes;
                here += if cache.contains(&id) { bytes } else { 0 };
            });
            let mut tables = self.tables.lock();
            if tables.chunked(ino).is_none_or(|now| now.root != chunked.root) {
                continue;
            }
            let before = tables.attr(ino).map(|attr| attr.blocks);
            if let Some(node) = tables.nodes.get_mut(ino) {
                node.body.here = if is_whole && here == all { Here::All } else { Here::Part(here) };
            }
            if before != tables.attr(ino).map(|attr| attr.blocks) {
                notices.insert(Notice::Attr { ino });
            }
        }
        self.tell(notices);
    }

    /// After an eviction by the cache: finds the files that lost something, a slice at a time.
    fn sweep(&self) {
        let Some(cache) = self.local.as_ref().map(|local| &local.chunks) else { return };
        let mut sweep = self.sweep.lock();
        let evictions = cache.evictions();
        // A round under way goes on to its end: the next one finds what it came too early for.
        if sweep.next.is_none() && evictions != sweep.seen {
            *sweep = Sweep { seen: evictions, next: Some(0) };
        }
        for _ in 0..limits::SWEPT_SLICES {
            let Some(from) = sweep.next else { return };
            sweep.next = self.sweep_from(from, cache);
        }
    }

    /// Looks at one slice; where the next begins.
    fn sweep_from(&self, from: Ino, cache: &CacheStore) -> Option<Ino> {
        let mut notices = BTreeSet::new();
        let mut tables = self.tables.lock();
        let end = from.saturating_add(limits::SWEPT_AT_ONCE);
        for ino in from..end.min(tables.next_ino) {
            let Some(node) = tables.nodes.peek(ino) else {
                // What is here of a file that sleeps nobody knows; the kernel asks again.
                if tables.is_held_asleep(ino) {
                    notices.insert(Notice::Attr { ino });
                }
                continue;
            };
            let Some(root) = node.body.chunked().map(|chunked| chunked.root) else { continue };
            let is_known = node.body.here != Here::Unknown;
            drop(node);
            if cache.contains(&root) {
                if is_known {
                    tables.hydration.doubt(ino);
                }
                continue;
            }
            if is_known && let Some(node) = tables.nodes.get_mut(ino) {
                node.body.here = Here::Unknown;
            }
            notices.insert(Notice::Attr { ino });
        }
        let next = (end < tables.next_ino).then_some(end);
        drop(tables);
        self.tell(notices);
        next
    }
}

impl Tables {
    /// The version a clean file shows, where that lies in chunks.
    pub(crate) fn chunked(&self, ino: Ino) -> Option<Chunked> {
        self.nodes.peek(ino)?.body.chunked().cloned()
    }
}
