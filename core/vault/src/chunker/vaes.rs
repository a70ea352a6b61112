//! The search for a cut on processors with AES over 512 bits: fingerprints become cipher blocks in registers.
//!
//! The search of [`super::scan`] writes every block to memory and reads it back twice. Here eight rows of
//! fingerprints, one of each lane, are encrypted at once and looked at where they are (926 MB/s of a core instead
//! of 716 with pieces of 128 KiB). What they find is what that one finds: the tests hold both against the definition.
//!
//! The instructions need no pointer, so the one thing to promise is that the processor has them.

use super::roll::{Roll, WINDOW};
use super::scan::{LANE_BYTES, LANES, SPAN};
use std::arch::x86_64::{
    __m128i, __m512i, _mm_aeskeygenassist_si128, _mm_set_epi8, _mm_set_epi64x, _mm_shuffle_epi32,
    _mm_slli_si128, _mm_xor_si128, _mm512_aesenc_epi128, _mm512_aesenclast_epi128, _mm512_broadcast_i32x4,
    _mm512_maskz_permutexvar_epi64, _mm512_set_epi64, _mm512_set1_epi64, _mm512_setzero_si512,
    _mm512_shuffle_epi8, _mm512_testn_epi64_mask, _mm512_xor_si512,
};
use zeroize::Zeroize;

/// Rows encrypted at once: two registers each, 16 of the 32 there are.
pub(super) const ROWS: usize = 8;

/// The words of a register that are the first half of a block.
const PRINTS: u8 = 0b0101_0101;

/// Rounds of AES-128 (FIPS 197, figure 4).
const ROUNDS: usize = 10;

/// The cipher's round keys on a processor with the instructions.
pub(super) struct Vaes {
    keys: [__m128i; ROUNDS + 1],
}

impl Vaes {
    /// `None` where the processor cannot.
    pub(super) fn new(key: &[u8; 16]) -> Option<Self> {
        let can = is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw");
        #[expect(unsafe_code, reason = "a function for some processors only")]
        // SAFETY: the processor was asked.
        can.then(|| unsafe { Self::expand(u128::from_be_bytes(*key).swap_bytes()) })
    }

    /// The key schedule (FIPS 197, §5.2); the key's first byte is the lowest.
    #[target_feature(enable = "aes")]
    fn expand(key: u128) -> Self {
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
        Self { keys: [k0, k1, k2, k3, k4, k5, k6, k7, k8, k9, next] }
    }

    /// The first cut of a span that begins at a position; `span` has the window before it too. `exact` is shown the
    /// fingerprints, row by row, of which some could cut by `easy`, and the place of the first row; it says which do.
    pub(super) fn lanes(
        &self,
        roll: &Roll,
        span: &[u8],
        easy: u64,
        exact: impl FnMut(&[[u64; LANES]; ROWS], usize) -> Option<usize>,
    ) -> Option<usize> {
        #[expect(unsafe_code, reason = "a function for some processors only")]
        // SAFETY: `new` has asked the processor.
        unsafe {
            self.search(roll, span, easy, exact)
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,vaes")]
    fn search(
        &self,
        roll: &Roll,
        span: &[u8],
        easy: u64,
        mut exact: impl FnMut(&[[u64; LANES]; ROWS], usize) -> Option<usize>,
    ) -> Option<usize> {
        let span: &[u8; SPAN + WINDOW] = span.first_chunk()?;
        let mut prints = [0; LANES];
        for (lane, print) in prints.iter_mut().enumerate() {
            *print = roll.of(span.get(lane * LANE_BYTES..)?.get(..WINDOW)?);
        }
        let mut keys = [_mm512_setzero_si512(); ROUNDS + 1];
        for (wide, key) in keys.iter_mut().zip(&self.keys) {
            *wide = _mm512_broadcast_i32x4(*key);
        }
        let easy = _mm512_set1_epi64(easy.swap_bytes().cast_signed());
        let mut first: Option<usize> = None;
        for row in (0..LANE_BYTES).step_by(ROWS) {
            let group = roll_on(roll, &mut prints, span, row);
            if could_cut(&group, &keys, easy) {
                first = first.into_iter().chain(exact(&group, row)).min();
            }
        }
        first
    }
}

/// The fingerprints of some rows, lane by lane; `prints` are those of the row after them.
///
/// It stands alone so that it is compiled for every processor: for this one the compiler would gather from the
/// tables, which takes twice as long.
#[inline(never)]
fn roll_on(
    roll: &Roll,
    prints: &mut [u64; LANES],
    span: &[u8; SPAN + WINDOW],
    row: usize,
) -> [[u64; LANES]; ROWS] {
    let mut group = [[0; LANES]; ROWS];
    for (at, eight) in group.iter_mut().enumerate() {
        // All lanes are reached from one address: there are not registers enough for sixteen.
        let leaves = (row + at) % LANE_BYTES;
        for lane in 0..LANES {
            let leaves = lane * LANE_BYTES + leaves;
            eight[lane] = prints[lane];
            prints[lane] = roll.next(prints[lane], span[leaves + WINDOW], span[leaves]);
        }
    }
    group
}

/// Whether any output has all bits of `easy` zero; its bytes are turned round, as those of a block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn could_cut(group: &[[u64; LANES]; ROWS], keys: &[__m512i; ROUNDS + 1], easy: __m512i) -> bool {
    // A block is the fingerprint and eight zeros, so a register holds four. No closures here: one cannot become part
    // of a function that is compiled for every processor.
    let (low, high) = (_mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0), _mm512_set_epi64(0, 7, 0, 6, 0, 5, 0, 4));
    let turned = _mm512_broadcast_i32x4(_mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    let mut blocks = [keys[0]; 2 * ROWS];
    for (pair, eight) in blocks.as_chunks_mut::<2>().0.iter_mut().zip(group) {
        let [a, b, c, d, e, f, g, h] = *eight;
        let eight = _mm512_set_epi64(
            h.cast_signed(),
            g.cast_signed(),
            f.cast_signed(),
            e.cast_signed(),
            d.cast_signed(),
            c.cast_signed(),
            b.cast_signed(),
            a.cast_signed(),
        );
        let eight = _mm512_shuffle_epi8(eight, turned);
        pair[0] = _mm512_xor_si512(pair[0], _mm512_maskz_permutexvar_epi64(PRINTS, low, eight));
        pair[1] = _mm512_xor_si512(pair[1], _mm512_maskz_permutexvar_epi64(PRINTS, high, eight));
    }
    for key in &keys[1..ROUNDS] {
        for block in &mut blocks {
            *block = _mm512_aesenc_epi128(*block, *key);
        }
    }
    let mut found = 0;
    for block in blocks {
        found |= _mm512_testn_epi64_mask(_mm512_aesenclast_epi128(block, keys[ROUNDS]), easy);
    }
    found & PRINTS != 0
}

impl Drop for Vaes {
    fn drop(&mut self) {
        self.keys.zeroize();
    }
}
