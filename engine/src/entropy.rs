//! The operating system's generator as an [`Entropy`].

use freehold_model::Entropy;

/// Fills buffers from the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the kernel's generator does not fail after boot");
    }
}
