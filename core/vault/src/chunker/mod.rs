//! `fh-chunk/1`: where a file is cut, told by its content and a key of the vault.
//!
//! ```text
//! 64 bytes before a position ──> Rabin fingerprint, secret polynomial ──> AES-128, secret key ──> cut when
//!                                8 bytes                                  first 8 bytes           masked bits are 0
//! ```
//!
//! An insertion moves what follows, and the cuts move along: the pieces after it stay what they were. Whoever stores
//! the pieces sees their lengths, so the cuts must not tell the content. A keyed gear hash or a secret polynomial
//! alone does not hide them, its secrets can be computed from chosen or known content (Truong, Merino, Günther and
//! Paterson, "Breaking and Fixing Content-Defined Chunking", 2025); the cipher behind the fingerprint does.
//!
//! Cuts depend on the bytes since the cut before and on nothing else. So whoever begins at a known cut finds the
//! same ones as from the front, and equal contents are cut alike on every device. Without instructions for AES the
//! same cuts come out, slower; [`has_fast_aes`] tells.
//!
//! The exact bytes: `docs/format.md`, "Cuts", and `tests/vectors/vault-chunker.json`.

mod polynomial;
mod roll;
mod rule;
mod scan;
mod stream;
#[cfg(test)]
mod tests;
#[cfg_attr(not(target_arch = "x86_64"), path = "no_vaes.rs")]
mod vaes;

pub use rule::Rule;
pub use stream::Cutter;

use aes::Aes128;
use aes::cipher::{Array, KeyInit};
use freehold_crypto::Secret32;
use polynomial::Polynomial;
use roll::Roll;
use scan::{Masks, Scan};
use vaes::Vaes;
use zeroize::Zeroize;

/// Cuts the contents of one vault.
///
/// Costs some 0.3 ms and holds 4 KiB of tables: make one for a vault and keep it.
pub struct Chunker {
    roll: Roll,
    aes: Aes128,
    vaes: Option<Vaes>,
}

impl Chunker {
    /// Derives polynomial and cipher from the vault's chunker key
    /// ([`freehold_crypto::VaultKeyring::chunker_key`]).
    #[must_use]
    pub fn new(key: &Secret32) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(key.expose());
        let mut stream = hasher.update(b"fh-chunk/1").finalize_xof();
        let mut cipher_key = [0; 16];
        stream.fill(&mut cipher_key);
        let polynomial = Polynomial::find(|| {
            let mut bytes = [0; 8];
            stream.fill(&mut bytes);
            u64::from_be_bytes(bytes)
        });
        let roll = Roll::new(polynomial);
        let (aes, vaes) = (Aes128::new(&Array(cipher_key)), Vaes::new(&cipher_key, &roll));
        cipher_key.zeroize();
        stream.zeroize();
        hasher.zeroize();
        Self { roll, aes, vaes }
    }

    /// The length of the first piece of `data`, which begins at a cut. `None` while `data` holds no cut: more must
    /// come, or it is the last piece of its file.
    #[must_use]
    pub fn cut(&self, rule: &Rule, data: &[u8]) -> Option<usize> {
        let range = rule.min..rule.max.min(data.len() + 1);
        let found = self.scan().first(data, range, rule.masks(0));
        found.or_else(|| (data.len() >= rule.max).then_some(rule.max))
    }

    /// All pieces of a whole content, in order. The last one ends where the content does.
    pub fn pieces<'a>(&'a self, rule: &'a Rule, data: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = data;
        std::iter::from_fn(move || {
            let len = self.cut(rule, rest).unwrap_or(rest.len());
            let (piece, after) = rest.split_at(len);
            rest = after;
            (len > 0).then_some(piece)
        })
    }

    /// Cuts bytes as they come.
    #[must_use]
    pub const fn cutter(&self, rule: Rule) -> Cutter<'_> {
        Cutter::new(self, rule)
    }

    fn scan(&self) -> Scan<'_> {
        Scan::new(&self.roll, &self.aes, self.vaes.as_ref())
    }
}

impl Rule {
    /// The masks for a piece of which the bytes before the ones looked at begin `before` bytes earlier.
    const fn masks(&self, before: usize) -> Masks {
        Masks { normal: self.normal.saturating_sub(before), hard: self.hard, easy: self.easy }
    }
}

impl std::fmt::Debug for Chunker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chunker(..)")
    }
}

/// Whether this machine has instructions for AES, found at run time by the `aes` crate. With them a core cuts
/// 800 MB/s, without 30 to 200: then fixed blocks are the better cut for new files.
#[must_use]
pub fn has_fast_aes() -> bool {
    aes::hardware_accelerated()
}
