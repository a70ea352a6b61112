//! The file-system suites from crates.io that scenarios run on the mount, installed into target/tools.

use crate::shell::{cargo, root, run};
use anyhow::{Context, Result};

/// Names and versions. Another version may test other things: the results in docs/posix.md are these ones'.
const SUITES: [(&str, &str); 2] = [("fsx", "0.3.2"), ("pjdfstest", "0.2.2")];

/// Installs what is missing.
pub(crate) fn install() -> Result<()> {
    let tools = root().join("target/tools");
    // Where cargo notes what it installed; asking cargo itself would ask the registry.
    let notes = std::fs::read_to_string(tools.join(".crates.toml")).unwrap_or_default();
    for (name, version) in SUITES {
        if notes.contains(&format!("\"{name} {version} ")) && tools.join("bin").join(name).exists() {
            continue;
        }
        run(cargo(&["install", "--locked", "--version", version, "--root"]).arg(&tools).arg(name))
            .with_context(|| format!("install the suite {name}"))?;
    }
    Ok(())
}
