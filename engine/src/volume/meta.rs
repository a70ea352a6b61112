//! Small sync state: numbered values that change together with the tree.
//!
//! The engine keeps its own counters in the first number; the rest belongs to the remote half, which
//! stores what it likes. All of it is repeated at the start of every journal segment, so that it
//! survives the loss of the index.

use crate::journal::item::Item;
use crate::tables::Tables;
use freehold_model::codec::{DecodeError, Reader, Writer};

/// Names a value of sync state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetaKey(u16);

impl MetaKey {
    /// Server incarnation and `vault_seq` up to which everything was applied. Lost with the index.
    pub const CURSOR: Self = Self(1);
    /// What was seen of each device's chain.
    pub const SEEN: Self = Self(2);
    /// The own chain's head: incarnation, seq, hash.
    pub const CHAIN: Self = Self(3);
    /// The account log head this vault was last opened with.
    pub const LOG_HEAD: Self = Self(4);
    /// Free for the remote half.
    pub const OTHER: Self = Self(5);
    /// What users want kept on this device.
    pub(crate) const PINS: Self = Self(6);
    /// The last part of the list of held deletions: at the size of a part that is more deletions than a
    /// volume has nodes.
    pub(crate) const HELD_PARTS: u16 = 0x0fff;

    /// A part of the list of held deletions.
    pub(crate) const fn held(part: u16) -> Self {
        Self(HELD + if part > Self::HELD_PARTS { Self::HELD_PARTS } else { part })
    }

    /// The part of the list of held deletions that a key names.
    pub(crate) const fn held_part(key: u16) -> Option<u16> {
        match key.checked_sub(HELD) {
            Some(part) if part <= Self::HELD_PARTS => Some(part),
            _ => None,
        }
    }

    pub(crate) const fn number(self) -> u16 {
        self.0
    }
}

const COUNTERS: u16 = 0;

/// The first key of the list of held deletions.
const HELD: u16 = 0x1000;

/// The engine's own counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) incarnation: u32,
    pub(crate) write_seq: u64,
    pub(crate) next_ino: u64,
}

pub(crate) fn counters(tables: &Tables) -> Item {
    let mut value = Writer::with_capacity(20);
    value.u32(tables.author.incarnation).u64(tables.write_seq).u64(tables.next_ino);
    Item::Meta { key: COUNTERS, value: value.into_vec() }
}

/// The engine's counters, if this value is theirs.
pub(crate) fn read_counters(key: u16, value: &[u8]) -> Result<Option<Counters>, DecodeError> {
    if key != COUNTERS {
        return Ok(None);
    }
    let mut input = Reader::new(value);
    let counters = Counters { incarnation: input.u32()?, write_seq: input.u64()?, next_ino: input.u64()? };
    input.finish()?;
    Ok(Some(counters))
}

/// Every value but the counters.
pub(crate) fn all(tables: &Tables) -> impl Iterator<Item = Item> {
    tables.meta.iter().map(|(key, value)| Item::Meta { key: *key, value: value.clone() })
}
