//! Where a manifest node ends: told by its entries, so that versions of a file share their nodes.
//!
//! The rule is the chunker's, with entries in the place of bytes: none below 64, then at an entry whose hash has
//! enough zeros, twice the care before 112 and after, always at 512. An entry put in or taken out in the middle of a file
//! re-makes the node it is in; the next one ends at the same entry as before.

use crate::limits::{NODE_ENTRIES_MAX, NODE_ENTRIES_MIN, NODE_ENTRIES_NORMAL};

/// Entries around which nodes gather.
const AVERAGE_BITS: u32 = 7;

/// Zero bits of a hash that end a node before and from the normal point on.
const HARD: u64 = (1 << (AVERAGE_BITS + 2)) - 1;
/// See [`HARD`].
const EASY: u64 = (1 << (AVERAGE_BITS - 2)) - 1;

/// Whether a node of `count` entries is full, the last of which has the keyed hash `h`.
pub(super) const fn is_full(count: usize, h: &[u8; 16]) -> bool {
    let [a, b, c, d, e, f, g, i, ..] = *h;
    let hash = u64::from_be_bytes([a, b, c, d, e, f, g, i]);
    let mask = if count < NODE_ENTRIES_NORMAL { HARD } else { EASY };
    count >= NODE_ENTRIES_MAX || (count >= NODE_ENTRIES_MIN && hash & mask == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(last: u64) -> [u8; 16] {
        let mut h = [0xff; 16];
        h[..8].copy_from_slice(&last.to_be_bytes());
        h
    }

    #[test]
    fn the_count_decides_how_many_zeros_are_asked_for() {
        let table = [
            (63, 0, false),
            (64, 0, true),
            (64, 0b1_0000_0000, false),
            (64, 0b10_0000_0000, true),
            (111, 0b10_0000, false),
            (112, 0b1_0000, false),
            (112, 0b10_0000, true),
            (511, 1, false),
            (512, 1, true),
        ];
        for (count, end, expected) in table {
            assert_eq!(is_full(count, &hash(end)), expected, "{count} {end:b}");
        }
    }
}
