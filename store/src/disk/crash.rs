//! A disk in memory whose power can be cut between any two operations.
//!
//! It records every operation. [`CrashDisk::after_cut`] builds the disk a machine would find after
//! losing power behind a prefix of them: what was flushed is there, what was not is there, gone, or
//! torn by 512-byte sectors, as the chosen [`Unflushed`] says. Flushes can be made to fail, and the
//! disk to be full.

use super::{Disk, DiskFile, Space};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

const SECTOR_BYTES: usize = 512;

/// What a power cut leaves of operations nobody flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unflushed {
    Lost,
    Kept,
    /// Sector by sector, as a generator of this seed says.
    Torn(u64),
}

#[derive(Clone, Debug)]
enum Op {
    Create { name: String, file: usize },
    Write { file: usize, offset: u64, bytes: Vec<u8> },
    SetLen { file: usize, len_bytes: u64 },
    Sync { file: usize },
    Rename { from: String, to: String },
    Remove { name: String },
    SyncDir,
}

#[derive(Clone, Default)]
struct State {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    trace: Vec<Op>,
    free_bytes: Option<u64>,
    fills_up: bool,
    failing_syncs: bool,
    failing_reads: Option<io::ErrorKind>,
    syncs: u64,
    draws: u64,
}

/// The disk; clones share it.
#[derive(Clone, Default)]
pub(crate) struct CrashDisk(Arc<Mutex<State>>);

impl CrashDisk {
    /// Operations so far: a place where the power may be cut.
    pub(crate) fn operations(&self) -> usize {
        self.0.lock().trace.len()
    }

    /// The disk found after a power cut behind the first `operations`.
    pub(crate) fn after_cut(&self, operations: usize, unflushed: Unflushed) -> Self {
        let state = self.0.lock();
        let mut found = Found::default();
        for op in &state.trace[..operations] {
            found.apply(op);
        }
        let (names, files) = found.settle(unflushed);
        Self(Arc::new(Mutex::new(State { names, files, ..State::default() })))
    }

    /// Makes every flush from here on fail, or succeed again.
    pub(crate) fn fail_syncs(&self, failing: bool) {
        self.0.lock().failing_syncs = failing;
    }

    /// Makes every read from here on fail so, or succeed again.
    pub(crate) fn fail_reads(&self, failing: Option<io::ErrorKind>) {
        self.0.lock().failing_reads = failing;
    }

    /// Flushes asked for so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// Leaves room for that many bytes.
    pub(crate) fn set_free(&self, free_bytes: u64) {
        self.0.lock().free_bytes = Some(free_bytes);
    }

    /// Lets the disk be full as soon as somebody has asked how full it is.
    pub(crate) fn fill_after_next_question(&self) {
        self.0.lock().fills_up = true;
    }

    /// Changes bytes behind the store's back.
    pub(crate) fn corrupt(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        let file = state.names[name];
        change(&mut state.files[file]);
    }

    /// Names of all files, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().names.keys().cloned().collect()
    }
}

/// A replay that tells flushed from unflushed.
#[derive(Default)]
struct Found {
    names: BTreeMap<String, usize>,
    pending_names: Vec<Op>,
    files: BTreeMap<usize, (Vec<u8>, Vec<Op>)>,
}

impl Found {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Write { file, .. } | Op::SetLen { file, .. } => {
                self.files.entry(*file).or_default().1.push(op.clone());
            }
            Op::Sync { file } => {
                let (bytes, pending) = self.files.entry(*file).or_default();
                for op in pending.drain(..) {
                    apply_whole(bytes, &op);
                }
            }
            Op::SyncDir => {
                for op in self.pending_names.drain(..) {
                    apply_name(&mut self.names, &op);
                }
            }
            Op::Create { .. } | Op::Rename { .. } | Op::Remove { .. } => self.pending_names.push(op.clone()),
        }
    }

    fn settle(mut self, unflushed: Unflushed) -> (BTreeMap<String, usize>, Vec<Vec<u8>>) {
        let mut draw = Draw(if let Unflushed::Torn(seed) = unflushed { seed | 1 } else { 1 });
        let keeps = |op_draw: &mut Draw| match unflushed {
            Unflushed::Lost => false,
            Unflushed::Kept => true,
            Unflushed::Torn(_) => op_draw.next().is_multiple_of(2),
        };
        // A journal keeps the order of names: a later one never survives an earlier one's loss.
        for op in &self.pending_names {
            if !keeps(&mut draw) {
                break;
            }
            apply_name(&mut self.names, op);
        }
        let last = self.names.values().copied().max().map_or(0, |last| last + 1);
        let mut files = vec![Vec::new(); last];
        for (file, (mut bytes, pending)) in self.files {
            for op in pending {
                match &op {
                    Op::Write { offset, bytes: written, .. } => {
                        for (sector, part) in written.chunks(SECTOR_BYTES).enumerate() {
                            if keeps(&mut draw) {
                                write(&mut bytes, *offset + (sector * SECTOR_BYTES) as u64, part);
                            }
                        }
                    }
                    _ if keeps(&mut draw) => apply_whole(&mut bytes, &op),
                    _ => {}
                }
            }
            if let Some(slot) = files.get_mut(file) {
                *slot = bytes;
            }
        }
        (self.names, files)
    }
}

