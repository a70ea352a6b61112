//! Builds every program into `target/dist/bin`: the daemons by cargo, the CLI by meson.

use crate::shell::{cargo, dist_bin, root, run, target};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// The programs cargo builds.
const DAEMONS: [&str; 3] = ["freehold-clientd", "freehold-server", "freehold-storaged"];

/// Builds all programs and returns the folder they are in.
pub(crate) fn all() -> Result<PathBuf> {
    let bin = dist_bin();
    std::fs::create_dir_all(&bin).with_context(|| format!("could not create {}", bin.display()))?;
    let packages = DAEMONS.iter().flat_map(|name| ["--package", name]);
    run(cargo(&["build", "--locked", "--profile", "ci"]).args(packages))?;
    for name in DAEMONS {
        install(&target().join("ci").join(name), name)?;
    }
    cli()?;
    Ok(bin)
}

fn cli() -> Result<()> {
    let build = target().join("cli-c");
    if !build.join("build.ninja").exists() {
        run(Command::new("meson").args(["setup", "--buildtype=release"]).arg(&build).arg("cli-c"))?;
    }
    run(Command::new("meson").args(["compile", "-C"]).arg(&build))?;
    install(&build.join("freehold"), "freehold")
}

/// Copies beside the target and renames over it, so that a running program keeps its own file.
fn install(from: &std::path::Path, name: &str) -> Result<()> {
    let to = dist_bin().join(name);
    let new = dist_bin().join(format!(".{name}.new"));
    std::fs::copy(from, &new)
        .and_then(|_| std::fs::rename(&new, &to))
        .with_context(|| format!("could not install {} as {}", from.display(), to.display()))?;
    debug_assert!(to.starts_with(root()));
    Ok(())
}
