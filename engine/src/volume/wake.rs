//! Waking files before somebody speaks of them.
//!
//! Their rows are read with no lock held; until the [`Awake`] is dropped nothing falls asleep. Whoever
//! takes the lock for nodes, names or a listing gets it with those awake.

use crate::index::IndexError;
use crate::tables::{Tables, TablesGuard};
use crate::volume::Volume;
use crate::volume::load::node_of;
use crate::{FsError, Ino, ROOT, RemoteVersion, limits};
use freehold_model::{FileId, VersionHash};
use freehold_vault::record::Record;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Keeps what was woken from falling asleep.
#[must_use]
pub(crate) struct Awake(Arc<AtomicUsize>);

impl Awake {
    fn new(volume: &Volume) -> Self {
        let guards = Arc::clone(&volume.tables.lock().asleep.guards);
        guards.fetch_add(1, Ordering::SeqCst);
        Self(guards)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Volume {
    /// Wakes these files, as far as they sleep. Blocks.
    ///
    /// # Errors
    /// `Io` when a row cannot be read; whoever needs the files tries again later.
    pub(crate) fn wake<'a>(&self, files: impl Iterator<Item = &'a FileId>) -> Result<Awake, FsError> {
        let awake = Awake::new(self);
        let asleep = self.tables.lock().asleep.among(files);
        self.rouse(&asleep)?;
        Ok(awake)
    }

    /// As [`Self::wake`], for the files that show one of these versions.
    ///
    /// # Errors
    /// As [`Self::wake`].
    pub(crate) fn wake_showing(&self, versions: &BTreeSet<VersionHash>) -> Result<Awake, FsError> {
        let awake = Awake::new(self);
        let asleep = self.tables.lock().asleep.showing(versions);
        self.rouse(&asleep)?;
        Ok(awake)
    }

    /// As [`Self::wake`], for whatever stands at these names of directories.
    ///
    /// # Errors
    /// As [`Self::wake`].
    pub(crate) fn wake_named<'a>(
        &self,
        names: impl Iterator<Item = (&'a FileId, &'a [u8])>,
    ) -> Result<Awake, FsError> {
        let awake = Awake::new(self);
        let mut asleep = BTreeSet::new();
        {
            let tables = self.tables.lock();
            for (dir, name) in names {
                if let Some(dir) = tables.by_file.get(dir) {
                    tables.sleeper_named(*dir, name, &mut asleep);
                }
            }
        }
        self.rouse(&asleep)?;
        Ok(awake)
    }

    /// As [`Self::wake`], for everything below these directories.
    ///
    /// # Errors
    /// As [`Self::wake`].
    pub(crate) fn wake_below(&self, dirs: BTreeSet<FileId>) -> Result<Awake, FsError> {
        let awake = Awake::new(self);
        let mut open: Vec<Ino> = {
            let tables = self.tables.lock();
            dirs.iter().filter_map(|dir| tables.by_file.get(dir).copied()).collect()
        };
        let mut seen = BTreeSet::new();
        while let Some(dir) = open.pop() {
            let mut asleep = BTreeSet::new();
            {
                let tables = self.tables.lock();
                tables.sleepers_in(dir, &mut asleep);
                let below = tables.nodes.get(dir).into_iter().flat_map(|node| node.children.dirs());
                open.extend(below.filter(|below| seen.insert(*below)));
            }
            self.rouse(&asleep)?;
        }
        Ok(awake)
    }

    /// As [`Self::wake`], for all that has a say in what versions would take away: their files, what the
    /// deletion of a folder would hide, and what stands where they stood.
    ///
    /// # Errors
    /// As [`Self::wake`].
    pub(crate) fn wake_concerned(&self, versions: &[&RemoteVersion]) -> Result<[Awake; 3], FsError> {
        let records = || versions.iter().map(|version| &version.record);
        let files: BTreeSet<FileId> = records().map(Record::file).collect();
        let hidden = records().filter(|record| record.trash_mark().is_some()).map(Record::file).collect();
        let left = records().filter_map(Record::unlinked_from);
        let named = self.wake_named(left.map(|place| (&place.parent, place.name.as_slice())))?;
        Ok([self.wake(files.iter())?, self.wake_below(hidden)?, named])
    }

    /// As [`Self::wake`], for every file that is shown.
    ///
    /// # Errors
    /// As [`Self::wake`].
    pub(crate) fn wake_all(&self) -> Result<Awake, FsError> {
        let awake = Awake::new(self);
        let asleep: BTreeSet<FileId> = {
            let tables = self.tables.lock();
            let shown = tables.asleep.iter().filter(|sleeper| sleeper.place().is_some());
            shown.map(|sleeper| sleeper.file).collect()
        };
        self.rouse(&asleep)?;
        Ok(awake)
    }

