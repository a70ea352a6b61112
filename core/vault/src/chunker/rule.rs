//! The sizes of one class of files, and which outputs cut.

/// Sizes of the pieces of one class.
///
/// ```text
///     0          min             normal = 7/8 avg                        max
///     ├── none ──┼── 1 in 4·avg ──┼───────── 1 in avg/4 ──────────────────┤ always
/// ```
///
/// The two masks gather the pieces around the average (Xia et al., "FastCDC", USENIX ATC 2016, §3.4): of random
/// bytes cut by [`Rule::MEDIUM`] 90 % are 89 to 204 KiB long, and 139 in the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub(super) min: usize,
    pub(super) normal: usize,
    pub(super) max: usize,
    pub(super) hard: u64,
    pub(super) easy: u64,
}

impl Rule {
    /// Files up to 16 MiB: pieces of 32 to 256 KiB.
    pub const SMALL: Self = Self::new(32 << 10, 64 << 10, 256 << 10);

    /// Files up to 1 GiB: pieces of 64 to 512 KiB.
    pub const MEDIUM: Self = Self::new(64 << 10, 128 << 10, 512 << 10);

    /// Larger files: pieces of 512 KiB to 4 MiB.
    pub const LARGE: Self = Self::new(512 << 10, 1 << 20, 4 << 20);

    /// `min` is at least two windows, so that a window never reaches into the piece before; `avg` is a power of two.
    pub(super) const fn new(min: usize, avg: usize, max: usize) -> Self {
        assert!(128 <= min && min < avg && avg < max && avg.is_power_of_two(), "sizes rise");
        let bits = avg.trailing_zeros();
        Self { min, normal: avg / 8 * 7, max, hard: (1 << (bits + 2)) - 1, easy: (1 << (bits - 2)) - 1 }
    }

    /// Bytes of the longest piece.
    #[must_use]
    pub const fn max_bytes(&self) -> usize {
        self.max
    }

    /// Bytes of the shortest piece, but for the last of a file.
    #[must_use]
    pub const fn min_bytes(&self) -> usize {
        self.min
    }
}
