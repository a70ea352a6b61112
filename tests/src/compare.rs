//! Whether two trees are the same: names, kinds, contents, and every piece of metadata that travels.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// One thing that is not the same, by relative path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub what: String,
}

/// Compares two trees.
///
/// # Panics
/// With the first differences when there are any.
pub fn assert_same(expected: &Path, actual: &Path) {
    let found = differences(expected, actual).unwrap_or_else(|error| panic!("comparing failed: {error:#}"));
    let first: Vec<_> = found.iter().take(10).collect();
    assert!(found.is_empty(), "{} differences, the first: {first:#?}", found.len());
}

/// Everything in which `actual` differs from `expected`.
///
/// # Errors
/// When a tree cannot be read.
pub fn differences(expected: &Path, actual: &Path) -> Result<Vec<Difference>> {
    let (left, right) = (entries(expected)?, entries(actual)?);
    let mut found = Vec::new();
    let names: BTreeSet<&PathBuf> = left.keys().chain(right.keys()).collect();
    for name in names {
        let mut say = |what: String| found.push(Difference { path: name.clone(), what });
        match (left.get(name), right.get(name)) {
            (Some(a), Some(b)) => compare(&expected.join(name), a, &actual.join(name), b, &mut say)?,
            (Some(_), None) => say("missing".into()),
            _ => say("should not be there".into()),
        }
    }
    for group in hard_links(&left).symmetric_difference(&hard_links(&right)) {
        let path = group.first().cloned().unwrap_or_default();
        found.push(Difference { path, what: format!("hard links differ: {group:?}") });
    }
    Ok(found)
}

fn entries(top: &Path) -> Result<BTreeMap<PathBuf, Metadata>> {
    let mut entries = BTreeMap::new();
    for entry in walkdir::WalkDir::new(top).min_depth(1) {
        let entry = entry?;
        entries.insert(entry.path().strip_prefix(top)?.to_owned(), entry.path().symlink_metadata()?);
    }
    Ok(entries)
}

/// Groups of paths that are one file.
fn hard_links(entries: &BTreeMap<PathBuf, Metadata>) -> BTreeSet<Vec<PathBuf>> {
    let mut groups: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
    for (path, meta) in entries.iter().filter(|(_, meta)| meta.is_file() && meta.nlink() > 1) {
        groups.entry(meta.ino()).or_default().push(path.clone());
    }
    groups.into_values().collect()
}

fn compare(a: &Path, am: &Metadata, b: &Path, bm: &Metadata, say: &mut impl FnMut(String)) -> Result<()> {
    if kind(am) != kind(bm) {
        say(format!("is a {} instead of a {}", kind(bm), kind(am)));
        return Ok(());
    }
    let mut same = |what: &str, left: String, right: String| {
        if left != right {
            say(format!("{what} is {right} instead of {left}"));
        }
    };
    same("mode", format!("{:o}", am.mode()), format!("{:o}", bm.mode()));
    same("owner", format!("{}:{}", am.uid(), am.gid()), format!("{}:{}", bm.uid(), bm.gid()));
    let time = |meta: &Metadata| format!("{}.{:09}", meta.mtime(), meta.mtime_nsec());
    same("mtime", time(am), time(bm));
    if !am.is_dir() {
        same("link count", am.nlink().to_string(), bm.nlink().to_string());
    }
    if am.is_file() || am.is_symlink() {
        same("size", am.size().to_string(), bm.size().to_string());
    }
    if am.is_symlink() {
        same("target", format!("{:?}", fs::read_link(a)?), format!("{:?}", fs::read_link(b)?));
    } else {
        same("attributes", format!("{:?}", xattrs(a)?), format!("{:?}", xattrs(b)?));
    }
    if am.is_file() && am.size() == bm.size() && !same_bytes(a, b)? {
        say("content differs".into());
    }
    Ok(())
}

fn kind(meta: &Metadata) -> &'static str {
    let kind = meta.file_type();
    match () {
        () if kind.is_dir() => "folder",
        () if kind.is_file() => "file",
        () if kind.is_symlink() => "symlink",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () => "device",
    }
}

fn xattrs(path: &Path) -> Result<BTreeMap<OsString, Vec<u8>>> {
    use std::os::unix::ffi::OsStringExt;
    let mut names = vec![0; 65_536];
    let len =
        rustix::fs::llistxattr(path, &mut names).with_context(|| format!("listxattr {}", path.display()))?;
    names.truncate(len);
    let mut all = BTreeMap::new();
    for name in names.split(|byte| *byte == 0).filter(|name| name.starts_with(b"user.")) {
        let name = OsString::from_vec(name.to_vec());
        let mut value = vec![0; 65_536];
        let len = rustix::fs::lgetxattr(path, &name, &mut value)?;
        value.truncate(len);
        all.insert(name, value);
    }
    Ok(all)
}

fn same_bytes(a: &Path, b: &Path) -> Result<bool> {
    let (mut a, mut b) = (File::open(a)?, File::open(b).with_context(|| format!("open {}", b.display()))?);
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let len = a.read(&mut left)?;
        if len == 0 {
            return Ok(b.read(&mut right)? == 0);
        }
        if b.read_exact(&mut right[..len]).is_err() || left[..len] != right[..len] {
            return Ok(false);
        }
    }
}
