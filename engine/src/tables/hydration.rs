//! What users want kept on this device, and how much of each file is.
//!
//! A wish belongs to one node and to this device alone; nodes without one follow the folder they are
//! in. The list of wishes is one value of sync state, which travels with the journal like any other change.
//!
//! How much of a file is here is asked at every `stat`, so the answer must cost nothing: an inline
//! file is here, one whose manifest root is not in the cache is not, and the others count as here
//! until their manifest was walked (`volume/hydration.rs`), which happens soon after somebody asked.

use crate::body::Here;
use crate::journal::item::Item;
use crate::tables::Tables;
use crate::tables::node::Node;
use crate::tables::nodes::Peek;
use crate::volume::meta::MetaKey;
use crate::{FsError, Ino, Kind, PinMode, Residence, limits};
use freehold_model::FileId;
use freehold_model::codec::{DecodeError, Reader, Writer};
use freehold_store::CacheStore;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes of a block as `stat` counts them.
const BLOCK_BYTES: u64 = 512;

/// The disk's own blocks, to which a file's room is rounded up.
const DISK_BLOCK_BYTES: u64 = 4096;

/// Wishes, and what has to be looked at.
#[derive(Default)]
pub(crate) struct Hydration {
    pins: BTreeMap<FileId, PinMode>,
    /// Knows which chunks are here; absent for a volume in memory.
    pub(crate) chunks: Option<Arc<CacheStore>>,
    /// Files of which somebody asked how much is here, or of which that has changed.
    unsure: Mutex<BTreeSet<Ino>>,
}

impl Hydration {
    /// Takes in what the journal said.
    pub(crate) fn load(&mut self, value: &[u8]) {
        match decode(value) {
            Ok(pins) => self.pins = pins,
            // Only this device's own key seals the journal: a list of another version of the program.
            Err(_) => tracing::warn!("the list of what is kept on this device could not be read"),
        }
    }

    /// Wants a file's residence walked.
    pub(crate) fn doubt(&self, ino: Ino) {
        let mut unsure = self.unsure.lock();
        if unsure.len() < limits::UNSURE_MAX {
            unsure.insert(ino);
        }
    }

    /// Takes up to `max` of the files to be walked.
    pub(crate) fn take_unsure(&self, max: usize) -> Vec<Ino> {
        let mut unsure = self.unsure.lock();
        std::iter::from_fn(|| unsure.pop_first()).take(max).collect()
    }

    /// Whether a node has a wish of its own.
    pub(crate) fn has_wish(&self, file: &FileId) -> bool {
        self.pins.contains_key(file)
    }

    /// Nodes with a wish of their own.
    pub(crate) fn wishes(&self) -> impl Iterator<Item = (&FileId, PinMode)> {
        self.pins.iter().map(|(file, mode)| (file, *mode))
    }
}

impl Tables {
    /// The wish set on a node itself.
    #[must_use]
    pub fn pin(&self, ino: Ino) -> Option<PinMode> {
        self.hydration.pins.get(&self.nodes.peek(ino)?.file()).copied()
    }

    /// The wish that counts for a node: its own, or that of the nearest folder above with one. A file
    /// with several names follows the one that keeps most.
    #[must_use]
    pub fn effective_pin(&self, ino: Ino) -> PinMode {
        if self.hydration.pins.is_empty() {
            return PinMode::Auto;
        }
        if let Some(own) = self.pin(ino) {
            return own;
        }
        let above = |node: Peek<'_>| node.links.iter().map(|link| self.pin_above(link.dir)).min();
        self.nodes.peek(ino).and_then(above).unwrap_or_default()
    }

    fn pin_above(&self, dir: Ino) -> PinMode {
        let mut at = dir;
        // The tree has no cycles; the bound only keeps a broken one from hanging the lock.
        for _ in 0..=self.nodes.len() {
            if let Some(mode) = self.pin(at) {
                return mode;
            }
            match self.parent(at) {
                Some(up) if up != at => at = up,
                _ => break,
            }
        }
        PinMode::Auto
    }

