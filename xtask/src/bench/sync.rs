//! `./x bench sync`: two mounted devices against two Syncthings, one after the other on an otherwise idle machine.
//!
//! Everybody's files lie below `target/bench` on one disk and every connection is on loopback. Syncthing runs twice:
//! as it comes, and with the shortest delay it takes, because its delay decides its latency.

use super::Options;
use super::contender::Contender;
use super::freehold::Freehold;
use super::report::{Better, Report, Row, Target};
use super::syncthing::{Delay, Syncthing};
use super::work::{Measured, Scale, measure};
use crate::build;
use crate::shell::target;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The kinds of row: name, unit, target and the figure.
type Kind = (&'static str, &'static str, Option<Target>, fn(&Measured) -> f64);

/// What the issue asks for stands beside what is measured; `None` where only the comparison counts.
const KINDS: [Kind; 8] = [
    ("latency_1kib_p50", "s", Some(Target::AtMost(0.2)), |measured| measured.latency_p50),
    ("latency_1kib_p95", "s", None, |measured| measured.latency_p95),
    ("large_file", "s", Some(Target::Times(1.0)), |measured| measured.large),
    ("large_file_cpu", "CPU s", None, |measured| measured.large_cpu),
    ("small_files", "s", Some(Target::AtMost(5.0)), |measured| measured.small),
    ("small_files_with_writing", "s", None, |measured| measured.small_whole),
    ("small_files_cpu", "CPU s", None, |measured| measured.small_cpu),
    ("peak_rss", "MiB", None, |measured| measured.peak_rss_mib),
];

/// Runs everybody and prints the table.
pub(super) fn run(options: &Options) -> Result<()> {
    let say = |line: &str| eprintln!("bench: {line}");
    let programs = match &options.programs {
        Some(dir) => dir.clone(),
        None => build::released().context("building the programs")?,
    };
    let scale = if options.quick { Scale::QUICK } else { Scale::FULL };
    let mut columns = Vec::new();
    let mut take = |start: &dyn Fn(&Path) -> Result<Box<dyn Contender>>| -> Result<()> {
        let dir = Folder::make()?;
        let contender = start(&dir.0)?;
        columns.push((contender.name(), measure(&*contender, scale, &say)?));
        Ok(())
    };
    take(&|dir| Ok(Box::new(Freehold::start(&programs, dir, &["a", "b"])?))).context("freehold")?;
    if !options.alone {
        for delay in [Delay::Default, Delay::OneSecond] {
            take(&|dir| Ok(Box::new(Syncthing::start(delay, dir)?))).context("syncthing")?;
        }
    }
    let names = columns.iter().map(|(name, _)| *name).collect();
    let rows = KINDS.map(|(name, unit, target, figure)| Row {
        name: name.to_owned(),
        unit,
        better: Better::Less,
        target,
        figures: columns.iter().map(|(_, measured)| figure(measured)).collect(),
    });
    let title = format!(
        "sync: {} MiB file, {} small files{}",
        scale.large_bytes >> 20,
        scale.small_files,
        if options.quick { ", quick: shows that it runs, not how fast" } else { "" }
    );
    Report { title, names, rows: rows.into() }.print(options.json);
    Ok(())
}

/// A folder for one contender, removed afterwards.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self> {
        let path = target().join("bench").join(format!("sync-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("could not create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("bench: could not remove {}: {error}", self.0.display());
        }
    }
}
