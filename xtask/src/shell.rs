//! Running other programs, and where the checkout is.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The top of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where the finished programs are: always inside the checkout, whatever cargo's target is.
pub(crate) fn dist_bin() -> PathBuf {
    root().join("target/dist/bin")
}

/// Runs a command in the checkout and fails with its name when it fails.
///
/// What it prints goes to standard error: our standard output is for answers, such as `up --json`.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = describe(command);
    command.stdout(std::io::stderr());
    let status = command.current_dir(root()).status().with_context(|| format!("could not start `{name}`"))?;
    if !status.success() {
        bail!("`{name}` failed ({status})");
    }
    Ok(())
}

/// A cargo command that uses the same cargo as the one running us.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}
