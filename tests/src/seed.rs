//! Seeds: each run draws another one, prints it, and takes it back from `FREEHOLD_TEST_SEED`.

use std::time::{SystemTime, UNIX_EPOCH};

/// A seeded sequence of numbers: xorshift64* (Vigna, 2016), the same on every machine.
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The sequence of one seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give neighbouring sequences, and zero would give zeros for ever.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number below `end`, which is not zero.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Whether this is one of `share` in `of`.
    pub const fn is_one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// Puts the items in another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.below(last as u64 + 1)).unwrap_or(0);
            items.swap(last, other);
        }
    }
}

/// The seed of this run: `FREEHOLD_TEST_SEED`, else one from the clock. It is printed with `what`.
#[must_use]
pub fn seed(what: &str) -> u64 {
    let given = std::env::var("FREEHOLD_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_secs().wrapping_mul(1_000).wrapping_add(u64::from(now.subsec_millis()))
    });
    crate::say(&format!("{what}: FREEHOLD_TEST_SEED={seed}"));
    seed
}

/// Whether the long forms run: `./x test --long`.
#[must_use]
pub fn is_long() -> bool {
    std::env::var_os("FREEHOLD_TEST_LONG").is_some()
}
