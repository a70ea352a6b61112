//! Listing conflicts, and keeping one side or both.
//!
//! A choice is an ordinary change: a content write, an unlink or a rename under this device's
//! stamps. It needs no network and travels like any other. Paths go into the answers here and nowhere else.

use crate::tables::Tables;
use crate::tables::conflicts::{Pair, Shown};
use crate::volume::Volume;
use crate::volume::wake::Awake;
use crate::{FsError, Kind, Notice, limits};
use freehold_api::control::{Conflict, ConflictSide, Conflicts, Keep, KeptConflict};
use freehold_model::{DeviceId, FileId, Stamp};
use freehold_vault::record::Record;
use std::collections::{BTreeMap, BTreeSet};

/// Why a conflict did not end. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeepError {
    /// The path names neither a conflict copy nor a file with one.
    #[error("there is no conflict at this path")]
    NoConflict,
    /// The word fits none of the contents, or several.
    #[error("{0}")]
    Choice(&'static str),
    /// One of them has bytes that are in no version yet.
    #[error("one of the files is being written")]
    Busy,
    /// The tree or the disk.
    #[error(transparent)]
    Tree(#[from] FsError),
}

impl Volume {
    /// The conflicts of the vault, by path.
    ///
    /// # Errors
    /// `Io` when a file that sleeps cannot be read.
    pub(crate) fn conflicts(&self) -> Result<Conflicts, FsError> {
        let (pairs, _awake) = self.conflict_pairs()?;
        let tables = self.tables.lock();
        let shown = pairs
            .iter()
            .map(|pair| Conflict { file: side(&tables, &pair.file), copy: side(&tables, &pair.copy) });
        let mut conflicts: Vec<Conflict> = shown.collect();
        drop(tables);
        let total = conflicts.len() as u64;
        conflicts.sort_by(|a, b| (&a.file.path, &a.copy.path).cmp(&(&b.file.path, &b.copy.path)));
        let mut bytes = 0;
        conflicts.retain(|conflict| {
            bytes += conflict.file.path.len() + conflict.copy.path.len() + limits::CONFLICT_BYTES;
            bytes <= limits::CONFLICTS_BYTES
        });
        Ok(Conflicts { conflicts, total })
    }

    /// Ends the conflict at a path. Durable on return.
    ///
    /// # Errors
    /// `NoConflict`, `Choice`, `Busy`; `Tree` when that may not be durable.
    pub(crate) fn keep_conflict(&self, path: &str, keep: Keep) -> Result<KeptConflict, KeepError> {
        let (pairs, _awake) = self.conflict_pairs()?;
        let mut notices = BTreeSet::new();
        let kept = {
            let mut tables = self.lock();
            let pairs = named(&tables, pairs, path)?;
            end(&mut tables, &pairs, keep, &mut notices)
        };
        // Also after a failure halfway: what was changed is told.
        self.tell(notices);
        self.show_again();
        let kept = kept?;
        self.flush()?;
        Ok(kept)
    }

    /// All pairs, with the files awake. Those that do not stand beside their copy, or sleep, are looked for
    /// without the lock.
    fn conflict_pairs(&self) -> Result<(Vec<Pair>, Awake), FsError> {
        let (strays, files) = {
            let tables = self.tables.lock();
            let strays = tables.conflicts().strays;
            let record = |copy: Shown| tables.nodes.get(copy.ino).map(|node| node.record.clone());
            let strays: Vec<_> = strays.into_iter().filter_map(record).collect();
            let files = if strays.is_empty() { Vec::new() } else { tables.shown_files() };
            (strays, files)
        };
        let origin = |copy: &Record| files.iter().find(|file| copy.is_copy_of(file)).copied();
        let origins: BTreeMap<FileId, FileId> =
            strays.iter().filter_map(|copy| Some((copy.file(), origin(copy)?))).collect();
        let awake = self.wake(origins.values())?;
        let tables = self.tables.lock();
        let mut found = tables.conflicts();
        for copy in std::mem::take(&mut found.strays) {
            let origin = tables.file_id(copy.ino).and_then(|file| origins.get(&file));
            if let Some(file) = origin.and_then(|origin| tables.first_shown(origin)) {
                found.pairs.push(Pair { file, copy });
            }
        }
        Ok((found.pairs, awake))
    }
}

/// What people are told of one side.
fn side(tables: &Tables, at: &Shown) -> ConflictSide {
    let written = stamp(tables, at);
    let attr = tables.attr(at.ino);
    ConflictSide {
        path: text(tables, at),
        device: written.map(|stamp| tables.label(&stamp.dot.device)).unwrap_or_default(),
        is_mine: written.is_some_and(|stamp| stamp.dot.device == tables.author.device),
        written_ms: written.map_or(0, |stamp| stamp.hlc.millis()),
        modified_s: attr.map_or(0, |attr| attr.mtime.secs),
        size: attr.map_or(0, |attr| attr.size),
    }
}

/// The write that made what stands there; of anything but a file, the one that put it there.
fn stamp(tables: &Tables, at: &Shown) -> Option<Stamp> {
    let record = &tables.nodes.get(at.ino)?.record;
    let placed = record.links().map(|link| link.placed).max().or(record.dir_name().map(|name| name.stamp));
    record.newest_content().map(|content| content.stamp).or(placed)
}

fn text(tables: &Tables, at: &Shown) -> String {
    String::from_utf8_lossy(&tables.path_of(at)).into_owned()
}

/// The pairs a path names: one by its copy, all of a file by the file.
fn named(tables: &Tables, pairs: Vec<Pair>, path: &str) -> Result<Vec<Pair>, KeepError> {
    let standing: Vec<Pair> = pairs
        .into_iter()
        .filter(|pair| tables.still_stands(&pair.file) && tables.still_stands(&pair.copy))
        .collect();
    if let Some(pair) = standing.iter().find(|pair| text(tables, &pair.copy) == path) {
        return Ok(vec![pair.clone()]);
    }
    let of_file: Vec<Pair> = standing.into_iter().filter(|pair| text(tables, &pair.file) == path).collect();
    if of_file.is_empty() { Err(KeepError::NoConflict) } else { Ok(of_file) }
}

fn end(
    tables: &mut Tables,
    pairs: &[Pair],
    keep: Keep,
    notices: &mut BTreeSet<Notice>,
) -> Result<KeptConflict, KeepError> {
    let file = pairs.first().map(|pair| pair.file.clone()).ok_or(KeepError::NoConflict)?;
    let path = text(tables, &file);
    let copies: Vec<Shown> = pairs.iter().map(|pair| pair.copy.clone()).collect();
    if keep == Keep::Both {
        let renamed = copies.iter().map(|copy| tables.give_plain_name(copy, &file.name, notices));
        let renamed: Vec<Shown> = renamed.collect::<Result<_, _>>()?;
        let renamed = renamed.iter().map(|copy| text(tables, copy)).collect();
        return Ok(KeptConflict { path, renamed, trashed: 0 });
    }
    let all: Vec<&Shown> = std::iter::once(&file).chain(&copies).collect();
    if all.iter().any(|at| tables.kind(at.ino) != Some(Kind::File)) {
        return Err(KeepError::Choice("one of the two is not a file; only `both` ends this conflict"));
    }
    if all.iter().any(|at| tables.settled_content(at.ino).is_none()) {
        return Err(KeepError::Busy);
    }
    let winner = choose(tables, &all, keep)?.ino;
    if winner != file.ino {
        tables.take_content(file.ino, winner, notices)?;
    }
    for copy in &copies {
        tables.trash(copy, notices)?;
    }
    Ok(KeptConflict { path, renamed: Vec::new(), trashed: copies.len() as u64 })
}

/// Which of the contents a word means.
fn choose<'a>(tables: &Tables, all: &[&'a Shown], keep: Keep) -> Result<&'a Shown, KeepError> {
    let own: DeviceId = tables.author.device;
    let written: Vec<(Stamp, &Shown)> =
        all.iter().filter_map(|at| stamp(tables, at).map(|stamp| (stamp, *at))).collect();
    let by = |is_mine: bool| {
        let mut fit = written.iter().filter(|(stamp, _)| (stamp.dot.device == own) == is_mine);
        (fit.next().map(|(_, at)| *at), fit.next().is_some())
    };
    let newest = written.iter().max_by_key(|(stamp, _)| *stamp).map(|(_, at)| *at);
    let oldest = written.iter().min_by_key(|(stamp, _)| *stamp).map(|(_, at)| *at);
    let (found, is_ambiguous) = match keep {
        Keep::Mine => by(true),
        Keep::Theirs => by(false),
        Keep::Newest => (newest, false),
        Keep::Oldest => (oldest, false),
        Keep::Both => (None, false),
    };
    match (found, is_ambiguous) {
        (Some(at), false) => Ok(at),
        (Some(_), true) if keep == Keep::Mine => {
            Err(KeepError::Choice("this device wrote more than one of them"))
        }
        (Some(_), true) => Err(KeepError::Choice("other devices wrote more than one of them")),
        (None, _) if keep == Keep::Mine => Err(KeepError::Choice("this device wrote none of them")),
        (None, _) => Err(KeepError::Choice("no other device wrote one of them")),
    }
}
