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

/// Entries of one directory; empty for every other kind of node.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    by_name: HashMap<Arc<[u8]>, Entry>,
    by_cookie: BTreeMap<u64, Arc<[u8]>>,
    last_cookie: u64,
    subdirs: u32,
}

impl Directory {
    /// Adds an entry under a name that is free.
    pub(crate) fn insert(&mut self, name: Arc<[u8]>, ino: Ino, is_dir: bool) {
        let cookie = self.last_cookie.max(FIRST_COOKIE - 1) + 1;
        self.last_cookie = cookie;
        let old = self.by_name.insert(Arc::clone(&name), Entry { ino, is_dir, cookie });
        assert!(old.is_none(), "an entry is inserted under a free name only");
        self.by_cookie.insert(cookie, name);
        self.subdirs += u32::from(is_dir);
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<Entry> {
        let entry = self.by_name.remove(name)?;
        self.by_cookie.remove(&entry.cookie);
        self.subdirs -= u32::from(entry.is_dir);
        Some(entry)
    }

    /// Points a name at another node of the same kind and keeps its cookie.
    pub(crate) fn replace(&mut self, name: &[u8], ino: Ino) {
        if let Some(entry) = self.by_name.get_mut(name) {
            entry.ino = ino;
        }
    }

    /// What the name leads to.
    pub(crate) fn entry(&self, name: &[u8]) -> Option<Entry> {
        self.by_name.get(name).copied()
    }

    /// Entries with a cookie above `after`, in cookie order.
    pub(crate) fn after(&self, after: u64) -> impl Iterator<Item = (u64, &Arc<[u8]>, Ino)> {
        let from = after.saturating_add(1);
        self.by_cookie
            .range(from..)
            .filter_map(|(cookie, name)| Some((*cookie, name, self.by_name.get(name)?.ino)))
    }

    /// The entries that are directories, in no order.
    pub(crate) fn dirs(&self) -> impl Iterator<Item = Ino> {
        self.by_name.values().filter(|entry| entry.is_dir).map(|entry| entry.ino)
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Number of entries that are directories.
    pub(crate) const fn subdirs(&self) -> u32 {
        self.subdirs
    }
}
