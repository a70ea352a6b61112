//! The search for a cut on processors with AES and matrices over 512 bits: all of it happens in registers.
//!
//! The search of [`super::scan`] looks every byte up in two tables and writes every block to memory. Here the
//! fingerprints of all eight lanes stand in one register, turned, so that each word holds one byte of each:
//!
//! ```text
//! word 0    the last byte of the fingerprints of lanes 0 to 7; the byte that comes in goes here
//!  ⋮
//! word 7    the first byte of each; it is shifted out
//! ```
//!
//! An entry of a table is linear in the bits of its index. So a matrix of 8 × 8 bits for each byte of the entry says
//! the same, and one instruction multiplies eight bytes, one of each lane, by the eight matrices of a table. Moving
//! on is a shift by one word. Eight rows are encrypted at once and looked at where they are; the few positions that
//! could cut are judged by the definition. A core cuts 1,700 MB/s this way, and 700 the other (pieces of 128 KiB).
//! What is found is what that one finds: the tests hold both against the definition.
//!
//! The instructions need no pointer, so the one thing to promise is that the processor has them.

use super::roll::{Roll, WINDOW};
use super::scan::{LANE_BYTES, LANES, SPAN};
use std::arch::x86_64::{
    __m128i, __m512i, _mm_aeskeygenassist_si128, _mm_set_epi64x, _mm_shuffle_epi32, _mm_slli_si128,
    _mm_xor_si128, _mm512_aesenc_epi128, _mm512_aesenclast_epi128, _mm512_alignr_epi64,
    _mm512_broadcast_i32x4, _mm512_gf2p8affine_epi64_epi8, _mm512_maskz_permutexvar_epi8,
    _mm512_permutexvar_epi8, _mm512_permutexvar_epi64, _mm512_set_epi64, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_testn_epi64_mask, _mm512_xor_si512,
};
use zeroize::Zeroize;

/// Rows encrypted at once: two registers each, 16 of the 32 there are.
const ROWS: usize = 8;

/// Registers that hold a span and the window before it, eight rows each.
const TURNED: usize = (WINDOW + LANE_BYTES) / ROWS;

/// Words of a register.
const WORDS: usize = 8;

/// The words of a register of blocks that are the first half of one.
const PRINTS: u8 = 0b0101_0101;

/// The bytes of those words.
const PRINT_BYTES: u64 = 0x00ff_00ff_00ff_00ff;

/// The first bytes of all words of a register, by their places in it.
const FIRST_BYTES: u64 = 0x3830_2820_1810_0800;

/// Rounds of AES-128 (FIPS 197, figure 4).
const ROUNDS: usize = 10;

/// The secrets of a chunker on a processor with the instructions.
pub(super) struct Vaes {
    /// The cipher's round keys.
    keys: [__m128i; ROUNDS + 1],
    /// The tables of [`Roll`] as matrices, one for each byte of an entry, the last byte first.
    carry: [u64; WORDS],
    leave: [u64; WORDS],
}

/// What the search has in registers throughout.
#[derive(Clone, Copy)]
struct Wide {
    keys: [__m512i; ROUNDS + 1],
    carry: __m512i,
    leave: __m512i,
    mask: __m512i,
}

impl Vaes {
    /// `None` where the processor cannot.
    pub(super) fn new(key: &[u8; 16], roll: &Roll) -> Option<Self> {
        let can = is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("gfni")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi");
        can.then(|| Self {
            #[expect(unsafe_code, reason = "a function for some processors only")]
            // SAFETY: the processor was asked.
            keys: unsafe { expand(u128::from_be_bytes(*key).swap_bytes()) },
            carry: matrices(roll.carries()),
            leave: matrices(roll.leaves()),
        })
    }

