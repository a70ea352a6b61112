//! Files that sleep: of each only what nobody else could tell stays in memory.
//!
//! A vault may have a million files, of which a day touches a few. A settled file that the index has
//! leaves the tables and comes back from its row when somebody speaks of it ([`Volume`](crate::Volume)'s
//! `wake`). What stays is found by file, by number and by name: its heads, which are part of what devices
//! compare, its place in the listing of its directory, and the kernel's references. Of its name only a
//! keyed hash stays: enough to see that it may be the one somebody asks for.
//!
//! Deletions sleep as well, without a place: they must be remembered, because a device that has not heard
//! of one may still write to the file, and months of temporary files are more than a vault has files.

use crate::Ino;
use freehold_model::{FileId, VersionHash};
use hashbrown::HashTable;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where a sleeper is kept.
pub(crate) type Bed = u32;

/// The heads of a file: nearly always one.
#[derive(Debug)]
enum Heads {
    One([VersionHash; 1]),
    Other(Box<[VersionHash]>),
}

impl Heads {
    fn of(heads: &[VersionHash]) -> Self {
        match heads {
            [head] => Self::One([*head]),
            other => Self::Other(other.into()),
        }
    }

    fn get(&self) -> &[VersionHash] {
        match self {
            Self::One(head) => head,
            Self::Other(heads) => heads,
        }
    }
}

/// The place of a name in the listing of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) dir: Ino,
    pub(crate) cookie: u64,
    /// What [`Asleep::name_hash`] makes of the name.
    pub(crate) name: u64,
}

/// A file that is not in the tables.
#[derive(Debug)]
pub(crate) struct Sleeper {
    pub(crate) file: FileId,
    pub(crate) ino: Ino,
    heads: Heads,
    /// In no directory: a deletion.
    place: Place,
    /// References the kernel holds.
    pub(crate) lookups: u64,
}

impl Sleeper {
    /// A file with one name, or a deletion.
    pub(crate) fn new(file: FileId, ino: Ino, heads: &[VersionHash], place: Option<Place>) -> Self {
        Self { file, ino, heads: Heads::of(heads), place: place.unwrap_or_default(), lookups: 0 }
    }

    /// Its place, if it is no deletion.
    pub(crate) fn place(&self) -> Option<Place> {
        (self.place != Place::default()).then_some(self.place)
    }
}

/// When files may fall asleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bedtime {
    /// Nothing could bring them back.
    Never,
    /// A step is under way that may need them.
    NotNow,
    Now,
}

/// Every file that sleeps.
#[derive(Debug, Default)]
pub(crate) struct Asleep {
    beds: Beds,
    by_file: HashTable<Bed>,
    by_ino: HashTable<Bed>,
    by_name: HashTable<Bed>,
    keys: RandomState,
    /// Whether sleepers can be read back: there is an index.
    pub(crate) has_index: bool,
    /// Steps under way that need what they woke.
    pub(crate) guards: Arc<AtomicUsize>,
}

impl Asleep {
    /// Whether files may fall asleep now.
    pub(crate) fn bedtime(&self) -> Bedtime {
        match (self.has_index, self.guards.load(Ordering::SeqCst)) {
            (false, _) => Bedtime::Never,
            (true, 0) => Bedtime::Now,
            (true, _) => Bedtime::NotNow,
        }
    }

    /// What stands for a name in a directory: of two names nobody but a guesser of the key can make it alike.
    pub(crate) fn name_hash(&self, dir: &FileId, name: &[u8]) -> u64 {
        self.keys.hash_one((dir, name))
    }

    /// Takes a file in that nobody can ask for before [`Self::know_all`]; its bed.
    pub(crate) fn let_in(&mut self, sleeper: Sleeper) -> Bed {
        self.beds.take(sleeper)
    }

    /// Lets all be found: of a million files at once in tables that need not grow on the way.
    pub(crate) fn know_all(&mut self) {
        let Self { beds, by_file, by_ino, keys, .. } = self;
        by_file.clear();
        by_ino.clear();
        by_file.reserve(beds.len, |bed| keys.hash_one(beds.get(*bed).file));
        by_ino.reserve(beds.len, |bed| keys.hash_one(beds.get(*bed).ino));
        for (bed, sleeper) in beds.numbered() {
            by_file.insert_unique(keys.hash_one(sleeper.file), bed, |bed| keys.hash_one(beds.get(*bed).file));
            by_ino.insert_unique(keys.hash_one(sleeper.ino), bed, |bed| keys.hash_one(beds.get(*bed).ino));
        }
    }

