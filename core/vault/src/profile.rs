//! How a file is cut into pieces, by its size. The number stands in the record.
//!
//! ```text
//! 0  inline        up to 2 KiB     in the record itself
//! 1  one chunk     up to 64 KiB
//! 2  fixed         above           blocks of 256 KiB
//! 16 17 18         reserved for fh-chunk/1, small, medium and large
//! ```
//!
//! Reading needs no profile: the manifest says where each piece begins.

use crate::limits::{FIXED_BLOCK_BYTES, INLINE_BYTES_MAX, SINGLE_CHUNK_BYTES_MAX};

/// A rule for cutting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Profile {
    /// In the record.
    Inline = 0,
    /// One chunk.
    Single = 1,
    /// Blocks of 256 KiB.
    Fixed256K = 2,
}

impl Profile {
    /// The profile for a file of this size.
    #[must_use]
    pub const fn choose(size: u64) -> Self {
        if size <= INLINE_BYTES_MAX as u64 {
            Self::Inline
        } else if size <= SINGLE_CHUNK_BYTES_MAX {
            Self::Single
        } else {
            Self::Fixed256K
        }
    }

    /// The number in the record.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The profile of a number; `None` for ones this build does not cut by.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Inline),
            1 => Some(Self::Single),
            2 => Some(Self::Fixed256K),
            _ => None,
        }
    }

    /// Bytes of every piece but the last; `None` where the whole file is one piece.
    #[must_use]
    pub const fn block_bytes(self) -> Option<u64> {
        match self {
            Self::Inline | Self::Single => None,
            Self::Fixed256K => Some(FIXED_BLOCK_BYTES),
        }
    }

    /// The pieces of a file in order, as (offset, length). An empty file has none.
    pub fn pieces(self, size: u64) -> impl Iterator<Item = (u64, u64)> {
        let block = self.block_bytes().unwrap_or(size).max(1);
        (0..size.div_ceil(block)).map(move |index| {
            let offset = index * block;
            (offset, block.min(size - offset))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_choose_their_profile_at_the_edges() {
        let table = [
            (0, Profile::Inline),
            (2_048, Profile::Inline),
            (2_049, Profile::Single),
            (65_536, Profile::Single),
            (65_537, Profile::Fixed256K),
            (u64::MAX, Profile::Fixed256K),
        ];
        for (size, profile) in table {
            assert_eq!(Profile::choose(size), profile, "{size}");
        }
    }

    #[test]
    fn pieces_cover_the_file_without_gap_or_overlap() {
        for size in [0, 1, 2_048, 2_049, 65_536, 65_537, 262_144, 262_145, 1_000_000] {
            let mut next = 0;
            for (offset, len) in Profile::choose(size).pieces(size) {
                assert_eq!(offset, next, "{size}");
                assert!(len > 0 && len <= 262_144, "{size}");
                next += len;
            }
            assert_eq!(next, size);
        }
    }

    #[test]
    fn numbers_survive_a_round_trip_and_reserved_ones_are_not_ours() {
        for profile in [Profile::Inline, Profile::Single, Profile::Fixed256K] {
            assert_eq!(Profile::from_number(profile.number()), Some(profile));
        }
        for reserved in [3, 16, 17, 18, 255] {
            assert_eq!(Profile::from_number(reserved), None);
        }
    }
}
