//! Last-writer registers: one scalar and the stamp of the write that set it.
//!
//! The greater `(stamp, value)` wins. The value takes part only against a hostile author who signs
//! two values under one stamp: even then every device ends with the same one.

use freehold_model::Stamp;

/// A scalar and the write that set it. `Ord` is the merge order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Register<T> {
    /// The write that set the value.
    pub stamp: Stamp,
    /// The value.
    pub value: T,
}

impl<T: Clone + Ord> Register<T> {
    pub(crate) const fn new(stamp: Stamp, value: T) -> Self {
        Self { stamp, value }
    }

    pub(crate) fn merge(&self, other: &Self) -> Self {
        self.max(other).clone()
    }
}
