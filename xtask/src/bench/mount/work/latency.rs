//! Single calls, each timed by itself.

use super::random::Random;
use super::span::Span;
use super::{Job, Outcome, small};
use anyhow::Result;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Instant;

const WRITE_BYTES: usize = 4096;

/// The file that is written to and synced, at full scale.
const FSYNC_FILE_BYTES: usize = 64 << 20;
const FSYNCS: usize = 2_000;

/// Median and 99th percentile in microseconds: of a 4 KiB write, of a stat, of an open.
///
/// The contender was mounted afresh, so each stat asks it; each open asks it anyway. Writes append to one file.
pub(super) fn each(job: &Job) -> Result<Outcome> {
    let paths = small::paths(job);
    let content = Random::of(job.seed).bytes(WRITE_BYTES);
    let (mut writes, mut stats, mut opens) = (Vec::new(), Vec::new(), Vec::new());
    let written = job.dir.join("latency");
    let span = Span::begin(job)?;
    for path in &paths {
        stats.push(timed(|| path.symlink_metadata().map(drop))?);
    }
    for path in &paths {
        let mut kept = None;
        opens.push(timed(|| File::open(path).map(|file| kept = Some(file)))?);
    }
    let mut file = File::create(&written)?;
    for _ in &paths {
        writes.push(timed(|| file.write_all(&content))?);
    }
    let spent = span.end()?;
    fs::remove_file(&written)?;
    let figures = [&mut writes, &mut stats, &mut opens];
    let figures = figures.into_iter().flat_map(|times| [percentile(times, 50), percentile(times, 99)]);
    Ok(Outcome { figures: figures.collect(), spent })
}

/// Median microseconds of the fsync behind a 4 KiB write at a random place.
pub(super) fn fsync(job: &Job) -> Result<Outcome> {
    let mut random = Random::of(job.seed);
    let len_bytes = job.scaled(FSYNC_FILE_BYTES) / WRITE_BYTES * WRITE_BYTES;
    let path = job.dir.join("fsync");
    fs::write(&path, random.bytes(len_bytes))?;
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    file.sync_all()?;
    let mut times = Vec::new();
    let span = Span::begin(job)?;
    for _ in 0..job.scaled(FSYNCS) {
        let content = random.bytes(WRITE_BYTES);
        let offset = random.below(len_bytes / WRITE_BYTES) * WRITE_BYTES;
        file.write_all_at(&content, offset as u64)?;
        times.push(timed(|| file.sync_all())?);
    }
    let spent = span.end()?;
    drop(file);
    fs::remove_file(&path)?;
    Ok(Outcome { figures: vec![percentile(&mut times, 50)], spent })
}

/// Microseconds of one call.
fn timed(call: impl FnOnce() -> std::io::Result<()>) -> std::io::Result<f64> {
    let begin = Instant::now();
    call()?;
    Ok(begin.elapsed().as_secs_f64() * 1e6)
}

/// The figure below which so many of a hundred lie.
pub(super) fn percentile(figures: &mut [f64], percent: usize) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) * percent / 100).copied().unwrap_or(f64::NAN)
}
