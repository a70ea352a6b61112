//! Trees to keep in a vault: real source code, and everything odd a file system allows.

use crate::daemon::root;
use anyhow::{Context, Result};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Copies real source code to `to`: this project's dependencies, as cargo has them on disk, until there are
/// `files` files. Returns how many files were copied.
///
/// # Errors
/// When cargo does not know them, or there are fewer.
pub fn real_tree(to: &Path, files: usize) -> Result<usize> {
    fs::create_dir_all(to)?;
    let mut copied = 0;
    for package in packages()? {
        let name = package.file_name().context("a package folder has a name")?;
        let status = Command::new("cp").arg("-a").arg(&package).arg(to.join(name)).status()?;
        anyhow::ensure!(status.success(), "cp -a {}", package.display());
        copied += walkdir::WalkDir::new(&package)
            .into_iter()
            .flatten()
            .filter(|entry| entry.file_type().is_file())
            .count();
        if copied >= files {
            return Ok(copied);
        }
    }
    anyhow::bail!("the dependencies have only {copied} files")
}

/// Copies a folder with everything in it, as `cp -a` does.
///
/// # Errors
/// When `cp` fails.
pub fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    anyhow::ensure!(status.success(), "cp -a {}", from.display());
    Ok(())
}

/// The names in a folder.
///
/// # Errors
/// When it cannot be read.
pub fn entries_of(folder: &Path) -> Result<Vec<std::ffi::OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// The folders of all dependencies, in the lock file's order.
fn packages() -> Result<Vec<PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let outside = packages.iter().filter(|package| !package["source"].is_null());
    Ok(outside
        .filter_map(|package| Path::new(package["manifest_path"].as_str()?).parent().map(Path::to_path_buf))
        .collect())
}

/// Adds what real trees rarely have: odd names, links, bits, attributes, times, an empty file and a large one.
///
/// # Errors
/// When the file system below refuses one of them.
pub fn add_oddities(dir: &Path, large_bytes: usize) -> Result<()> {
    let odd = dir.join("odd");
    fs::create_dir_all(odd.join("deep/er/and/deeper"))?;
    for (index, name) in names().iter().enumerate() {
        fs::write(odd.join(OsStr::from_bytes(name)), format!("content {index}"))?;
    }
    File::create(odd.join("empty"))?;
    fs::create_dir(odd.join("empty folder"))?;
    fs::write(odd.join("run me"), "#!/bin/sh\n")?;
    fs::set_permissions(odd.join("run me"), fs::Permissions::from_mode(0o755))?;
    fs::write(odd.join("secret"), "only for me")?;
    fs::set_permissions(odd.join("secret"), fs::Permissions::from_mode(0o400))?;
    fs::set_permissions(odd.join("deep/er"), fs::Permissions::from_mode(0o750))?;
    symlink("../odd/run me", odd.join("link"))?;
    symlink("nowhere/at all", odd.join("dangling"))?;
    symlink(OsStr::from_bytes(&[b'x'; 4_000]), odd.join("long link"))?;
    fs::hard_link(odd.join("run me"), odd.join("deep/er/same file"))?;
    fs::hard_link(odd.join("run me"), odd.join("deep/er/and/third name"))?;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        odd.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o640),
        0,
    )?;
    attributes(&odd)?;
    times(&odd)?;
    for (name, len) in
        [("one", 1), ("inline limit", 2048), ("over inline", 2049), ("one chunk", 65_536), ("two", 65_537)]
    {
        fs::write(odd.join(name), pseudo_random(len as u64, len))?;
    }
    let mut large = BufWriter::new(File::create(odd.join("large.bin"))?);
    for block in 0..large_bytes.div_ceil(1 << 20) {
        let len = (large_bytes - (block << 20)).min(1 << 20);
        large.write_all(&pseudo_random(block as u64 + 77, len))?;
    }
    large.flush()?;
    sparse(&odd.join("sparse"))
}

fn names() -> Vec<Vec<u8>> {
    vec![
        "grüße, 世界 🌍.txt".as_bytes().to_vec(),
        b"line\nbreak".to_vec(),
        b"not \xff\xfe utf-8".to_vec(),
        b" leading and trailing ".to_vec(),
        b"-rf".to_vec(),
        b"*?\"'\\$`|;&<>".to_vec(),
        b".hidden".to_vec(),
        b"...".to_vec(),
        vec![b'n'; 255],
        "é".repeat(127).into_bytes(),
        b"\x01\x02\x7f".to_vec(),
    ]
}

fn attributes(odd: &Path) -> Result<()> {
    use rustix::fs::{XattrFlags, setxattr};
    setxattr(odd.join("run me"), "user.comment", b"kept with the file", XattrFlags::empty())?;
    setxattr(odd.join("run me"), "user.empty", b"", XattrFlags::empty())?;
    setxattr(odd.join("secret"), "user.binary", &pseudo_random(9, 1_000), XattrFlags::empty())?;
    setxattr(odd.join("deep"), "user.on a folder", b"too", XattrFlags::empty())?;
    Ok(())
}

fn times(odd: &Path) -> Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let rows = [
        ("empty", 0, 0),
        ("one chunk-time", 4_102_444_800, 123_456_789),
        ("link", 1_000_000_000, 999_999_999),
    ];
    for (name, seconds, nanos) in rows {
        let path = odd.join(name);
        if path.symlink_metadata().is_err() {
            fs::write(&path, "dated")?;
        }
        let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
        let both = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, &path, &both, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

fn sparse(path: &Path) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let file = File::create(path)?;
    file.write_all_at(b"begin", 0)?;
    file.write_all_at(b"middle", 3 << 20)?;
    file.set_len(5 << 20)?;
    Ok(())
}

/// `len` bytes that look random and are the same for one seed: a xorshift generator (Marsaglia, 2003).
#[must_use]
pub fn pseudo_random(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
    }
    bytes.truncate(len);
    bytes
}
