//! Arithmetic with polynomials over GF(2), modulo a secret irreducible one of degree 64.
//!
//! A residue is a `u64`: bit i is the coefficient of x^i. The modulus is x^64 + the lower coefficients kept
//! here, so its top bit needs no room. Rabin, "Fingerprinting by random polynomials", 1981.

/// An irreducible polynomial of degree 64, by its coefficients below x^64.
#[derive(Clone, Copy)]
pub(super) struct Polynomial(u64);

impl Polynomial {
    /// The first irreducible one of the numbers that `draw` gives, each made odd. One in 32 is.
    pub(super) fn find(mut draw: impl FnMut() -> u64) -> Self {
        loop {
            // Without a constant term it would be divisible by x.
            let candidate = Self(draw() | 1);
            if candidate.is_irreducible() {
                return candidate;
            }
        }
    }

    /// a · x.
    pub(super) const fn times_x(self, a: u64) -> u64 {
        (a << 1) ^ if a >> 63 == 1 { self.0 } else { 0 }
    }

    /// a · x^n.
    pub(super) fn times_power(self, a: u64, n: usize) -> u64 {
        (0..n).fold(a, |product, _| self.times_x(product))
    }

    /// a · b, by b's bits from the highest.
    const fn times(self, a: u64, b: u64) -> u64 {
        let (mut product, mut bit) = (0, 64);
        while bit > 0 {
            bit -= 1;
            product = self.times_x(product) ^ if b >> bit & 1 == 1 { a } else { 0 };
        }
        product
    }

    /// Rabin's test. A polynomial P of degree 64 is irreducible exactly when P divides x^(2^64) − x and
    /// shares no factor with x^(2^32) − x: 2 is the only prime that divides 64.
    const fn is_irreducible(self) -> bool {
        const X: u64 = 2;
        let (mut power, mut squarings) = (X, 0);
        while squarings < 32 {
            power = self.times(power, power);
            squarings += 1;
        }
        if !self.is_coprime_to(power ^ X) {
            return false;
        }
        while squarings < 64 {
            power = self.times(power, power);
            squarings += 1;
        }
        power == X
    }

    /// Whether the greatest common divisor with a residue is 1, by Euclid's algorithm.
    const fn is_coprime_to(self, residue: u64) -> bool {
        let (mut a, mut b) = ((1 << 64) | self.0 as u128, residue as u128);
        while b != 0 {
            while a != 0 && a.leading_zeros() <= b.leading_zeros() {
                a ^= b << (b.leading_zeros() - a.leading_zeros());
            }
            (a, b) = (b, a);
        }
        a == 1
    }
}

#[cfg(test)]
mod tests {
    use super::Polynomial;

    #[test]
    fn known_polynomials_are_told_apart() {
        // x^64 + x^4 + x^3 + x + 1, of ISO 3309 and Seroussi's table of low-weight irreducibles.
        assert!(Polynomial(0b1_1011).is_irreducible());
        // x^64 + 1 = (x + 1)^64.
        assert!(!Polynomial(1).is_irreducible());
        // Two irreducible ones of degree 32, mirror images: their product divides x^(2^64) − x, so that Euclid's
        // algorithm alone finds it out.
        let (a, b) = (1_u128 << 32 | 0b1000_1101, 1_u128 << 32 | 1 << 30 | 1 << 29 | 1 << 25 | 1);
        let product = (0..=32).filter(|bit| b >> bit & 1 == 1).fold(0, |sum, bit| sum ^ a << bit);
        assert_eq!(product >> 64, 1);
        let product = Polynomial(product as u64);
        assert_eq!((0..64).fold(2, |power, _| product.times(power, power)), 2);
        assert!(!product.is_irreducible());
    }

    #[test]
    fn one_number_in_about_32_is_irreducible() {
        let mut state = 1_u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ (state >> 29)
        };
        let found = (0..6_400).filter(|_| Polynomial(draw() | 1).is_irreducible()).count();
        assert!((140..260).contains(&found), "{found} of 6,400");
    }

    #[test]
    fn products_follow_the_field() {
        let field = Polynomial(0b1_1011);
        let (a, b, c) = (0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, 0x5555_aaaa_0f0f_f0f0);
        assert_eq!(field.times(a, b), field.times(b, a));
        assert_eq!(field.times(a, b ^ c), field.times(a, b) ^ field.times(a, c));
        assert_eq!(field.times(a, 1 << 9), field.times_power(a, 9));
    }
}
