//! Looks for many short byte strings in many files at once.
//!
//! Every needle is found by its first eight bytes: a bitmap of 2^24 hashes sieves, a map confirms. One pass over a
//! file costs about as much as reading it, however many needles there are.

use anyhow::{Context, Result};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

const SIEVE_BITS: u32 = 24;
const WINDOW_BYTES: usize = 48;
/// A window with fewer distinct byte values (zeros, padding, dashes) may well occur by chance.
const DISTINCT_MIN: usize = 24;
const STEP_BYTES: usize = 4096;

/// Byte strings that must not be found, each with what it is.
#[derive(Debug)]
pub struct Needles {
    sieve: Vec<u64>,
    by_head: HashMap<u64, Vec<(Vec<u8>, String)>>,
    count: usize,
}

impl Default for Needles {
    fn default() -> Self {
        Self { sieve: vec![0; 1 << (SIEVE_BITS - 6)], by_head: HashMap::new(), count: 0 }
    }
}

impl Needles {
    /// Adds a needle.
    ///
    /// # Panics
    /// When it is shorter than eight bytes: it would be found by chance.
    pub fn add(&mut self, needle: &[u8], what: &str) {
        let head =
            needle.first_chunk().map(|head| u64::from_be_bytes(*head)).expect("a needle has eight bytes");
        let slot = sieve_slot(head);
        self.sieve[slot / 64] |= 1 << (slot % 64);
        self.by_head.entry(head).or_default().push((needle.to_vec(), what.to_owned()));
        self.count += 1;
    }

    /// Adds a key, as it is, in hexadecimal and in base64url.
    pub fn add_key(&mut self, key: &[u8], what: &str) {
        self.add(key, what);
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.add(hex.as_bytes(), &format!("{what} in hexadecimal"));
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// What is found in some bytes.
    #[must_use]
    pub fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        let mut head = 0u64;
        for (index, byte) in bytes.iter().enumerate() {
            head = head << 8 | u64::from(*byte);
            let slot = sieve_slot(head);
            if index < 7 || self.sieve[slot / 64] >> (slot % 64) & 1 == 0 {
                continue;
            }
            for (needle, what) in self.by_head.get(&head).into_iter().flatten() {
                if bytes[index - 7..].starts_with(needle) {
                    found.push(format!("{what} at {}", index - 7));
                }
            }
        }
        found
    }

    /// What is found in the files below a folder, by file; also how many bytes were looked at.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn found_below(
        &self,
        folder: &Path,
        skip: impl Fn(&Path) -> bool,
    ) -> Result<(Vec<(PathBuf, String)>, u64)> {
        let (mut found, mut total) = (Vec::new(), 0);
        for entry in walkdir::WalkDir::new(folder) {
            let entry = entry?;
            if !entry.file_type().is_file() || skip(entry.path()) {
                continue;
            }
            let bytes = fs::read(entry.path()).with_context(|| format!("read {}", entry.path().display()))?;
            total += bytes.len() as u64;
            found.extend(self.found_in(&bytes).into_iter().map(|what| (entry.path().to_owned(), what)));
        }
        Ok((found, total))
    }
}

fn sieve_slot(head: u64) -> usize {
    (head.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SIEVE_BITS)) as usize
}

/// One window per 4 KiB of a file's content, each with at least 24 distinct byte values.
#[must_use]
pub fn windows(content: &[u8]) -> Vec<&[u8]> {
    let blocks = content.chunks(STEP_BYTES);
    blocks
        .filter_map(|block| {
            block.windows(WINDOW_BYTES).step_by(16).find(|window| distinct(window) >= DISTINCT_MIN)
        })
        .collect()
}

fn distinct(window: &[u8]) -> usize {
    let mut seen = [false; 256];
    window.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    seen.iter().filter(|seen| **seen).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pseudo_random;

    #[test]
    fn a_needle_is_found_wherever_it_is_and_only_it() {
        let mut needles = Needles::default();
        needles.add(b"needle number one", "one");
        needles.add(b"needle number two", "two");
        let mut hay = pseudo_random(1, 100_000);
        assert_eq!(needles.found_in(&hay), Vec::<String>::new());
        hay[..17].copy_from_slice(b"needle number two");
        let end = hay.len() - 17;
        hay[end..].copy_from_slice(b"needle number one");
        assert_eq!(needles.found_in(&hay), ["two at 0".to_owned(), format!("one at {end}")]);
    }

    #[test]
    fn windows_skip_what_occurs_by_chance() {
        assert_eq!(windows(&[0; 20_000]).len(), 0);
        assert_eq!(windows(&pseudo_random(3, 20_000)).len(), 5);
    }
}
