//! Random bytes, faster than the system gives them.

/// SplitMix64: passes for noise with every compressor and chunker.
pub(in crate::bench::mount) struct Random(u64);

impl Random {
    pub(in crate::bench::mount) const fn of(seed: u64) -> Self {
        Self(seed)
    }

    pub(in crate::bench::mount) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// A number below `bound`. The bias is of no matter here.
    pub(in crate::bench::mount) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or_default()
    }

    /// So many bytes; the length is a multiple of eight.
    pub(in crate::bench::mount) fn bytes(&mut self, len_bytes: usize) -> Vec<u8> {
        let mut bytes = vec![0; len_bytes];
        for word in bytes.chunks_exact_mut(8) {
            word.copy_from_slice(&self.next().to_be_bytes());
        }
        bytes
    }
}
