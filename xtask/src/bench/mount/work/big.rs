//! One large file.

use super::random::Random;
use super::span::{Span, Spent};
use super::{Job, Outcome};
use anyhow::{Result, ensure};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Length at full scale.
const LEN_BYTES: usize = 1 << 30;
const BLOCK_BYTES: usize = 1 << 20;
const EDIT_BYTES: usize = 4096;

/// Edits; the middle one counts.
const EDITS: usize = 3;

/// Where it is.
pub(super) fn path(job: &Job) -> PathBuf {
    job.dir.join("big")
}

/// How long it is, in whole blocks.
pub(super) fn len_bytes(job: &Job) -> usize {
    job.scaled(LEN_BYTES) / BLOCK_BYTES * BLOCK_BYTES
}

/// The rate, and the processor seconds a GiB of caller and daemons.
pub(super) fn write(job: &Job) -> Result<Outcome> {
    let content = Random::of(job.seed).bytes(len_bytes(job));
    let span = Span::begin(job)?;
    let mut file = File::create(path(job))?;
    for block in content.chunks(BLOCK_BYTES) {
        file.write_all(block)?;
    }
    file.sync_all()?;
    let spent = span.end()?;
    let cpu_seconds = spent.caller_cpu_seconds + spent.daemon_cpu_seconds;
    let gibibytes = content.len() as f64 / LEN_BYTES as f64;
    Ok(Outcome { figures: vec![content.len() as f64 / 1e9 / spent.seconds, cpu_seconds / gibibytes], spent })
}

pub(super) fn read(job: &Job) -> Result<Outcome> {
    let span = Span::begin(job)?;
    let read = read_all(job)?;
    let spent = span.end()?;
    Ok(Outcome { figures: vec![read as f64 / 1e9 / spent.seconds], spent })
}

/// Milliseconds of an edit of the file whose pages the kernel has just been given.
pub(super) fn edit(job: &Job) -> Result<Outcome> {
    let (mut all, mut times_ms) = (Spent::default(), Vec::new());
    let mut random = Random::of(job.seed);
    for _ in 0..EDITS {
        read_all(job)?;
        let content = random.bytes(EDIT_BYTES);
        let offset = random.below(len_bytes(job) / EDIT_BYTES) * EDIT_BYTES;
        let span = Span::begin(job)?;
        let file = OpenOptions::new().read(true).write(true).open(path(job))?;
        file.write_all_at(&content, offset as u64)?;
        file.sync_all()?;
        let spent = span.end()?;
        times_ms.push(spent.seconds * 1e3);
        all = all + spent;
    }
    Ok(Outcome { figures: vec![super::latency::percentile(&mut times_ms, 50)], spent: all })
}

pub(super) fn remove(job: &Job) -> Result<Outcome> {
    let span = Span::begin(job)?;
    fs::remove_file(path(job))?;
    Ok(Outcome { figures: Vec::new(), spent: span.end()? })
}

fn read_all(job: &Job) -> Result<usize> {
    let mut file = File::open(path(job))?;
    let (mut buffer, mut all) = (vec![0; BLOCK_BYTES], 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        all += read;
    }
    ensure!(all == len_bytes(job), "{all} bytes were read");
    Ok(all)
}