    /// The first cut of a span, counted from the span's first position; `span` has the window before it too. `exact` is
    /// asked of positions that could cut by `mask`, in no order, and says which do.
    pub(super) fn lanes(
        &self,
        span: &[u8; WINDOW + SPAN],
        mask: u64,
        exact: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        #[expect(unsafe_code, reason = "a function for some processors only")]
        // SAFETY: `new` has asked the processor.
        unsafe {
            self.search(span, mask, exact)
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,vaes,gfni")]
    fn search(
        &self,
        span: &[u8; WINDOW + SPAN],
        mask: u64,
        mut exact: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        let wide = self.widen(mask);
        let bytes = turn(span);
        let (window, enter) = bytes.split_at(WINDOW / ROWS);
        let mut prints = wide.of(window);
        let mut first: Option<usize> = None;
        for (group, (enter, leave)) in enter.iter().zip(&bytes).enumerate() {
            let blocks = wide.encrypt(wide.roll(&mut prints, *enter, *leave));
            if wide.finds(&blocks) != 0 {
                for (pair, blocks) in blocks.as_chunks::<2>().0.iter().enumerate() {
                    // The first register has the lanes up to 3.
                    let found =
                        u16::from(wide.finds(&blocks[..1])) | u16::from(wide.finds(&blocks[1..])) << 8;
                    let lanes = (0..LANES).filter(|lane| found >> (2 * lane) & 1 == 1);
                    let cuts = lanes.map(|lane| lane * LANE_BYTES + group * ROWS + pair);
                    first = first.into_iter().chain(cuts.filter(|position| exact(*position))).min();
                }
            }
        }
        first
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn widen(&self, mask: u64) -> Wide {
        let mut keys = [_mm512_setzero_si512(); ROUNDS + 1];
        for (wide, key) in keys.iter_mut().zip(&self.keys) {
            *wide = _mm512_broadcast_i32x4(*key);
        }
        // The bytes of a block are turned round in a word.
        let mask = _mm512_set1_epi64(mask.swap_bytes().cast_signed());
        Wide { keys, carry: register(self.carry), leave: register(self.leave), mask }
    }
}

impl Wide {
    /// The fingerprints of all lanes' first windows, turned.
    #[inline]
    #[target_feature(enable = "avx512f,gfni")]
    fn of(&self, window: &[__m512i]) -> __m512i {
        let mut prints = _mm512_setzero_si512();
        for bytes in window {
            for row in 0..ROWS {
                prints = self.append(prints, word(*bytes, row));
            }
        }
        prints
    }

    /// The blocks of eight rows, two registers each; `prints` are those of the first row before and of the row after
    /// them afterwards.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
    fn roll(&self, prints: &mut __m512i, enter: __m512i, leave: __m512i) -> [__m512i; 2 * ROWS] {
        // A block is the fingerprint, its first byte first, and eight zeros; so a register holds four.
        let low = register(columns(FIRST_BYTES.swap_bytes(), [0, 0, 1, 1, 2, 2, 3, 3]));
        let high = register(columns(FIRST_BYTES.swap_bytes(), [4, 4, 5, 5, 6, 6, 7, 7]));
        let mut blocks = [_mm512_setzero_si512(); 2 * ROWS];
        for (row, pair) in blocks.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            pair[0] = _mm512_maskz_permutexvar_epi8(PRINT_BYTES, low, *prints);
            pair[1] = _mm512_maskz_permutexvar_epi8(PRINT_BYTES, high, *prints);
            let gone = _mm512_gf2p8affine_epi64_epi8::<0>(word(leave, row), self.leave);
            *prints = _mm512_xor_si512(self.append(*prints, word(enter, row)), gone);
        }
        blocks
    }

    /// The fingerprints with one byte more each: `bytes` has them in every word.
    #[inline]
    #[target_feature(enable = "avx512f,gfni")]
    fn append(&self, prints: __m512i, bytes: __m512i) -> __m512i {
        let carried = _mm512_gf2p8affine_epi64_epi8::<0>(word(prints, WORDS - 1), self.carry);
        _mm512_xor_si512(_mm512_alignr_epi64::<7>(prints, bytes), carried)
    }

    #[inline]
    #[target_feature(enable = "avx512f,vaes")]
    fn encrypt(&self, mut blocks: [__m512i; 2 * ROWS]) -> [__m512i; 2 * ROWS] {
        let [first, others @ .., last] = &self.keys;
        for block in &mut blocks {
            *block = _mm512_xor_si512(*block, *first);
        }
        for key in others {
            for block in &mut blocks {
                *block = _mm512_aesenc_epi128(*block, *key);
            }
        }
        for block in &mut blocks {
            *block = _mm512_aesenclast_epi128(*block, *last);
        }
        blocks
    }

    /// The words of encrypted blocks of which, in any register, one could cut.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn finds(&self, blocks: &[__m512i]) -> u8 {
        let mut found = 0;
        for block in blocks {
            found |= _mm512_testn_epi64_mask(*block, self.mask);
        }
        found & PRINTS
    }
}

/// A table as matrices: bit i of byte b of an entry is the parity of its index under byte 7 - i of matrix b, bytes
/// counted from the last.
fn matrices(table: &[u64; 256]) -> [u64; WORDS] {
    let mut matrices = [0; WORDS];
    for (byte, matrix) in matrices.iter_mut().enumerate() {
        for (input, output) in (0..8).flat_map(|input| (0..8).map(move |output| (input, output))) {
            let bit = table[1 << input] >> (8 * byte + output) & 1;
            *matrix |= bit << (8 * (7 - output) + input);
        }
    }
    matrices
}

/// The bytes of a span row by row: a word for each, with one byte of each lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn turn(span: &[u8; WINDOW + SPAN]) -> [__m512i; TURNED] {
    let turned = register(columns(FIRST_BYTES, [0, 1, 2, 3, 4, 5, 6, 7]));
    let mut registers = [_mm512_setzero_si512(); TURNED];
    for (group, rows) in registers.iter_mut().enumerate() {
        let mut lanes = [0; LANES];
        for (lane, word) in lanes.iter_mut().enumerate() {
            // All lanes are within the span: the last one ends with it.
            let bytes = span[lane * LANE_BYTES + group * ROWS..].first_chunk();
            *word = u64::from_be_bytes(*bytes.unwrap_or(&[0; ROWS])).swap_bytes();
        }
        *rows = _mm512_permutexvar_epi8(turned, register(lanes));
    }
    registers
}