    /// Takes a file in; its bed.
    pub(crate) fn insert(&mut self, sleeper: Sleeper) -> Bed {
        let (file, ino, place) = (sleeper.file, sleeper.ino, sleeper.place());
        let bed = self.beds.take(sleeper);
        let Self { beds, by_file, by_ino, by_name, keys, .. } = self;
        by_file.insert_unique(keys.hash_one(file), bed, |bed| keys.hash_one(beds.get(*bed).file));
        by_ino.insert_unique(keys.hash_one(ino), bed, |bed| keys.hash_one(beds.get(*bed).ino));
        if let Some(place) = place {
            by_name.insert_unique(place.name, bed, |bed| beds.name(*bed));
        }
        bed
    }

    /// Makes room for so many places.
    pub(crate) fn expect(&mut self, places: usize) {
        let Self { beds, by_name, .. } = self;
        by_name.reserve(places, |bed| beds.name(*bed));
    }

    /// Gives a file that has none its place.
    pub(crate) fn place(&mut self, bed: Bed, place: Place) {
        let Self { beds, by_name, .. } = self;
        beds.get_mut(bed).place = place;
        by_name.insert_unique(place.name, bed, |bed| beds.name(*bed));
    }

    /// Takes a file out.
    pub(crate) fn remove(&mut self, file: &FileId) -> Option<Sleeper> {
        let Self { beds, by_file, by_ino, by_name, keys, .. } = self;
        let entry = by_file.find_entry(keys.hash_one(file), |bed| beds.get(*bed).file == *file).ok()?;
        let (bed, _) = entry.remove();
        let sleeper = beds.get(bed);
        let (ino, place) = (sleeper.ino, sleeper.place());
        if let Ok(entry) = by_ino.find_entry(keys.hash_one(ino), |known| *known == bed) {
            entry.remove();
        }
        if let Some(place) = place
            && let Ok(entry) = by_name.find_entry(place.name, |known| *known == bed)
        {
            entry.remove();
        }
        beds.leave(bed)
    }

    fn find(&self, file: &FileId) -> Option<&Sleeper> {
        if self.beds.len == 0 {
            return None;
        }
        let bed = self.by_file.find(self.keys.hash_one(file), |bed| self.beds.get(*bed).file == *file)?;
        Some(self.beds.get(*bed))
    }

    fn bed_of(&self, ino: Ino) -> Option<Bed> {
        if self.beds.len == 0 {
            return None;
        }
        self.by_ino.find(self.keys.hash_one(ino), |bed| self.beds.get(*bed).ino == ino).copied()
    }

    /// Whether a file sleeps.
    pub(crate) fn has(&self, file: &FileId) -> bool {
        self.find(file).is_some()
    }

    /// The heads of a file that sleeps.
    pub(crate) fn heads(&self, file: &FileId) -> Option<&[VersionHash]> {
        self.find(file).map(|sleeper| sleeper.heads.get())
    }

    /// The file with a number.
    pub(crate) fn at(&self, ino: Ino) -> Option<&Sleeper> {
        self.bed_of(ino).map(|bed| self.beds.get(bed))
    }

    /// The file in a bed.
    pub(crate) fn in_bed(&self, bed: Bed) -> &Sleeper {
        self.beds.get(bed)
    }

    /// The file in a directory whose name has this hash.
    pub(crate) fn named(&self, dir: Ino, hash: u64) -> Option<&Sleeper> {
        let is_it = |bed: &Bed| {
            let place = &self.beds.get(*bed).place;
            place.name == hash && place.dir == dir
        };
        self.by_name.find(hash, is_it).map(|bed| self.beds.get(*bed))
    }

    /// Notes more references of the kernel; false for a number nobody here has.
    pub(crate) fn hold(&mut self, ino: Ino, count: u64) -> bool {
        self.count(ino, |lookups| lookups.saturating_add(count))
    }

    /// Drops references of the kernel; false for a number nobody here has.
    pub(crate) fn release(&mut self, ino: Ino, count: u64) -> bool {
        self.count(ino, |lookups| lookups.saturating_sub(count))
    }

