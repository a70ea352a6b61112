//! The files and names found after a power cut, and how they are written to an ordinary folder.
//!
//! Contents are shared between the states of one replay, so that the state behind each of thousands of operations
//! costs only what changed.

use super::trace::{At, Kind, Op};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// Zeros of this length are left out when a file is written.
const BLOCK_BYTES: usize = 1 << 12;

/// What is found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    names: BTreeMap<At, (u64, Kind, u32)>,
    files: BTreeMap<u64, Arc<Vec<u8>>>,
}

impl Found {
    /// Applies a change of a name.
    pub(super) fn name(&mut self, op: &Op) {
        match op {
            Op::Make { at, node, kind, mode } => drop(self.names.insert(at.clone(), (*node, *kind, *mode))),
            Op::Remove { at } => drop(self.names.remove(at)),
            Op::Move { from, to } => {
                if let Some(node) = self.names.remove(from) {
                    self.names.insert(to.clone(), node);
                }
            }
            _ => unreachable!("only changes of names are pending as such"),
        }
    }

    /// Applies a change of a file, sector by sector as `keeps` says.
    pub(super) fn content(&mut self, op: &Op, keeps: &mut dyn FnMut(usize) -> bool) {
        match op {
            Op::Write { node, offset, bytes } => {
                let file = Arc::make_mut(self.files.entry(*node).or_default());
                let mut at = usize::try_from(*offset).unwrap_or(usize::MAX);
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let len = (SECTOR_BYTES - at % SECTOR_BYTES).min(rest.len());
                    let (sector, after) = rest.split_at(len);
                    if keeps(at) {
                        write(file, at, sector);
                    }
                    (at, rest) = (at + len, after);
                }
            }
            Op::SetLen { node, len_bytes } => {
                let len = usize::try_from(*len_bytes).unwrap_or(usize::MAX);
                Arc::make_mut(self.files.entry(*node).or_default()).resize(len, 0);
            }
            _ => unreachable!("only changes of content are pending on a file"),
        }
    }

    /// What a folder holds.
    pub(super) fn names_in(&self, dir: u64) -> impl Iterator<Item = (&OsStr, u64, Kind, u32)> {
        let names =
            self.names.range((dir, OsString::new())..).take_while(move |((in_dir, _), _)| *in_dir == dir);
        names.map(|((_, name), (node, kind, mode))| (name.as_os_str(), *node, *kind, *mode))
    }

    /// A file's bytes.
    pub(super) fn file(&self, node: u64) -> &[u8] {
        self.files.get(&node).map_or(&[], |bytes| bytes)
    }

    /// Writes what is below a folder of the disk to an ordinary one, which is made. Holes stay holes.
    pub(super) fn write_to(&self, dir: u64, folder: &Path) -> Result<()> {
        DirBuilder::new().recursive(true).create(folder)?;
        for (name, node, kind, mode) in self.names_in(dir) {
            let path = folder.join(name);
            match kind {
                Kind::Other => {}
                Kind::Dir => {
                    DirBuilder::new().mode(mode & 0o7777).create(&path).context("a folder of the image")?;
                    self.write_to(node, &path)?;
                }
                Kind::File => {
                    let file = File::create_new(&path).context("a file of the image")?;
                    file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
                    let bytes = self.file(node);
                    file.set_len(bytes.len() as u64)?;
                    write_without_holes(&file, bytes)?;
                }
            }
        }
        Ok(())
    }
}

fn write_without_holes(file: &File, bytes: &[u8]) -> Result<()> {
    let is_hole = |block: &[u8]| block.iter().all(|byte| *byte == 0);
    let (mut at, mut blocks) = (0, bytes.chunks(BLOCK_BYTES).peekable());
    while let Some(block) = blocks.next() {
        let mut end = at + block.len();
        if !is_hole(block) {
            while let Some(more) = blocks.next_if(|more| !is_hole(more)) {
                end += more.len();
            }
            file.write_all_at(&bytes[at..end], at as u64)?;
        }
        at = end;
    }
    Ok(())
}

/// Writes into a file in memory, which grows as needed.
pub(super) fn write(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[at..end].copy_from_slice(bytes);
}
