//! Observed-remove sets: what concurrent authors added survives, what one removed after seeing it
//! does not.
//!
//! An element is named by its key and by the dot that added it. Merging keeps an element present on
//! both sides, and one present on one side whose dot the other side's context does not cover: the
//! other has never seen it, so it cannot have removed it. This is the causal dot store of Almeida,
//! Shoker and Baquero, "Delta State Replicated Data Types" (2018), §7; a pairwise "winner and
//! copy" rule would not be associative with three writers.

use freehold_model::{Dot, VersionVector};
use std::cmp::Ordering;

/// One element of an observed-remove set.
pub(crate) trait Element: Clone {
    /// What the element is about, without its dot.
    type Key: Ord + ?Sized;

    fn key(&self) -> &Self::Key;

    /// The write that added it.
    fn dot(&self) -> &Dot;

    /// Joins the same element of another replica. Must be commutative, associative, idempotent.
    fn absorb(&mut self, other: &Self);

    fn order(&self, other: &Self) -> Ordering {
        self.key().cmp(other.key()).then_with(|| self.dot().cmp(other.dot()))
    }
}

/// Merges two sorted sets under their contexts.
pub(crate) fn merge<E: Element>(
    (left, left_seen): (&[E], &VersionVector),
    (right, right_seen): (&[E], &VersionVector),
) -> Vec<E> {
    let mut merged = Vec::with_capacity(left.len().max(right.len()));
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let side = match (left.peek(), right.peek()) {
            (None, None) => return merged,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.order(b),
        };
        let a = if side.is_le() { left.next() } else { None };
        let b = if side.is_ge() { right.next() } else { None };
        match (a, b) {
            (Some(a), Some(b)) => {
                let mut both = a.clone();
                both.absorb(b);
                merged.push(both);
            }
            (Some(only), None) if !right_seen.covers(only.dot()) => merged.push(only.clone()),
            (None, Some(only)) if !left_seen.covers(only.dot()) => merged.push(only.clone()),
            _ => {}
        }
    }
}

/// Puts an element in its place, over one of the same key and dot.
pub(crate) fn insert<E: Element>(set: &mut Vec<E>, element: E) {
    match set.binary_search_by(|probe| probe.order(&element)) {
        Ok(index) => {
            if let Some(slot) = set.get_mut(index) {
                *slot = element;
            }
        }
        Err(index) => set.insert(index, element),
    }
}

/// Whether the elements stand in strict order, as the canonical encoding demands.
pub(crate) fn is_sorted<E: Element>(set: &[E]) -> bool {
    set.is_sorted_by(|a, b| a.order(b).is_lt())
}