    fn count(&mut self, ino: Ino, change: impl FnOnce(u64) -> u64) -> bool {
        let Some(bed) = self.bed_of(ino) else { return false };
        let sleeper = self.beds.get_mut(bed);
        sleeper.lookups = change(sleeper.lookups);
        true
    }

    /// Every sleeper, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Sleeper> {
        self.beds.iter()
    }

    /// Every file that sleeps with its heads, in no order.
    pub(crate) fn all_heads(&self) -> impl Iterator<Item = (&FileId, &[VersionHash])> {
        self.iter().map(|sleeper| (&sleeper.file, sleeper.heads.get()))
    }

    /// Those of these files that sleep.
    pub(crate) fn among<'a>(&self, files: impl Iterator<Item = &'a FileId>) -> BTreeSet<FileId> {
        files.filter(|file| self.has(file)).copied().collect()
    }

    /// The files that show one of these versions.
    pub(crate) fn showing(&self, versions: &BTreeSet<VersionHash>) -> BTreeSet<FileId> {
        if versions.is_empty() {
            return BTreeSet::new();
        }
        let shows = |heads: &[VersionHash]| heads.iter().any(|head| versions.contains(head));
        self.all_heads().filter(|(_, heads)| shows(heads)).map(|(file, _)| *file).collect()
    }

    /// Number of sleepers.
    pub(crate) const fn len(&self) -> usize {
        self.beds.len
    }

    /// Number of sleepers that have a name.
    pub(crate) fn shown(&self) -> usize {
        self.by_name.len()
    }
}

/// Sleepers by number. In blocks: a vector that grows would for a moment take the room twice.
#[derive(Debug, Default)]
struct Beds {
    blocks: Vec<Vec<Option<Sleeper>>>,
    free: Vec<Bed>,
    len: usize,
}

impl Beds {
    const BLOCK: usize = 1_024;

    fn place(bed: Bed) -> (usize, usize) {
        let bed = bed as usize;
        (bed / Self::BLOCK, bed % Self::BLOCK)
    }

    fn take(&mut self, sleeper: Sleeper) -> Bed {
        self.len += 1;
        if let Some(bed) = self.free.pop() {
            let (block, at) = Self::place(bed);
            if let Some(slot) = self.blocks.get_mut(block).and_then(|block| block.get_mut(at)) {
                *slot = Some(sleeper);
            }
            return bed;
        }
        if self.blocks.last().is_none_or(|block| block.len() == Self::BLOCK) {
            self.blocks.push(Vec::with_capacity(Self::BLOCK));
        }
        let before = (self.blocks.len() - 1) * Self::BLOCK;
        let block = self.blocks.last_mut().expect("one was just made sure of");
        block.push(Some(sleeper));
        Bed::try_from(before + block.len() - 1).expect("there are at most NODES_MAX nodes")
    }

    fn leave(&mut self, bed: Bed) -> Option<Sleeper> {
        let (block, at) = Self::place(bed);
        let sleeper = self.blocks.get_mut(block)?.get_mut(at)?.take()?;
        self.free.push(bed);
        self.len -= 1;
        if self.len == 0 {
            (self.blocks, self.free) = (Vec::new(), Vec::new());
        }
        Some(sleeper)
    }

    fn get(&self, bed: Bed) -> &Sleeper {
        let (block, at) = Self::place(bed);
        let slot = self.blocks.get(block).and_then(|block| block.get(at));
        slot.and_then(Option::as_ref).expect("the tables name beds that are taken")
    }

    fn get_mut(&mut self, bed: Bed) -> &mut Sleeper {
        let (block, at) = Self::place(bed);
        let slot = self.blocks.get_mut(block).and_then(|block| block.get_mut(at));
        slot.and_then(Option::as_mut).expect("the tables name beds that are taken")
    }

    fn name(&self, bed: Bed) -> u64 {
        self.get(bed).place.name
    }

    fn iter(&self) -> impl Iterator<Item = &Sleeper> {
        self.blocks.iter().flatten().flatten()
    }

    fn numbered(&self) -> impl Iterator<Item = (Bed, &Sleeper)> {
        (0..).zip(self.blocks.iter().flatten()).filter_map(|(bed, slot)| Some((bed, slot.as_ref()?)))
    }
}
