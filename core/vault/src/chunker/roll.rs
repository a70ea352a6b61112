//! The rolling fingerprint: the residue of the last 64 bytes, moved on by one byte in two table looks.
//!
//! The fingerprint of a window w0 … w63 is w0·x^504 + w1·x^496 + … + w63 modulo the secret polynomial. Moving on
//! multiplies by x^8, adds the byte that comes in and takes off the one that leaves, times x^512. The tables are
//! secret and looked up by content: whoever can time this machine's caches is outside the threat model.

use super::polynomial::Polynomial;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes a fingerprint is made of.
pub(super) const WINDOW: usize = 64;

/// The two tables.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Roll {
    /// b·x^64: what the top byte becomes when it is shifted out.
    carry: [u64; 256],
    /// b·x^512: what a byte contributes when it leaves the window.
    leave: [u64; 256],
}

impl Roll {
    pub(super) fn new(polynomial: Polynomial) -> Self {
        let table = |power: usize| {
            let mut byte = 0;
            [(); 256].map(|()| {
                let entry = polynomial.times_power(byte, power);
                byte += 1;
                entry
            })
        };
        Self { carry: table(64), leave: table(8 * WINDOW) }
    }

    /// What a byte becomes when it is shifted out, by its value.
    pub(super) const fn carries(&self) -> &[u64; 256] {
        &self.carry
    }

    /// What a byte contributes when it leaves the window, by its value.
    pub(super) const fn leaves(&self) -> &[u64; 256] {
        &self.leave
    }

    /// The fingerprint of a whole window.
    #[inline]
    pub(super) fn of(&self, window: &[u8]) -> u64 {
        window.iter().fold(0, |print, byte| self.append(print, *byte))
    }

    /// The fingerprint one byte further: `enters` comes in, `leaves` goes.
    #[inline(always)]
    pub(super) fn next(&self, print: u64, enters: u8, leaves: u8) -> u64 {
        self.append(print, enters) ^ self.leave[usize::from(leaves)]
    }

    #[inline(always)]
    fn append(&self, print: u64, byte: u8) -> u64 {
        (print << 8) ^ self.carry[usize::from((print >> 56) as u8)] ^ u64::from(byte)
    }
}
