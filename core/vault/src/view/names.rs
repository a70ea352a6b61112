//! Which entries of one directory are shown, under which names.
//!
//! ```text
//! directories of one name      one: the smallest id is shown, the others' entries appear in it
//! equal files of one name      one: the smallest id is shown
//! other nodes of one name      a directory, else the entry placed first, keeps the name; the
//!                              others get the conflict suffix
//! content conflict copies      always the suffix
//! ```

use crate::name::conflict_name;
use crate::record::{Body, Kind};
use freehold_model::{DeviceId, FileId, Stamp};
use std::collections::{BTreeMap, BTreeSet};

/// One node that stands in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The node.
    pub file: FileId,
    /// Its name in its record.
    pub name: &'a [u8],
    /// The write that gave it this name here; for conflict copies the losing write.
    pub placed: Stamp,
    /// What it is, as far as equality of entries goes.
    pub what: What<'a>,
    /// Whether it is a losing content value.
    pub is_copy: bool,
}

/// What stands in a directory, as far as telling equal entries goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// A directory.
    Dir,
    /// A file with its current content.
    File(Option<&'a Body>),
    /// A symlink with its target.
    Symlink(&'a [u8]),
    /// A fifo, socket or device.
    Special(Kind, u32),
}

/// An entry that is shown. Indices point into the entries given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The name it is shown under.
    pub name: Vec<u8>,
    /// The node.
    pub file: FileId,
    /// Which entry it is.
    pub entry: usize,
    /// Entries this one stands for: directories unified into it, or equal files. Removing the name
    /// must remove them too.
    pub stands_for: Vec<usize>,
}

/// The names of a directory, in byte order.
pub type Listing = Vec<Shown>;

/// Resolves the names of one directory.
///
/// `label` names a device in conflict names; every device must answer alike, so take it from the
/// device's certificate. The order of `entries` does not matter for what is shown.
#[must_use]
pub fn resolve_dir(entries: &[Entry<'_>], label: &dyn Fn(&DeviceId) -> String) -> Listing {
    let mut groups: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    let mut renamed = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        if entry.is_copy {
            renamed.push((index, Vec::new()));
        } else {
            groups.entry(entry.name).or_default().push(index);
        }
    }
    let mut listing = Listing::new();
    for (name, group) in groups {
        let mut standing = collapse(entries, group);
        let first = (0..standing.len()).min_by_key(|at| standing.get(*at).and_then(|s| rank(entries, s.0)));
        let Some(first) = first else { continue };
        let (entry, stands_for) = standing.swap_remove(first);
        push(&mut listing, entries, name.to_vec(), entry, stands_for);
        renamed.extend(standing);
    }
    rename(&mut listing, entries, renamed, label);
    listing.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    listing
}

/// Groups equal entries of one name: each group with its smallest id first.
fn collapse(entries: &[Entry<'_>], mut group: Vec<usize>) -> Vec<(usize, Vec<usize>)> {
    group.sort_unstable_by_key(|index| entries.get(*index).map(|entry| (entry.file, entry.placed)));
    let mut standing: Vec<(usize, Vec<usize>)> = Vec::new();
    for index in group {
        let equal = standing.iter_mut().find(|(shown, _)| match (entries.get(*shown), entries.get(index)) {
            (Some(a), Some(b)) => a.file == b.file || same(&a.what, &b.what),
            _ => false,
        });
        match equal {
            Some((_, stands_for)) => stands_for.push(index),
            None => standing.push((index, Vec::new())),
        }
    }
    standing
}

fn same(a: &What<'_>, b: &What<'_>) -> bool {
    match (a, b) {
        (What::File(Some(a)), What::File(Some(b))) => a.same_plain(b),
        (a, b) => a == b,
    }
}

/// Directories first, then whoever was there first.
fn rank(entries: &[Entry<'_>], index: usize) -> Option<(bool, Stamp, FileId)> {
    entries.get(index).map(|entry| (entry.what != What::Dir, entry.placed, entry.file))
}

fn rename(
    listing: &mut Listing,
    entries: &[Entry<'_>],
    mut renamed: Vec<(usize, Vec<usize>)>,
    label: &dyn Fn(&DeviceId) -> String,
) {
    renamed.sort_unstable_by_key(|(index, _)| entries.get(*index).map(|e| (e.name, e.placed, e.file)));
    let mut taken: BTreeSet<Vec<u8>> = listing.iter().map(|shown| shown.name.clone()).collect();
    for (index, stands_for) in renamed {
        let Some(entry) = entries.get(index) else { continue };
        let (device, millis) = (label(&entry.placed.dot.device), entry.placed.hlc.millis());
        let free =
            (1..).map(|n| conflict_name(entry.name, &device, millis, n)).find(|name| !taken.contains(name));
        let name = free.expect("there are more numbers than entries");
        taken.insert(name.clone());
        push(listing, entries, name, index, stands_for);
    }
}

fn push(listing: &mut Listing, entries: &[Entry<'_>], name: Vec<u8>, entry: usize, stands_for: Vec<usize>) {
    if let Some(found) = entries.get(entry) {
        listing.push(Shown { name, file: found.file, entry, stands_for });
    }
}
