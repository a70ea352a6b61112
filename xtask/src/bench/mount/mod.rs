//! `./x bench mount`: the mounted vault beside the bare disk, a FUSE file system without cryptography, and gocryptfs.
//!
//! Everybody does the same work in a folder on the same disk. A run takes the contenders one after the other, each
//! started afresh in an empty folder and stopped before the next, and the runs follow each other: what drifts on the
//! machine drifts for all. A contender goes through its passes (`rows`, `measure`): with nothing to be sent, pinned to
//! one processor, and, for ours, with uploads in the background (`load`). The work of each row is done by a process of
//! its own (`work`). Nothing is asserted: bars and goals stand beside the figures.

mod chart;
mod load;
mod machine;
mod measure;
mod pin;
mod results;
mod rows;
mod source_tree;
mod system;
mod table;
mod work;

use super::part::Folder;
use crate::build;
use crate::rings::Rings;
use crate::shell::{cargo, run as run_command, target};
use anyhow::{Context, Result, ensure};
use clap::Args;
use machine::Machine;
use measure::{Plan, Session};
use results::Results;
use rows::Name;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use system::Programs;

pub(super) use work::{Job, run as do_work};

/// Options of the benchmark of the mount.
#[derive(Args)]
pub(crate) struct Options {
    /// Prints one JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// One run with a tenth of the work: shows that it runs, not how fast.
    #[arg(long)]
    quick: bool,
    /// Measures a FUSE file system without cryptography, and gocryptfs, as well.
    #[arg(long)]
    peers: bool,
    /// Measures the programs in this folder instead of building them.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Measures only rows whose name holds one of these words.
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    rows: Vec<String>,
    /// Draws the ratios to gocryptfs into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Runs of everything; the middle one counts [default: 3, with --quick 1].
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
}

/// Runs everybody and prints the table.
pub(super) fn run(options: &Options) -> Result<()> {
    // At once, not after half an hour.
    measure::drop_caches()?;
    let names: &[Name] = if options.peers {
        &[
            Name::Freehold,
            Name::FreeholdByDevice,
            Name::Raw,
            Name::Passthrough,
            Name::Gocryptfs,
            Name::GocryptfsXchacha,
        ]
    } else {
        &[Name::Freehold, Name::Raw]
    };
    let programs = programs(options)?;
    let rings = Rings::borrow();
    let runs = options.runs.unwrap_or(if options.quick { 1 } else { 3 });
    ensure!(runs > 0, "no runs, no figures");
    let (begin, machine, mut results) = (Instant::now(), Machine::watch()?, Results::default());
    let dir = Folder::make("mount")?;
    let tar = dir.path().join("tree.tar");
    source_tree::write(&tar, options.quick)?;
    for number in 0..runs {
        for name in names {
            eprintln!("bench: run {} of {runs}, {} s", number + 1, begin.elapsed().as_secs());
            let plan =
                Plan { is_tenth: options.quick, words: &options.rows, tar: &tar, is_first_run: number == 0 };
            rings.turn(*name != Name::FreeholdByDevice)?;
            take(&plan, *name, &programs, dir.path(), &mut results).with_context(|| name.text())?;
        }
        results.share_of_others = machine.share_of_others()?;
        let title = title(options, number + 1, begin);
        if let Some(file) = &options.svg {
            fs::write(file, chart::svg(&title, &results))
                .with_context(|| format!("could not write {}", file.display()))?;
        }
        match (number + 1 == runs, options.json) {
            // Whoever stops it early has what there is.
            (false, _) => eprint!("{}", table::text(&title, names, &results)),
            (true, true) => println!("{}", table::json(&title, names, &results)),
            (true, false) => print!("{}", table::text(&title, names, &results)),
        }
    }
    Ok(())
}

/// Starts one contender in a folder of its own, measures it, and removes the folder.
fn take(plan: &Plan<'_>, name: Name, programs: &Programs, dir: &Path, results: &mut Results) -> Result<()> {
    let dir = dir.join(name.text());
    fs::create_dir(&dir)?;
    let system = system::start(name, programs, &dir)?;
    let seed =
        u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() % u128::from(u64::MAX))?;
    let measured = Session::of(plan, name, system, results, seed).measure();
    // The session is over, and with it the mount: this removes files of the disk only.
    let removed = fs::remove_dir_all(&dir).with_context(|| format!("could not remove {}", dir.display()));
    // The disk is told of freed blocks when the journal is written: that is not the next one's cost.
    measured.and(removed).and(measure::drop_caches())
}

/// Builds what is measured, as it is released.
fn programs(options: &Options) -> Result<Programs> {
    let freehold = match &options.programs {
        Some(dir) => dir.clone(),
        None => build::released().context("building the programs")?,
    };
    let passthrough = "freehold-passthrough";
    if options.peers {
        let build = ["build", "--locked", "--release", "--package", "freehold-tests", "--bin", passthrough];
        run_command(&mut cargo(&build)).context("building the passthrough")?;
    }
    Ok(Programs { freehold, passthrough: target().join("release").join(passthrough) })
}

fn title(options: &Options, runs: usize, begin: Instant) -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let gocryptfs = Command::new("gocryptfs").arg("-version").output().ok().filter(|_| options.peers);
    let gocryptfs = gocryptfs.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let gocryptfs = gocryptfs.as_deref().and_then(|text| text.split(';').next()).unwrap_or_default();
    format!(
        "mount: median of {runs}, {processors} processors, Linux {}{}{gocryptfs}, {} s{}",
        kernel.trim(),
        if gocryptfs.is_empty() { "" } else { ", " },
        begin.elapsed().as_secs(),
        if options.quick { ", quick: shows that it runs, not how fast" } else { "" }
    )
}