    /// Sets a node's own wish, or takes it back.
    ///
    /// # Errors
    /// `NotFound`; `NoSpace` when there are too many.
    pub fn set_pin(&mut self, ino: Ino, mode: Option<PinMode>) -> Result<(), FsError> {
        let file = self.node(ino)?.file();
        if self.hydration.pins.len() >= limits::PINS_MAX {
            // Only now: a tree that is still being read back does not have all its nodes yet.
            self.hydration.pins.retain(|file, _| self.by_file.contains_key(file) || self.asleep.has(file));
        }
        let is_new = !self.hydration.pins.contains_key(&file);
        match mode {
            Some(_) if is_new && self.hydration.pins.len() >= limits::PINS_MAX => {
                return Err(FsError::NoSpace);
            }
            Some(mode) => drop(self.hydration.pins.insert(file, mode)),
            None => drop(self.hydration.pins.remove(&file)),
        }
        let (key, value) = (MetaKey::PINS.number(), encode(&self.hydration.pins));
        self.meta.insert(key, value.clone());
        self.op += 1;
        self.pending.push(Item::Meta { key, value });
        Ok(())
    }

    /// How much of a file is here; `None` for what has no content.
    #[must_use]
    pub fn residence(&self, ino: Ino) -> Option<Residence> {
        let node = self.nodes.peek(ino).filter(|node| node.kind() == Kind::File)?;
        let (here, all) = (self.bytes_here(&node), node.body.extents.bytes());
        Some(match here {
            _ if here >= all && self.effective_pin(ino) == PinMode::Always => Residence::Pinned,
            _ if here >= all => Residence::Local,
            0 => Residence::OnlineOnly,
            _ => Residence::Partial,
        })
    }

    /// Bytes of a file that can be read without the network.
    pub(crate) fn bytes_here(&self, node: &Node) -> u64 {
        let all = node.body.extents.bytes();
        let (Some(chunks), Some(chunked)) = (&self.hydration.chunks, node.body.chunked()) else { return all };
        match node.body.here {
            Here::All => all,
            Here::Part(bytes) => bytes.min(all),
            Here::Unknown if !chunks.contains(&chunked.root) => 0,
            Here::Unknown => {
                // A small file's chunk comes with its manifest; of others somebody has to look.
                if chunked.size > limits::SMALL_FILE_BYTES {
                    self.hydration.doubt(node.ino);
                }
                all
            }
        }
    }

    /// The blocks of a file that lie on this device.
    pub(crate) fn blocks_here(&self, node: &Node) -> u64 {
        self.bytes_here(node).div_ceil(DISK_BLOCK_BYTES) * (DISK_BLOCK_BYTES / BLOCK_BYTES)
    }
}

/// Count 4, then for each node its file id 16 and the wish 1 (0 always, 1 auto, 2 never).
fn encode(pins: &BTreeMap<FileId, PinMode>) -> Vec<u8> {
    let mut out = Writer::with_capacity(4 + pins.len() * (FileId::LEN + 1));
    out.u32(u32::try_from(pins.len()).expect("there are at most PINS_MAX"));
    for (file, mode) in pins {
        out.put(file).u8(match mode {
            PinMode::Always => 0,
            PinMode::Auto => 1,
            PinMode::Never => 2,
        });
    }
    out.into_vec()
}

fn decode(value: &[u8]) -> Result<BTreeMap<FileId, PinMode>, DecodeError> {
    let mut input = Reader::new(value);
    let count = input.count(limits::PINS_MAX, FileId::LEN + 1)?;
    let mut pins = BTreeMap::new();
    for _ in 0..count {
        let file = input.get()?;
        let mode = match input.u8()? {
            0 => PinMode::Always,
            1 => PinMode::Auto,
            2 => PinMode::Never,
            _ => return Err(DecodeError::Invalid("pin")),
        };
        pins.insert(file, mode);
    }
    input.finish()?;
    Ok(pins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_survive_their_encoding_and_torn_ones_are_refused() {
        let pins: BTreeMap<FileId, PinMode> = [
            (FileId::from_bytes([1; 16]), PinMode::Always),
            (FileId::from_bytes([2; 16]), PinMode::Auto),
            (FileId::from_bytes([3; 16]), PinMode::Never),
        ]
        .into();
        let bytes = encode(&pins);
        assert_eq!(decode(&bytes), Ok(pins));
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    }
}