/// The key schedule (FIPS 197, §5.2); the key's first byte is the lowest.
#[target_feature(enable = "aes")]
fn expand(key: u128) -> [__m128i; ROUNDS + 1] {
    let words = |shift: u32| (key >> shift) as i64;
    let mut next = _mm_set_epi64x(words(64), words(0));
    macro_rules! step {
        ($constant:literal) => {{
            let before = next;
            let word = _mm_shuffle_epi32::<0xff>(_mm_aeskeygenassist_si128::<$constant>(before));
            let one = _mm_xor_si128(before, _mm_slli_si128::<4>(before));
            let all = _mm_xor_si128(one, _mm_slli_si128::<8>(one));
            next = _mm_xor_si128(all, word);
            before
        }};
    }
    let first = [step!(0x01), step!(0x02), step!(0x04), step!(0x08), step!(0x10)];
    let second = [step!(0x20), step!(0x40), step!(0x80), step!(0x1b), step!(0x36)];
    let [k0, k1, k2, k3, k4] = first;
    let [k5, k6, k7, k8, k9] = second;
    [k0, k1, k2, k3, k4, k5, k6, k7, k8, k9, next]
}

/// A word of a register in all its words.
#[inline]
#[target_feature(enable = "avx512f")]
fn word(register: __m512i, word: usize) -> __m512i {
    _mm512_permutexvar_epi64(_mm512_set1_epi64(word as i64), register)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn register(words: [u64; WORDS]) -> __m512i {
    let [a, b, c, d, e, f, g, h] = words.map(u64::cast_signed);
    _mm512_set_epi64(h, g, f, e, d, c, b, a)
}

/// Which bytes of a register come into words that take one byte of each of its words, by the number of that byte.
fn columns(first: u64, bytes: [u64; WORDS]) -> [u64; WORDS] {
    bytes.map(|byte| first + byte * 0x0101_0101_0101_0101)
}

impl Drop for Vaes {
    fn drop(&mut self) {
        self.keys.zeroize();
        self.carry.zeroize();
        self.leave.zeroize();
    }
}
