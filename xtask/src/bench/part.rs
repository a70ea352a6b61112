//! Benchmarks of one part: the options they share, and our figures from `freehold-measure`.
//!
//! That program is built and run apart, so that `./x` itself is built without the engine.

use crate::shell::{cargo, run, target};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Options of a benchmark of one part.
#[derive(Args)]
pub(crate) struct Options {
    /// Prints one JSON object on standard output.
    #[arg(long)]
    pub(super) json: bool,
    /// A tenth of the work: shows that it runs, not how fast.
    #[arg(long)]
    pub(super) quick: bool,
    /// Measures the programs people use today as well.
    #[arg(long)]
    pub(super) peers: bool,
}

impl Options {
    /// The end of a title.
    pub(super) const fn remark(&self) -> &'static str {
        if self.quick { ", quick: shows that it runs, not how fast" } else { "" }
    }
}

/// Our figures: builds the measuring program as it is released, and runs it.
pub(super) fn measure(what: &str, options: &Options, dir: &Path) -> Result<Value> {
    let build =
        ["build", "--locked", "--release", "--package", "freehold-engine", "--bin", "freehold-measure"];
    run(&mut cargo(&build)).context("building freehold-measure")?;
    let mut command = Command::new(target().join("release/freehold-measure"));
    command.arg(what).arg(dir);
    if options.quick {
        command.arg("--quick");
    }
    let output = command.stderr(Stdio::inherit()).output().context("could not start freehold-measure")?;
    if !output.status.success() {
        bail!("freehold-measure {what} failed ({})", output.status);
    }
    serde_json::from_slice(&output.stdout).context("freehold-measure printed something else than figures")
}

/// A folder for one benchmark, removed afterwards.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes it below `target/bench`, where everybody's files lie on one disk.
    pub(super) fn make(what: &str) -> Result<Self> {
        let path = target().join("bench").join(format!("{what}-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("could not create {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("bench: could not remove {}: {error}", self.0.display());
        }
    }
}
