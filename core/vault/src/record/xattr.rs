//! Extended attributes: an observed-remove map, so that a removal leaves nothing behind.
//!
//! Each key reads as a last-writer register: concurrent values stay until the next write of the
//! key, and the one with the greatest stamp is shown. A removal takes what its author saw; a value
//! written meanwhile elsewhere survives it.

use super::observed::Element;
use freehold_model::{Dot, Stamp};

/// One value of one extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Xattr {
    pub(crate) name: Vec<u8>,
    pub(crate) stamp: Stamp,
    pub(crate) value: Vec<u8>,
}

impl Element for Xattr {
    type Key = [u8];

    fn key(&self) -> &[u8] {
        &self.name
    }

    fn dot(&self) -> &Dot {
        &self.stamp.dot
    }

    fn absorb(&mut self, other: &Self) {
        if *self < *other {
            other.clone_into(self);
        }
    }
}

/// The winning value of each attribute, by name.
pub(crate) fn current(set: &[Xattr]) -> impl Iterator<Item = &Xattr> + '_ {
    set.chunk_by(|a, b| a.name == b.name).filter_map(|values| values.iter().max_by_key(|value| value.stamp))
}
