//! Draws the next operation: mostly on what exists, sometimes on what does not.

use super::operation::{Allocate, Operation, Rename, SetXattr};
use super::side::SLOTS;
use anyhow::Result;
use freehold_tests::Draw;
use std::path::Path;

/// Few names, so that operations meet.
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const DEPTH_MAX: u64 = 4;
const XATTRS: [&str; 4] = ["user.a", "user.b", "user.longer name", "user.ü"];
/// Operations between two looks at what exists.
const LOOK: u64 = 10;
/// More names than that are not added to.
const ENTRIES_MAX: usize = 120;

/// The seeded sequence.
pub(super) struct Plan {
    draw: Draw,
    count: u64,
    existing: Vec<String>,
    folders: Vec<String>,
    last_opened: String,
    /// Slots with a file in them, as far as one can know without looking.
    open: [bool; SLOTS],
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            draw: Draw::new(seed),
            count: 0,
            existing: Vec::new(),
            folders: Vec::new(),
            last_opened: NAMES[0].into(),
            open: [false; SLOTS],
        }
    }

    /// The next operation, for a tree of which `plain` is one copy.
    pub(super) fn next(&mut self, plain: &Path) -> Result<Operation> {
        if self.count.is_multiple_of(LOOK) {
            self.existing.clear();
            self.folders.clear();
            for entry in walkdir::WalkDir::new(plain).min_depth(1).sort_by_file_name() {
                let entry = entry?;
                let relative = entry.path().strip_prefix(plain)?.to_string_lossy().into_owned();
                if entry.file_type().is_dir() {
                    self.folders.push(relative.clone());
                }
                self.existing.push(relative);
            }
        }
        self.count += 1;
        Ok(match self.draw.below(100) {
            0..50 => self.on_open_file(),
            50..80 => self.on_names(),
            _ => self.on_metadata(),
        })
    }

    fn on_open_file(&mut self) -> Operation {
        let slot = self.slot();
        match self.draw.below(20) {
            0..4 => self.open(slot),
            4 => {
                self.open[slot] = false;
                Operation::Close { slot }
            }
            5..10 => {
                Operation::Write { slot, offset: self.offset(), len: self.len(), seed: self.draw.next() }
            }
            10..13 => Operation::Read { slot, offset: self.offset(), len: self.len() },
            13 => Operation::SetLen { slot, len_bytes: self.offset() },
            14 | 15 => Operation::Allocate {
                slot,
                how: *self.pick(&[
                    Allocate::Grow,
                    Allocate::KeepSize,
                    Allocate::Punch,
                    Allocate::Punch,
                    Allocate::Zero,
                    Allocate::ZeroKeepSize,
                ]),
                offset: self.offset(),
                len: self.offset(),
            },
            16 | 17 => Operation::Copy {
                from: slot,
                from_offset: self.offset(),
                to: self.slot(),
                to_offset: self.offset(),
                len: self.len(),
            },
            18 => Operation::Sync { slot, only_data: self.draw.is_one_in(2) },
            _ => Operation::StatOpen { slot },
        }
    }

    fn open(&mut self, slot: usize) -> Operation {
        // Often the file that another slot has open as well.
        let path = match self.draw.below(6) {
            0 | 1 => self.last_opened.clone(),
            2..5 => self.new_path(),
            _ => self.path(),
        };
        self.last_opened.clone_from(&path);
        self.open[slot] = true;
        Operation::Open {
            slot,
            path,
            create: !self.draw.is_one_in(4),
            exclusive: self.draw.is_one_in(8),
            truncate: self.draw.is_one_in(8),
            append: self.draw.is_one_in(5),
            mode: self.mode(),
        }
    }

    fn on_names(&mut self) -> Operation {
        let is_crowded = self.existing.len() > ENTRIES_MAX;
        match self.draw.below(20) {
            0..4 if !is_crowded => Operation::MakeDir { path: self.new_path(), mode: self.mode() },
            4 | 5 => Operation::RemoveDir { path: self.path() },
            6..9 => Operation::Unlink { path: self.path() },
            9..13 => Operation::Rename {
                from: self.path(),
                to: if self.draw.is_one_in(3) { self.path() } else { self.new_path() },
                how: *self.pick(&[Rename::Replace, Rename::Replace, Rename::NoReplace, Rename::Exchange]),
            },
            13 | 14 if !is_crowded => Operation::Link { from: self.path(), to: self.new_path() },
            15 if !is_crowded => Operation::Symlink { target: self.path(), path: self.new_path() },
            16 if !is_crowded => Operation::Fifo { path: self.new_path(), mode: self.mode() },
            17 => Operation::ReadLink { path: self.path() },
            18 => Operation::List { path: self.path() },
            _ => Operation::Unlink { path: self.path() },
        }
    }

    fn on_metadata(&mut self) -> Operation {
        let path = self.path();
        match self.draw.below(16) {
            0 | 1 => Operation::Chmod { path, mode: self.mode() },
            2 => Operation::Chown { path, uid: self.id(), gid: self.id() },
            3 | 4 => Operation::Times { path, accessed: self.time(), modified: self.time() },
            5 | 6 => Operation::SetXattr {
                path,
                name: (*self.pick(&XATTRS)).into(),
                len: usize::try_from(self.draw.below(300)).unwrap_or(0),
                seed: self.draw.next(),
                how: *self.pick(&[SetXattr::Any, SetXattr::Any, SetXattr::Create, SetXattr::Replace]),
            },
            7 => Operation::GetXattr { path, name: (*self.pick(&XATTRS)).into() },
            8 => Operation::ListXattr { path },
            9 => Operation::RemoveXattr { path, name: (*self.pick(&XATTRS)).into() },
            10 => Operation::Truncate { path, len_bytes: self.offset() },
            11..14 => Operation::Stat { path },
            _ => Operation::ReadFile { path },
        }
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let index = usize::try_from(self.draw.below(items.len() as u64)).unwrap_or(0);
        &items[index]
    }

    /// Mostly one with a file in it.
    fn slot(&mut self) -> usize {
        let open: Vec<usize> = (0..SLOTS).filter(|slot| self.open[*slot]).collect();
        if open.is_empty() || self.draw.is_one_in(6) {
            return usize::try_from(self.draw.below(SLOTS as u64)).unwrap_or(0);
        }
        *self.pick(&open)
    }

    /// Mostly of something that exists.
    fn path(&mut self) -> String {
        if self.existing.is_empty() || self.draw.is_one_in(8) {
            return self.any_path();
        }
        let existing = std::mem::take(&mut self.existing);
        let path = self.pick(&existing).clone();
        self.existing = existing;
        path
    }

    /// Mostly a name in a folder that exists, often taken.
    fn new_path(&mut self) -> String {
        if self.folders.is_empty() || self.draw.is_one_in(5) {
            return self.any_path();
        }
        let folders = std::mem::take(&mut self.folders);
        let path = format!("{}/{}", self.pick(&folders), self.pick(&NAMES));
        self.folders = folders;
        path
    }

    /// Of something that may be there or not, or be no folder on the way.
    fn any_path(&mut self) -> String {
        if self.draw.is_one_in(60) {
            return "n".repeat(256);
        }
        let depth = 1 + self.draw.below(DEPTH_MAX - 1);
        let names: Vec<&str> = (0..depth).map(|_| *self.pick(&NAMES)).collect();
        names.join("/")
    }

    /// Mostly within what is kept inline or in a chunk or two, sometimes far out.
    fn offset(&mut self) -> u64 {
        let end = *self.pick(&[5_000, 70_000, 70_000, 300_000, 3_000_000]);
        // Often at the edge of a page.
        let offset = self.draw.below(end);
        if self.draw.is_one_in(3) { offset & !4_095 } else { offset }
    }

    fn len(&mut self) -> usize {
        let end = *self.pick(&[1_000, 9_000, 9_000, 70_000, 200_000]);
        usize::try_from(self.draw.below(end)).unwrap_or(0)
    }

    fn mode(&mut self) -> u32 {
        *self.pick(&[0o644, 0o600, 0o755, 0o700, 0o4755, 0o2755, 0o2644, 0o1777, 0o000])
    }

    fn id(&mut self) -> u32 {
        *self.pick(&[0, 1, 2, 65_534])
    }

    /// A time before 2020, which no clock gives; some before 1970.
    fn time(&mut self) -> (i64, i64) {
        let seconds = i64::try_from(self.draw.below(1_600_000_000)).unwrap_or(0) - 50_000_000;
        (seconds, i64::try_from(self.draw.below(1_000_000_000)).unwrap_or(0))
    }
}
