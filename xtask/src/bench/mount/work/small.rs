//! Many small files, and one folder with very many names.

use super::random::Random;
use super::span::Span;
use super::{Job, Outcome};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;

/// Files at full scale.
const FILES: usize = 10_000;
const PER_FOLDER: usize = 100;
const FILE_BYTES: usize = 4096;

/// Names below the folder that is renamed, at full scale.
const MANY: usize = 100_000;
const MANY_PER_FOLDER: usize = 1_000;

/// Renames of that folder; the middle one counts.
const RENAMES: usize = 7;

/// The path of each small file.
pub(super) fn paths(job: &Job) -> Vec<PathBuf> {
    let top = job.dir.join("small");
    (0..job.scaled(FILES)).map(|number| top.join(format!("{}/{number}", number / PER_FOLDER))).collect()
}

fn rate(files: usize, span: Span<'_>) -> Result<Outcome> {
    let spent = span.end()?;
    Ok(Outcome { figures: vec![files as f64 / spent.seconds], spent })
}

pub(super) fn create(job: &Job) -> Result<Outcome> {
    let paths = paths(job);
    let contents = Random::of(job.seed).bytes(paths.len() * FILE_BYTES);
    let top = job.dir.join("small");
    let span = Span::begin(job)?;
    fs::create_dir(&top)?;
    for (number, (path, content)) in paths.iter().zip(contents.chunks(FILE_BYTES)).enumerate() {
        if number % PER_FOLDER == 0 {
            fs::create_dir(top.join((number / PER_FOLDER).to_string()))?;
        }
        OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content)?;
    }
    rate(paths.len(), span)
}

pub(super) fn stat(job: &Job) -> Result<Outcome> {
    let paths = paths(job);
    let span = Span::begin(job)?;
    for path in &paths {
        let len_bytes = path.symlink_metadata()?.len();
        ensure!(len_bytes == FILE_BYTES as u64, "a file of {len_bytes} bytes");
    }
    rate(paths.len(), span)
}

pub(super) fn read(job: &Job) -> Result<Outcome> {
    let paths = paths(job);
    let mut buffer = vec![0; FILE_BYTES + 1];
    let span = Span::begin(job)?;
    for path in &paths {
        let read = File::open(path)?.read(&mut buffer)?;
        ensure!(read == FILE_BYTES, "a file of {read} bytes");
    }
    rate(paths.len(), span)
}

pub(super) fn rename(job: &Job) -> Result<Outcome> {
    let pairs: Vec<_> = paths(job).into_iter().map(|path| (path.with_extension("renamed"), path)).collect();
    let span = Span::begin(job)?;
    for (to, from) in &pairs {
        fs::rename(from, to)?;
    }
    rate(pairs.len(), span)
}

/// Deletes the files, renamed or not.
pub(super) fn delete(job: &Job) -> Result<Outcome> {
    let mut paths = paths(job);
    if !paths.first().context("no files")?.try_exists()? {
        for path in &mut paths {
            path.set_extension("renamed");
        }
    }
    let top = job.dir.join("small");
    let span = Span::begin(job)?;
    for path in &paths {
        fs::remove_file(path)?;
    }
    for number in 0..paths.len() / PER_FOLDER {
        fs::remove_dir(top.join(number.to_string()))?;
    }
    fs::remove_dir(&top)?;
    rate(paths.len(), span)
}

pub(super) fn make_many(job: &Job) -> Result<Outcome> {
    let top = job.dir.join("many");
    let span = Span::begin(job)?;
    for folder in 0..job.scaled(MANY) / MANY_PER_FOLDER {
        let folder = top.join(folder.to_string());
        fs::create_dir_all(&folder)?;
        for number in 0..MANY_PER_FOLDER {
            File::create(folder.join(number.to_string()))?;
        }
    }
    Ok(Outcome { figures: Vec::new(), spent: span.end()? })
}

pub(super) fn rename_many(job: &Job) -> Result<Outcome> {
    let (mut from, mut to) = (job.dir.join("many"), job.dir.join("many-renamed"));
    let (mut all, mut times_ms) = (super::Spent::default(), Vec::new());
    for _ in 0..RENAMES {
        let span = Span::begin(job)?;
        fs::rename(&from, &to)?;
        let spent = span.end()?;
        times_ms.push(spent.seconds * 1e3);
        all = all + spent;
        std::mem::swap(&mut from, &mut to);
    }
    // An odd number of times: back to the first name for whoever comes next.
    fs::rename(&from, &to)?;
    Ok(Outcome { figures: vec![super::latency::percentile(&mut times_ms, 50)], spent: all })
}
