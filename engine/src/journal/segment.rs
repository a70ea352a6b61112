//! Segment files: their names, their handles, the list of those that exist.
//!
//! Journal and staging segments share one flat directory and one number space, so a number names
//! one file for ever. A handle is shared by every piece in the segment; a segment nobody holds any
//! more has no live bytes.

use freehold_store::{Disk, DiskFile};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum SegmentKind {
    /// Frames, in chain order.
    Journal = 1,
    /// Sealed pieces, one after the other.
    Staging = 2,
}

/// One segment file.
pub(crate) struct Segment {
    pub(crate) kind: SegmentKind,
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn DiskFile>,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment")
            .field("kind", &self.kind)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Segment {
    fn name(kind: SegmentKind, number: u64) -> String {
        match kind {
            SegmentKind::Journal => format!("{number:016x}.journal"),
            SegmentKind::Staging => format!("{number:016x}.staging"),
        }
    }

    fn parse(name: &str) -> Option<(u64, SegmentKind)> {
        let (number, kind) = name.split_once('.')?;
        let kind = match kind {
            "journal" => SegmentKind::Journal,
            "staging" => SegmentKind::Staging,
            _ => return None,
        };
        let number = u64::from_str_radix(number, 16).ok()?;
        (Self::name(kind, number) == name).then_some((number, kind))
    }
}

/// The segments of one volume, by number.
pub(crate) struct Segments {
    pub(crate) disk: Arc<dyn Disk>,
    live: BTreeMap<u64, Arc<Segment>>,
    next: u64,
}

impl Segments {
    /// Lists and opens what is there.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let mut live = BTreeMap::new();
        for name in disk.list()? {
            if let Some((number, kind)) = Segment::parse(&name) {
                let file = disk.open(&name)?;
                live.insert(number, Arc::new(Segment { kind, number, file }));
            }
        }
        let next = live.last_key_value().map_or(1, |(number, _)| number + 1);
        Ok(Self { disk, live, next })
    }

    /// Creates the next segment; its name is durable on return.
    pub(crate) fn create(&mut self, kind: SegmentKind) -> io::Result<Arc<Segment>> {
        let number = self.take_number();
        let file = self.disk.create(&Segment::name(kind, number))?;
        self.disk.sync_dir()?;
        let segment = Arc::new(Segment { kind, number, file });
        self.live.insert(number, Arc::clone(&segment));
        Ok(segment)
    }

    /// A number nothing else gets.
    pub(crate) const fn take_number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// Makes a file that has another name a journal segment; its name is durable on return.
    pub(crate) fn adopt(
        &mut self,
        name: &str,
        number: u64,
        file: Arc<dyn DiskFile>,
    ) -> io::Result<Arc<Segment>> {
        let kind = SegmentKind::Journal;
        self.disk.rename(name, &Segment::name(kind, number))?;
        let segment = Arc::new(Segment { kind, number, file });
        self.live.insert(number, Arc::clone(&segment));
        self.disk.sync_dir()?;
        Ok(segment)
    }

    /// A segment by number.
    pub(crate) fn get(&self, number: u64) -> Option<&Arc<Segment>> {
        self.live.get(&number)
    }

    /// The segments of one kind, oldest first.
    pub(crate) fn of(&self, kind: SegmentKind) -> impl Iterator<Item = &Arc<Segment>> {
        self.live.values().filter(move |segment| segment.kind == kind)
    }

    /// Whether pieces in memory still lie in the segment.
    pub(crate) fn is_held(segment: &Arc<Segment>) -> bool {
        // One reference is the list's own.
        Arc::strong_count(segment) > 1
    }

    /// Removes a segment's file.
    pub(crate) fn remove(&mut self, number: u64) -> io::Result<()> {
        if let Some(segment) = self.live.remove(&number) {
            self.disk.remove(&Segment::name(segment.kind, number))?;
        }
        Ok(())
    }

    /// Keeps a copy of a damaged segment under another name, for a person to look at.
    pub(crate) fn quarantine(&self, number: u64, bytes: &[u8]) -> io::Result<()> {
        let name = format!("{number:016x}.quarantine");
        if self.disk.list()?.contains(&name) {
            return Ok(());
        }
        let copy = self.disk.create(&name)?;
        if let Err(error) = copy.write_all_at(0, bytes).and_then(|()| copy.sync_data()) {
            // Half a copy would pass for a whole one at the next start.
            self.disk.remove(&name)?;
            return Err(error);
        }
        self.disk.sync_dir()
    }
}
