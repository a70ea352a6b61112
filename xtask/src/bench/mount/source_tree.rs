//! The source tree that is unpacked: a tar archive, the same in every run.
//!
//! 7,979 files in 1,716 folders with 83.8 MB, as one real project has them. Sizes, depths and words are drawn from a
//! fixed seed. The text is of words, so that git compresses it as it compresses code.

use super::work::Random;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

const FILES: usize = 7_979;
const FOLDERS: usize = 1_716;
const ALL_BYTES: usize = 83_800_000;

const SEED: u64 = 0x0046_7265_6568_6F6C;
const BLOCK_BYTES: usize = 512;

/// Words of the text.
const WORDS: usize = 4_096;

/// Folders in one another, at most: tar's plain header takes 100 bytes of path.
const DEPTH_MAX: usize = 8;

/// Writes the archive; `is_tenth` for a tenth of everything.
pub(super) fn write(path: &Path, is_tenth: bool) -> Result<()> {
    let part = if is_tenth { 10 } else { 1 };
    let mut random = Random::of(SEED);
    let mut archive = BufWriter::new(File::create(path).context("the archive")?);
    let folders = folders(&mut random, FOLDERS / part);
    for folder in &folders {
        archive.write_all(&header(&format!("{folder}/"), 0, b'5')?)?;
    }
    let words: Vec<String> = (0..WORDS).map(|_| word(&mut random)).collect();
    for (number, len_bytes) in sizes(&mut random, FILES / part, ALL_BYTES / part).into_iter().enumerate() {
        let folder = &folders[random.below(folders.len())];
        archive.write_all(&header(&format!("{folder}/file{number}.rs"), len_bytes, b'0')?)?;
        let mut text = text(&mut random, &words, len_bytes);
        text.resize(len_bytes.next_multiple_of(BLOCK_BYTES), 0);
        archive.write_all(&text)?;
    }
    // Two empty blocks end an archive.
    archive.write_all(&[0; 2 * BLOCK_BYTES])?;
    archive.flush()?;
    Ok(())
}

/// Paths, each behind its parent.
fn folders(random: &mut Random, count: usize) -> Vec<String> {
    let mut folders = vec!["tree".to_owned()];
    while folders.len() < count {
        let parent = &folders[random.below(folders.len())];
        if parent.split('/').count() < DEPTH_MAX {
            folders.push(format!("{parent}/dir{}", folders.len()));
        }
    }
    folders
}

/// Lengths that add up to `all_bytes`: many small ones, few large ones.
fn sizes(random: &mut Random, count: usize, all_bytes: usize) -> Vec<usize> {
    // Squares of an exponential draw: the median is about a quarter of the mean.
    let uniform = |random: &mut Random| (random.below(1 << 20) + 1) as f64 / f64::from(1 << 20);
    let weights: Vec<f64> = (0..count).map(|_| uniform(random).ln().powi(2)).collect();
    let sum: f64 = weights.iter().sum();
    let mut sizes: Vec<usize> =
        weights.iter().map(|weight| (weight / sum * all_bytes as f64) as usize).collect();
    let rest = all_bytes - sizes.iter().sum::<usize>();
    sizes[0] += rest;
    sizes
}

fn word(random: &mut Random) -> String {
    let letters = 2 + random.below(9);
    (0..letters).map(|_| char::from(b'a' + (random.next() % 26) as u8)).collect()
}

/// Lines of words, the early ones more often, cut at the length.
fn text(random: &mut Random, words: &[String], len_bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(len_bytes + 128);
    while text.len() < len_bytes {
        let most = 1 + random.below(words.len());
        text.extend_from_slice(words[random.below(most)].as_bytes());
        text.push(if random.below(9) == 0 { b'\n' } else { b' ' });
    }
    text.truncate(len_bytes);
    text
}

/// A header of the ustar format (POSIX.1-1988): fields at fixed places, numbers in octal.
fn header(path: &str, len_bytes: usize, kind: u8) -> Result<[u8; BLOCK_BYTES]> {
    let mut header = [0; BLOCK_BYTES];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    anyhow::ensure!(path.len() <= 100, "a path of {} bytes", path.len());
    put(0, path);
    put(100, if kind == b'5' { "0000755\0" } else { "0000644\0" });
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{len_bytes:011o}\0"));
    // 2024-01-01, for everything.
    put(136, &format!("{:011o}\0", 1_704_067_200_u64));
    put(148, "        ");
    put(257, "ustar\x0000");
    header[156] = kind;
    // The sum of all bytes, its own field taken as blanks.
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_add_up_and_folders_stand_behind_their_parents() {
        let mut random = Random::of(SEED);
        assert_eq!(sizes(&mut random, 100, 1_000_000).iter().sum::<usize>(), 1_000_000);
        let folders = folders(&mut random, 50);
        for (at, folder) in folders.iter().enumerate().skip(1) {
            let (parent, _) = folder.rsplit_once('/').expect("only the first has none");
            assert!(folders[..at].iter().any(|earlier| earlier == parent));
        }
    }
}
