//! What stands for `vaes.rs` on machines of another kind: nothing.

use super::roll::Roll;
use super::scan::LANES;

/// There is none.
pub(super) enum Vaes {}

impl Vaes {
    pub(super) const fn new(_: &[u8; 16]) -> Option<Self> {
        None
    }

    pub(super) fn lanes(
        &self,
        _: &Roll,
        _: &[u8],
        _: u64,
        _: impl FnMut(&[[u64; LANES]; 8], usize) -> Option<usize>,
    ) -> Option<usize> {
        match *self {}
    }
}
