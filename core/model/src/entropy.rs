//! Randomness as a parameter.
//!
//! Pure crates take an [`Entropy`] instead of calling the operating system, so that they build for
//! every target and a test can replay a seed. The programs pass the operating system's generator.

/// A source of random bytes, good enough for keys.
pub trait Entropy {
    /// Fills the whole buffer.
    fn fill(&mut self, buffer: &mut [u8]);
}

impl<E: Entropy + ?Sized> Entropy for &mut E {
    fn fill(&mut self, buffer: &mut [u8]) {
        (**self).fill(buffer);
    }
}