    /// As [`Self::lock`], with these nodes awake. Blocks for a row where one is not.
    ///
    /// # Errors
    /// `Io` when a row cannot be read.
    pub fn lock_nodes(&self, inos: &[Ino]) -> Result<TablesGuard<'_>, FsError> {
        self.lock_for(inos, &[])
    }

    /// As [`Self::lock_nodes`], with whatever stands at these names of directories awake.
    ///
    /// # Errors
    /// As [`Self::lock_nodes`].
    pub fn lock_names(&self, names: &[(Ino, &[u8])]) -> Result<TablesGuard<'_>, FsError> {
        self.lock_for(&[], names)
    }

    /// As [`Self::lock_nodes`] and [`Self::lock_names`] in one.
    ///
    /// # Errors
    /// As [`Self::lock_nodes`].
    pub fn lock_for(&self, inos: &[Ino], names: &[(Ino, &[u8])]) -> Result<TablesGuard<'_>, FsError> {
        self.lock_awake(|tables, asleep| {
            inos.iter().for_each(|ino| tables.sleeper_at(*ino, asleep));
            names.iter().for_each(|(dir, name)| tables.sleeper_named(*dir, name, asleep));
        })
    }

    /// As [`Self::lock_nodes`], with the entries of a directory awake that come first after a cookie.
    ///
    /// # Errors
    /// As [`Self::lock_nodes`].
    pub fn lock_listing(&self, dir: Ino, after: u64) -> Result<TablesGuard<'_>, FsError> {
        self.lock_awake(|tables, asleep| tables.sleepers_listed(dir, after, asleep))
    }

    /// As [`Self::lock_nodes`], with a node and, of a directory, every entry awake.
    ///
    /// # Errors
    /// As [`Self::lock_nodes`].
    pub(crate) fn lock_entries(&self, ino: Ino) -> Result<TablesGuard<'_>, FsError> {
        self.lock_awake(|tables, asleep| {
            tables.sleeper_at(ino, asleep);
            tables.sleepers_in(ino, asleep);
        })
    }

    /// The node at a path of the vault, from its root; empty parts and `.` are skipped.
    ///
    /// # Errors
    /// `NotFound`; `Io` when a row cannot be read.
    pub fn find(&self, path: &[u8]) -> Result<Ino, FsError> {
        let parts = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
        parts.into_iter().try_fold(ROOT, |dir, name| {
            self.lock_names(&[(dir, name)])?.child(dir, name).ok_or(FsError::NotFound)
        })
    }

    /// Locks the tables once nothing of what is asked for sleeps.
    fn lock_awake(
        &self,
        asleep: impl Fn(&Tables, &mut BTreeSet<FileId>),
    ) -> Result<TablesGuard<'_>, FsError> {
        let (mut awake, mut failed) = (None, None);
        loop {
            let tables = self.lock();
            let mut files = BTreeSet::new();
            if tables.asleep.len() > 0 {
                asleep(&tables, &mut files);
            }
            match failed {
                _ if files.is_empty() => return Ok(tables),
                Some(error) => return Err(error),
                None => drop(tables),
            }
            awake.get_or_insert_with(|| Awake::new(self));
            // A row that was only to be at hand may fail; those that are needed are asked for again.
            failed = self.rouse(&files).err();
        }
    }

    /// Reads rows and takes the files in again. A row that cannot be read keeps no other file asleep.
    fn rouse(&self, files: &BTreeSet<FileId>) -> Result<(), FsError> {
        let all: Vec<FileId> = files.iter().copied().collect();
        let mut failed = Vec::new();
        for some in all.chunks(limits::WOKEN_AT_ONCE) {
            if self.rouse_some(some).is_err() {
                failed.extend(some.chunks(1).filter_map(|one| self.rouse_some(one).err()));
            }
            if failed.len() > limits::UNREADABLE_MAX {
                break;
            }
        }
        let Some(error) = failed.first() else { return Ok(()) };
        tracing::error!(
            %error,
            files = failed.len(),
            "files that sleep could not be read from the index; a restart reads them anew"
        );
        Err(FsError::Io)
    }

    fn rouse_some(&self, files: &[FileId]) -> Result<(), IndexError> {
        let index = self.local.as_ref().and_then(|local| local.index.as_ref()).ok_or(IndexError::Damaged)?;
        let images = index.nodes(files)?;
        let mut tables = self.tables.lock();
        let now = tables.now;
        let nodes = images.into_iter().filter_map(|image| node_of(image, 0, now));
        nodes.for_each(|node| tables.rouse(node));
        let sleeps = files.iter().any(|file| tables.asleep.has(file));
        if sleeps { Err(IndexError::Damaged) } else { Ok(()) }
    }
}
