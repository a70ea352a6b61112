//! House style where a machine can check it; CONTRIBUTING.md says the rest.
//!
//! Every breach is printed with file and line, all at once.

use crate::shell::root;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of a source file without its tests; longer files hold more than one noun.
const FILE_LINES_MAX: usize = 600;

/// Words that say a place is not finished. Spelt in halves, so that this file passes its own check.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
];

/// Checks every tracked or new file.
pub(crate) fn run() -> Result<()> {
    let files = tracked()?;
    let mut breaches = Vec::new();
    for file in &files {
        let Ok(text) = std::fs::read_to_string(root().join(file)) else { continue };
        check(file, &text, &mut breaches);
    }
    if breaches.is_empty() {
        println!("tidy: {} files, no breach", files.len());
        return Ok(());
    }
    for breach in &breaches {
        eprintln!("tidy: {breach}");
    }
    bail!("{} breaches of house style; CONTRIBUTING.md says why each rule stands", breaches.len())
}

/// Files git knows or would add.
fn tracked() -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned())).collect())
}

fn check(file: &Path, text: &str, breaches: &mut Vec<String>) {
    let mut say = |line: usize, what: &str| breaches.push(format!("{}:{line}: {what}", file.display()));
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let source = matches!(extension, "rs" | "c" | "h" | "sh" | "ts" | "svelte" | "sql" | "toml")
        || file == Path::new("x");
    if source {
        for (index, line) in text.lines().enumerate() {
            if let Some(word) = UNFINISHED.iter().find(|word| line.contains(**word)) {
                say(index + 1, &format!("`{word}` says this is not finished"));
            }
            if line.ends_with([' ', '\t']) {
                say(index + 1, "blanks at the end of the line");
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            say(text.lines().count(), "no newline at the end of the file");
        }
    }
    match extension {
        "rs" => check_rust(file, text, &mut say),
        "toml" if file.file_name().is_some_and(|name| name == "Cargo.toml") => {
            check_manifest(file, text, &mut say)
        }
        _ => {}
    }
}

fn check_rust(file: &Path, text: &str, say: &mut impl FnMut(usize, &str)) {
    if !text.starts_with("//!") {
        say(1, "the first line says what the module is (`//!`)");
    }
    let is_test = file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
    let shipped = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().lines().count();
    if !is_test && shipped > FILE_LINES_MAX {
        say(FILE_LINES_MAX, &format!("{shipped} lines without tests: one noun or one operation a file"));
    }
    for (index, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if code.starts_with("#[allow(") || code.starts_with("#![allow(") {
            say(index + 1, "`#[expect(.., reason = \"..\")]`, not `allow`");
        }
        if code.starts_with("#[ignore") {
            say(index + 1, "an ignored test asserts nothing");
        }
        if code.starts_with("fn test_") {
            say(index + 1, "test names are claims, without `test_`");
        }
    }
}

fn check_manifest(file: &Path, text: &str, say: &mut impl FnMut(usize, &str)) {
    if file == Path::new("Cargo.toml") {
        return;
    }
    if !text.contains("[lints]\nworkspace = true") {
        say(1, "inherits the workspace lints");
    }
    let mut dependencies = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            dependencies = line.contains("dependencies");
        } else if dependencies
            && line.contains('=')
            && (!line.contains("workspace = true") || line.contains("version ="))
        {
            say(index + 1, "versions only in the root manifest");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(file: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        check(Path::new(file), text, &mut found);
        found
    }

    #[test]
    fn a_clean_file_passes() {
        assert_eq!(breaches("core/x/src/a.rs", "//! What it is.\n\nfn one() {}\n"), Vec::<String>::new());
    }

    #[test]
    fn each_rule_bites() {
        for (file, text) in [
            ("a/src/a.rs", "fn undocumented() {}\n"),
            ("a/src/a.rs", "//! Doc.\n#[allow(dead_code)]\nfn a() {}\n"),
            ("a/src/a.rs", concat!("//! Doc.\nfn a() { todo", "!() }\n")),
            ("a/src/a.rs", "//! Doc.\nfn a() {} \n"),
            ("a/src/a.rs", "//! Doc."),
            ("a/src/a.rs", "//! Doc.\n#[ignore]\nfn a() {}\n"),
            ("a/src/a.rs", &format!("//! Doc.\n{}", "// line\n".repeat(600))),
            ("a/Cargo.toml", "[lints]\nworkspace = true\n\n[dependencies]\nserde = \"1\"\n"),
            ("a/Cargo.toml", "[dependencies]\nserde.workspace = true\n"),
        ] {
            assert_eq!(breaches(file, text).len(), 1, "{file}: {text:.60}");
        }
    }
}
