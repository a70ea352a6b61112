//! How a file is cut into pieces, by its size and by how it was cut before. The number stands in the record.
//!
//! ```text
//!  0  inline      up to 2 KiB      in the record itself
//!  1  one chunk   up to 64 KiB
//!  2  fixed       above            blocks of 256 KiB: files patched at random, new files without fast AES
//! 16  small       up to 16 MiB     fh-chunk/1, pieces of 32 to 256 KiB
//! 17  medium      up to 1 GiB      fh-chunk/1, pieces of 64 to 512 KiB
//! 18  large       above            fh-chunk/1, pieces of 512 KiB to 4 MiB
//! ```
//!
//! A change of profile sends the whole file again. So one cut fixed stays so, a medium one stays so however it
//! grows, and a large one until it is an eighth of what made it large (ADR 21). Reading needs no profile: the manifest
//! says where each piece begins.

use crate::chunker::Rule;
use crate::limits::{
    FIXED_BLOCK_BYTES, INLINE_BYTES_MAX, LARGE_BYTES_KEPT, MEDIUM_BYTES_MAX, SINGLE_CHUNK_BYTES_MAX,
    SMALL_BYTES_MAX,
};

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
    /// Cut by [`Rule::SMALL`].
    Small = 16,
    /// Cut by [`Rule::MEDIUM`].
    Medium = 17,
    /// Cut by [`Rule::LARGE`].
    Large = 18,
}

impl Profile {
    /// The profile for a content of `size` bytes. `before` is that of the content before; `has_fast_aes` is
    /// [`crate::has_fast_aes`], which matters for files that were not cut by content yet.
    #[must_use]
    pub const fn choose(size: u64, before: Option<Self>, has_fast_aes: bool) -> Self {
        if size <= INLINE_BYTES_MAX as u64 {
            return Self::Inline;
        }
        if size <= SINGLE_CHUNK_BYTES_MAX {
            return Self::Single;
        }
        match before {
            Some(Self::Fixed256K) => Self::Fixed256K,
            Some(Self::Medium) if size > SMALL_BYTES_MAX => Self::Medium,
            Some(Self::Large) if size > LARGE_BYTES_KEPT => Self::Large,
            Some(Self::Small | Self::Medium | Self::Large) => Self::by_size(size),
            Some(Self::Inline | Self::Single) | None => {
                if has_fast_aes {
                    Self::by_size(size)
                } else {
                    Self::Fixed256K
                }
            }
        }
    }

    /// The profile that pieces of a file are cut by which is still growing and is over 16 MiB by then: the one
    /// [`choose`](Self::choose) will say when it ends at any size above, unless its end decides otherwise.
    #[must_use]
    pub const fn of_growing(before: Option<Self>, has_fast_aes: bool) -> Self {
        Self::choose(MEDIUM_BYTES_MAX, before, has_fast_aes)
    }

    /// The class of contents over 64 KiB.
    const fn by_size(size: u64) -> Self {
        if size <= SMALL_BYTES_MAX {
            Self::Small
        } else if size <= MEDIUM_BYTES_MAX {
            Self::Medium
        } else {
            Self::Large
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
            16 => Some(Self::Small),
            17 => Some(Self::Medium),
            18 => Some(Self::Large),
            _ => None,
        }
    }

    /// The sizes of its pieces; `None` where the content does not say where to cut.
    #[must_use]
    pub const fn rule(self) -> Option<Rule> {
        match self {
            Self::Inline | Self::Single | Self::Fixed256K => None,
            Self::Small => Some(Rule::SMALL),
            Self::Medium => Some(Rule::MEDIUM),
            Self::Large => Some(Rule::LARGE),
        }
    }

    /// Where the pieces of a file lie that is not cut by its content, in order, as (offset, length): blocks of
    /// 256 KiB, or all of it as one. An empty file has none.
    pub fn blocks(self, size: u64) -> impl Iterator<Item = (u64, u64)> {
        let block = if self == Self::Fixed256K { FIXED_BLOCK_BYTES } else { size.max(1) };
        (0..size.div_ceil(block)).map(move |index| {
            let offset = index * block;
            (offset, block.min(size - offset))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Profile::{Fixed256K, Inline, Large, Medium, Single, Small};

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test]
    fn sizes_choose_their_profile_at_the_edges() {
        let table = [
            (0, Inline),
            (2_048, Inline),
            (2_049, Single),
            (65_536, Single),
            (65_537, Small),
            (16 * MIB, Small),
            (16 * MIB + 1, Medium),
            (GIB, Medium),
            (GIB + 1, Large),
            (u64::MAX, Large),
        ];
        for (size, profile) in table {
            for before in [None, Some(Inline), Some(Single), Some(Small)] {
                assert_eq!(Profile::choose(size, before, true), profile, "{size} after {before:?}");
            }
        }
    }

    #[test]
    fn without_fast_aes_a_new_file_is_cut_in_fixed_blocks() {
        for (size, profile) in [(2_048, Inline), (65_536, Single), (65_537, Fixed256K), (GIB, Fixed256K)] {
            assert_eq!(Profile::choose(size, None, false), profile);
        }
        assert_eq!(Profile::choose(GIB, Some(Medium), false), Medium, "the rest of it stays as it is");
    }

    #[test]
    fn a_profile_is_kept_where_changing_it_would_send_much_again() {
        let table = [
            (Fixed256K, 65_537, Fixed256K),
            (Fixed256K, 9 * GIB, Fixed256K),
            (Fixed256K, 65_536, Single),
            (Medium, 16 * MIB + 1, Medium),
            (Medium, 16 * MIB, Small),
            (Medium, 900 * GIB, Medium),
            (Large, 128 * MIB + 1, Large),
            (Large, 128 * MIB, Medium),
        ];
        for (before, size, profile) in table {
            assert_eq!(Profile::choose(size, Some(before), true), profile, "{size} after {before:?}");
        }
    }

    #[test]
    fn what_is_cut_while_it_grows_is_cut_as_the_whole_will_be() {
        for before in [None, Some(Small), Some(Medium), Some(Large), Some(Fixed256K)] {
            for has_fast_aes in [false, true] {
                let growing = Profile::of_growing(before, has_fast_aes);
                for size in [200 * MIB, GIB, 40 * GIB] {
                    assert_eq!(Profile::choose(size, Some(growing), has_fast_aes), growing);
                }
            }
        }
    }

    #[test]
    fn blocks_cover_the_file_without_gap_or_overlap() {
        for (profile, max) in [(Single, 65_536), (Fixed256K, 262_144)] {
            for size in [0, 1, 2_049, 65_536, 65_537, 262_144, 262_145, 1_000_000] {
                let mut next = 0;
                for (offset, len) in profile.blocks(size) {
                    assert_eq!(offset, next, "{size}");
                    assert!(len > 0 && (len <= max || profile == Single), "{size}");
                    next += len;
                }
                assert_eq!(next, size);
            }
        }
    }

    #[test]
    fn numbers_survive_a_round_trip_and_others_are_not_ours() {
        for profile in [Inline, Single, Fixed256K, Small, Medium, Large] {
            assert_eq!(Profile::from_number(profile.number()), Some(profile));
            let is_cut_by_content = profile.number() >= 16;
            assert_eq!(profile.rule().is_some(), is_cut_by_content);
        }
        for other in [3, 15, 19, 255] {
            assert_eq!(Profile::from_number(other), None);
        }
    }
}
