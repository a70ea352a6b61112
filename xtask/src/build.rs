//! Builds every program into `target/dist/bin`, or released ones for measuring: the daemons by cargo, the CLI by meson.

use crate::shell::{cargo, dist_bin, run, target};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs cargo builds.
const DAEMONS: [&str; 3] = ["freehold-clientd", "freehold-server", "freehold-storaged"];

/// Builds all programs and returns the folder they are in.
pub(crate) fn all() -> Result<PathBuf> {
    let bin = dist_bin();
    build("ci", &bin)?;
    Ok(bin)
}

/// Builds all programs as they are released, for measuring, and returns the folder they are in.
pub(crate) fn released() -> Result<PathBuf> {
    let bin = target().join("bench/bin");
    build("release", &bin)?;
    Ok(bin)
}

fn build(profile: &str, bin: &Path) -> Result<()> {
    std::fs::create_dir_all(bin).with_context(|| format!("could not create {}", bin.display()))?;
    let packages = DAEMONS.iter().flat_map(|name| ["--package", name]);
    run(cargo(&["build", "--locked", "--profile", profile]).args(packages))?;
    for name in DAEMONS {
        install(&target().join(profile).join(name), bin, name)?;
    }
    cli(bin)
}

fn cli(bin: &Path) -> Result<()> {
    let build = target().join("cli-c");
    if !build.join("build.ninja").exists() {
        run(Command::new("meson").args(["setup", "--buildtype=release"]).arg(&build).arg("cli-c"))?;
    }
    run(Command::new("meson").args(["compile", "-C"]).arg(&build))?;
    install(&build.join("freehold"), bin, "freehold")
}

/// Copies beside the target and renames over it, so that a running program keeps its own file.
fn install(from: &Path, bin: &Path, name: &str) -> Result<()> {
    let to = bin.join(name);
    let new = bin.join(format!(".{name}.new"));
    std::fs::copy(from, &new)
        .and_then(|_| std::fs::rename(&new, &to))
        .with_context(|| format!("could not install {} as {}", from.display(), to.display()))?;
    Ok(())
}
