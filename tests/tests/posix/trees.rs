//! A few hundred files of real source code with everything odd beside them, to be stored, copied and compared.

use anyhow::{Context, Result, ensure};
use freehold_tests::{add_oddities, is_long, real_tree};
use std::path::Path;

/// Fills a folder outside the mount.
pub(crate) fn source(folder: &Path) -> Result<usize> {
    let (files, large) = if is_long() { (4_000, 64 << 20) } else { (300, 3 << 20) };
    let files = real_tree(folder, files).context("the sources of the dependencies")?;
    add_oddities(folder, large)?;
    ensure!(files >= 300, "only {files} files");
    Ok(files)
}
