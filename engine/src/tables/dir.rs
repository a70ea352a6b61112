//! The entries of one directory: by name for lookups, by cookie for listings.
//!
//! An entry takes the next cookie when it is inserted and keeps it until it is removed, so a
//! listing that continues after a cookie neither skips nor repeats what did not change meanwhile. An
//! entry whose file sleeps keeps its cookie and nothing else.

use crate::Ino;
use crate::tables::asleep::Bed;
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
    /// By cookie, which is short: half of the room a long one would take.
    asleep: BTreeMap<u32, Bed>,
    last_cookie: u64,
    subdirs: u32,
}

impl Directory {
    /// Adds an entry under a name that is free.
    pub(crate) fn insert(&mut self, name: Arc<[u8]>, ino: Ino, is_dir: bool) {
        let entries = self.0.get_or_insert_default();
        let cookie = entries.next_cookie();
        entries.insert(name, Entry { ino, is_dir, cookie });
    }

    /// Adds an entry of which the file sleeps; `bed` says where, once its cookie is known. False in a directory
    /// that had more entries than can sleep.
    pub(crate) fn insert_asleep(&mut self, bed: impl FnOnce(u64) -> Bed) -> bool {
        let entries = self.0.get_or_insert_default();
        let cookie = entries.next_cookie();
        let Ok(short) = u32::try_from(cookie) else { return false };
        entries.asleep.insert(short, bed(cookie));
        true
    }

    /// Notes that the file of an entry sleeps; `bed` says where, once its cookie is known. False when it cannot:
    /// there is no such entry, or the directory had more of them than can sleep.
    pub(crate) fn lay(&mut self, name: &[u8], bed: impl FnOnce(u64) -> Bed) -> bool {
        let cookie = self.entry(name).and_then(|entry| u32::try_from(entry.cookie).ok());
        let (Some(cookie), Some(entries)) = (cookie, &mut self.0) else { return false };
        entries.by_name.remove(name);
        entries.by_cookie.remove(&u64::from(cookie));
        if entries.by_name.capacity() > 4 * entries.by_name.len() {
            entries.by_name.shrink_to(2 * entries.by_name.len());
        }
        entries.asleep.insert(cookie, bed(u64::from(cookie)));
        true
    }

    /// Shows the file of an entry that slept under its name.
    pub(crate) fn rouse(&mut self, cookie: u64, name: Arc<[u8]>, ino: Ino) {
        if let Some(entries) = &mut self.0
            && u32::try_from(cookie).is_ok_and(|short| entries.asleep.remove(&short).is_some())
        {
            entries.insert(name, Entry { ino, is_dir: false, cookie });
        }
    }

    /// Entries after a cookie whose files sleep, in cookie order.
    pub(crate) fn asleep_after(&self, after: u64) -> impl Iterator<Item = (u64, Bed)> {
        // What no short cookie is above nothing sleeps above.
        let from = u32::try_from(after.saturating_add(1)).ok();
        let all = self.0.iter().flat_map(move |entries| from.map(|from| entries.asleep.range(from..)));
        let all = all.flatten();
        all.map(|(cookie, bed)| (u64::from(*cookie), *bed))
    }

    /// Whether the first entry after a cookie is one whose file sleeps.
    pub(crate) fn is_asleep_next(&self, after: u64) -> bool {
        let awake = self.after(after).next().map_or(u64::MAX, |(cookie, _, _)| cookie);
        self.asleep_after(after).next().is_some_and(|(cookie, _)| cookie < awake)
    }

    /// Entries with a cookie above `after` up to the first one whose file sleeps, in cookie order.
    pub(crate) fn awake_after(&self, after: u64) -> impl Iterator<Item = (u64, &Arc<[u8]>, Ino)> {
        let end = self.asleep_after(after).next().map_or(u64::MAX, |(cookie, _)| cookie);
        self.after(after).take_while(move |(cookie, _, _)| *cookie < end)
    }

    /// Whether the entry before one is there and its file awake: somebody goes through them in order.
    pub(crate) fn is_awake_before(&self, cookie: u64) -> bool {
        let Some(entries) = &self.0 else { return false };
        let awake = entries.by_cookie.range(..cookie).next_back().map(|(cookie, _)| *cookie);
        let short = u32::try_from(cookie).unwrap_or(u32::MAX);
        let asleep = entries.asleep.range(..short).next_back().map(|(cookie, _)| u64::from(*cookie));
        awake.is_some() && awake > asleep
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

    /// Entries with a cookie above `after` whose files are awake, in cookie order.
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
        self.0.as_ref().map_or(0, |entries| entries.by_name.len() + entries.asleep.len())
    }

    /// Number of entries that are directories.
    pub(crate) fn subdirs(&self) -> u32 {
        self.0.as_ref().map_or(0, |entries| entries.subdirs)
    }
}

impl Entries {
    fn next_cookie(&mut self) -> u64 {
        self.last_cookie = self.last_cookie.max(FIRST_COOKIE - 1) + 1;
        self.last_cookie
    }

    fn insert(&mut self, name: Arc<[u8]>, entry: Entry) {
        let old = self.by_name.insert(Arc::clone(&name), entry);
        assert!(old.is_none(), "an entry is inserted under a free name only");
        self.by_cookie.insert(entry.cookie, name);
        self.subdirs += u32::from(entry.is_dir);
    }
}
