//! The entries of one directory: by name for lookups, by cookie for listings.
//!
//! An entry takes the next cookie when it is inserted and keeps it until it is removed, so a
//! listing that continues after a cookie neither skips nor repeats what did not change meanwhile.

use crate::Ino;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The first cookie of an entry; 1 and 2 belong to `.` and `..` of the mount.
pub const FIRST_COOKIE: u64 = 3;

/// What a name leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) ino: Ino,
    pub(crate) is_dir: bool,
    cookie: u64,
}

/// Entries of one directory; empty, and no larger than a pointer, for every other kind of node.
#[derive(Debug, Default)]
pub(crate) struct Directory(Option<Box<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    by_name: HashMap<Arc<[u8]>, Entry>,
    by_cookie: BTreeMap<u64, Arc<[u8]>>,
    last_cookie: u64,
    subdirs: u32,
}

impl Directory {
    /// Adds an entry under a name that is free.
    pub(crate) fn insert(&mut self, name: Arc<[u8]>, ino: Ino, is_dir: bool) {
        let entries = self.0.get_or_insert_default();
        let cookie = entries.last_cookie.max(FIRST_COOKIE - 1) + 1;
        entries.last_cookie = cookie;
        let old = entries.by_name.insert(Arc::clone(&name), Entry { ino, is_dir, cookie });
        assert!(old.is_none(), "an entry is inserted under a free name only");
        entries.by_cookie.insert(cookie, name);
        entries.subdirs += u32::from(is_dir);
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<Entry> {
        let entries = self.0.as_mut()?;
        let entry = entries.by_name.remove(name)?;
        entries.by_cookie.remove(&entry.cookie);
        entries.subdirs -= u32::from(entry.is_dir);
        Some(entry)
    }

    /// Points a name at another node of the same kind and keeps its cookie.
    pub(crate) fn replace(&mut self, name: &[u8], ino: Ino) {
        if let Some(entry) = self.0.as_mut().and_then(|entries| entries.by_name.get_mut(name)) {
            entry.ino = ino;
        }
    }

    /// What the name leads to.
    pub(crate) fn entry(&self, name: &[u8]) -> Option<Entry> {
        self.0.as_ref()?.by_name.get(name).copied()
    }

    /// Entries with a cookie above `after`, in cookie order.
    pub(crate) fn after(&self, after: u64) -> impl Iterator<Item = (u64, &Arc<[u8]>, Ino)> {
        let from = after.saturating_add(1);
        self.0.iter().flat_map(move |entries| {
            let listed = entries.by_cookie.range(from..);
            listed.filter_map(|(cookie, name)| Some((*cookie, name, entries.by_name.get(name)?.ino)))
        })
    }

    /// The entries that are directories, in no order.
    pub(crate) fn dirs(&self) -> impl Iterator<Item = Ino> {
        let all = self.0.iter().flat_map(|entries| entries.by_name.values());
        all.filter(|entry| entry.is_dir).map(|entry| entry.ino)
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |entries| entries.by_name.len())
    }

    /// Number of entries that are directories.
    pub(crate) fn subdirs(&self) -> u32 {
        self.0.as_ref().map_or(0, |entries| entries.subdirs)
    }
}
