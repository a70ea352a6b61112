//! Every check and suite, in the order that fails soonest, with a time beside each.
//!
//! `./x test` stops at the first failure; `--only` runs the steps whose name holds a word.

use crate::rings::Rings;
use crate::shell::{cargo, run as command, target};
use crate::{arch, build, tidy, tools};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::process::Command;
use std::time::Instant;

/// Options of `./x test`.
#[derive(Args)]
pub(crate) struct Options {
    /// Runs only the steps whose name holds this word.
    #[arg(long, value_name = "WORD")]
    only: Option<String>,
    /// Runs the long forms too: more rounds, more seeds, more fuzzing.
    #[arg(long)]
    long: bool,
}

type Step = (&'static str, fn(&Options) -> Result<()>);

/// The crates that must build for browsers as well.
const PURE: [&str; 5] =
    ["freehold-model", "freehold-trust", "freehold-crypto", "freehold-vault", "freehold-api"];

/// Private items are documented too, so a link to one is no mistake.
const RUSTDOC_FLAGS: &str = "-D warnings -A rustdoc::private_intra_doc_links";

const STEPS: [Step; 10] = [
    ("format", |_| command(&mut cargo(&["fmt", "--all", "--check"]))),
    ("tidy", |_| tidy::run()),
    ("arch", |_| arch::run()),
    ("lint", |_| lint()),
    ("unit", |_| unit()),
    ("docs", |_| docs()),
    ("wasm", |_| wasm()),
    ("cli", |_| cli()),
    ("build", |_| build::all().map(drop)),
    ("scenarios", scenarios),
];

/// Runs the steps.
pub(crate) fn run(options: &Options) -> Result<()> {
    let wanted = |name: &str| options.only.as_ref().is_none_or(|word| name.contains(word.as_str()));
    let chosen: Vec<Step> = STEPS.into_iter().filter(|(name, _)| wanted(name)).collect();
    if chosen.is_empty() {
        bail!("no step is called that; there are: {}", STEPS.map(|(name, _)| name).join(", "));
    }
    let rings = Rings::borrow();
    if let Err(error) = rings.turn(true) {
        println!("mounts are tested through /dev/fuse alone: {error:#}");
    }
    let begin = Instant::now();
    let mut summary = String::new();
    for (index, (name, step)) in chosen.iter().enumerate() {
        println!("== [{}/{}] {name}", index + 1, chosen.len());
        let start = Instant::now();
        step(options).with_context(|| format!("step `{name}`"))?;
        summary.push_str(&format!("   {name:<10} {:>5} s\n", start.elapsed().as_secs()));
    }
    println!("== all green in {} s\n{summary}", begin.elapsed().as_secs());
    Ok(())
}

fn lint() -> Result<()> {
    command(
        cargo(&[
            "clippy",
            "--locked",
            "--profile",
            "ci",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
        .env("CLIPPY_CONF_DIR", crate::shell::root()),
    )
}

fn unit() -> Result<()> {
    command(&mut cargo(&[
        "test",
        "--locked",
        "--profile",
        "ci",
        "--workspace",
        "--exclude",
        "freehold-tests",
    ]))?;
    // Mounts once more, by the transport they did not use above.
    let mounts = ["test", "--locked", "--profile", "ci", "--package", "freehold-vfs", "--test", "mount"];
    command(cargo(&mounts).env("FREEHOLD_TEST_CLASSIC", "1"))
}

fn docs() -> Result<()> {
    command(
        cargo(&[
            "doc",
            "--locked",
            "--profile",
            "ci",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ])
        .env("RUSTDOCFLAGS", RUSTDOC_FLAGS),
    )
}

fn wasm() -> Result<()> {
    let packages = PURE.iter().flat_map(|name| ["--package", name]);
    command(
        cargo(&["check", "--locked", "--profile", "ci", "--target", "wasm32-unknown-unknown"]).args(packages),
    )
}

/// The C CLI with AddressSanitizer and UndefinedBehaviorSanitizer.
fn cli() -> Result<()> {
    let dir = target().join("cli-c-sanitized");
    if !dir.join("build.ninja").exists() {
        let setup = ["setup", "--buildtype=debug", "-Db_sanitize=address,undefined", "-Db_lundef=false"];
        command(Command::new("meson").args(setup).arg(&dir).arg("cli-c"))?;
    }
    command(Command::new("meson").args(["compile", "-C"]).arg(&dir))?;
    command(Command::new("meson").args(["test", "--print-errorlogs", "-C"]).arg(&dir))
}

fn scenarios(options: &Options) -> Result<()> {
    tools::install()?;
    let mut test = cargo(&["test", "--locked", "--profile", "ci", "--package", "freehold-tests"]);
    if options.long {
        test.env("FREEHOLD_TEST_LONG", "1");
    }
    // One scenario at a time: they mount file systems and start programs on two cores.
    command(test.args(["--", "--nocapture", "--test-threads=1"]))
}