fn apply_whole(bytes: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write { offset, bytes: written, .. } => write(bytes, *offset, written),
        Op::SetLen { len_bytes, .. } => bytes.resize(*len_bytes as usize, 0),
        _ => unreachable!("only a file's own operations are pending on it"),
    }
}

fn apply_name(names: &mut BTreeMap<String, usize>, op: &Op) {
    match op {
        Op::Create { name, file } => {
            names.insert(name.clone(), *file);
        }
        Op::Rename { from, to } => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Op::Remove { name } => {
            names.remove(name);
        }
        _ => unreachable!("only operations on names are pending on the directory"),
    }
}

fn write(bytes: &mut Vec<u8>, offset: u64, written: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + written.len());
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[start..end].copy_from_slice(written);
}

/// xorshift64*: enough to vary which sectors survive.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33
    }
}

impl Disk for CrashDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Vec::new());
        state.names.insert(name.to_owned(), file);
        state.trace.push(Op::Create { name: name.to_owned(), file });
        Ok(Arc::new(CrashFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = *self.0.lock().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(CrashFile { disk: self.clone(), file }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        let op = Op::Rename { from: from.to_owned(), to: to.to_owned() };
        apply_name(&mut state.names, &op);
        state.trace.push(op);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        let op = Op::Remove { name: name.to_owned() };
        apply_name(&mut state.names, &op);
        state.trace.push(op);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.0.lock().trace.push(Op::SyncDir);
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let mut state = self.0.lock();
        let free_bytes = state.free_bytes.unwrap_or(1 << 40);
        if std::mem::take(&mut state.fills_up) {
            state.free_bytes = Some(0);
        }
        Ok(Space { free_bytes, total_bytes: 1 << 20 })
    }

    fn unix_now(&self) -> u64 {
        1_800_000_000
    }

    fn fill_random(&self, buffer: &mut [u8]) -> io::Result<()> {
        let mut state = self.0.lock();
        state.draws += 1;
        let mut draw = Draw(state.draws);
        buffer.fill_with(|| draw.next() as u8);
        Ok(())
    }
}

struct CrashFile {
    disk: CrashDisk,
    file: usize,
}

impl DiskFile for CrashFile {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let state = self.disk.0.lock();
        if let Some(kind) = state.failing_reads {
            return Err(kind.into());
        }
        let start = offset as usize;
        let bytes = state.files[self.file].get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let file = self.file;
        let grown = (offset as usize + bytes.len()).saturating_sub(state.files[file].len()) as u64;
        let mut written = bytes;
        if let Some(free) = &mut state.free_bytes {
            if grown > *free {
                // As write(2) does: some of it, then the error.
                written = &bytes[..bytes.len() / 2];
            } else {
                *free -= grown;
            }
        }
        write(&mut state.files[file], offset, written);
        state.trace.push(Op::Write { file, offset, bytes: written.to_vec() });
        if written.len() < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().files[self.file].len() as u64)
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let op = Op::SetLen { file: self.file, len_bytes };
        apply_whole(&mut state.files[self.file], &op);
        state.trace.push(op);
        Ok(())
    }

    fn reserve(&self, _end: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.syncs += 1;
        if state.failing_syncs {
            return Err(io::Error::other("the flush failed"));
        }
        let op = Op::Sync { file: self.file };
        state.trace.push(op);
        Ok(())
    }

    fn drop_cached(&self) {}

    fn will_need(&self, _: u64, _: u64) {}

    fn release(&self, _: u64, _: u64) {}
}
