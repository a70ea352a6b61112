//! A disk in memory that can lose power, fail flushes, fill up and rot.
//!
//! Every operation is recorded; [`TraceDisk::cut`] builds the disk a machine finds after losing power
//! behind the first `n` of them. What was flushed is there; of the rest, a seed decides sector by
//! sector, or nothing of it is. Blocks are counted, so that a reservation holds room back and a full
//! disk is full.

use freehold_store::{Disk, DiskFile, Space};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug)]
enum Op {
    Create(String, usize),
    Write(usize, u64, Vec<u8>),
    SetLen(usize, u64),
    Sync(usize),
    /// A flush failed: what was not flushed before is lost, whatever later flushes say (fsync(2) on ext4: the pages
    /// count as clean).
    Lose(usize),
    Remove(String),
    Rename(String, String),
    SyncDir,
}

#[derive(Clone, Default)]
struct Image {
    names: BTreeMap<String, usize>,
    files: BTreeMap<usize, Vec<u8>>,
}

#[derive(Default)]
struct State {
    base: Image,
    now: Image,
    reserved: BTreeMap<usize, u64>,
    trace: Vec<Op>,
    next_file: usize,
    capacity_bytes: Option<u64>,
    fail_syncs_of: Option<&'static str>,
    /// Operations until one fails.
    failing_in: Option<u64>,
    failures: u64,
}

/// The disk; clones share it.
#[derive(Clone, Default)]
pub(crate) struct TraceDisk(Arc<Mutex<State>>);

impl TraceDisk {
    fn of(image: Image) -> Self {
        let next_file = image.files.keys().max().map_or(0, |last| last + 1);
        Self(Arc::new(Mutex::new(State { base: image.clone(), now: image, next_file, ..State::default() })))
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> usize {
        self.0.lock().trace.len()
    }

    /// The disk after a power cut; `seed` 0 loses everything that was not flushed.
    pub(crate) fn cut(&self, operations: usize, seed: u64) -> Self {
        let state = self.0.lock();
        let mut image = state.base.clone();
        let mut names = Vec::new();
        let mut pending: BTreeMap<usize, Vec<Op>> = BTreeMap::new();
        for op in state.trace.iter().take(operations) {
            match op {
                Op::Create(_, file) => {
                    image.files.insert(*file, Vec::new());
                    names.push(op.clone());
                }
                Op::Remove(_) | Op::Rename(..) => names.push(op.clone()),
                Op::SyncDir => names.drain(..).for_each(|op| rename(&mut image, &op)),
                Op::Write(file, ..) | Op::SetLen(file, _) => {
                    pending.entry(*file).or_default().push(op.clone())
                }
                Op::Sync(file) => {
                    let ops = pending.remove(file).unwrap_or_default();
                    ops.iter().for_each(|op| change(&mut image, op, &mut |_| true));
                }
                Op::Lose(file) => drop(pending.remove(file)),
            }
        }
        let mut draw = Draw(seed | 1);
        let mut keep = |_: usize| seed != 0 && draw.next().is_multiple_of(2);
        // A journaling file system keeps the order of names.
        for op in names {
            if !keep(0) {
                break;
            }
            rename(&mut image, &op);
        }
        pending.values().flatten().for_each(|op| change(&mut image, op, &mut keep));
        Self::of(image)
    }

    /// The disk as it is, as a process finds it that starts again without a power cut.
    pub(crate) fn reopened(&self) -> Self {
        Self::of(self.0.lock().now.clone())
    }

    /// Makes flushes of files with this suffix fail.
    pub(crate) fn fail_syncs_of(&self, suffix: Option<&'static str>) {
        self.0.lock().fail_syncs_of = suffix;
    }

    /// Makes the operation that comes after so many others fail with `EIO`, once.
    pub(crate) fn fail_after(&self, operations: u64) {
        self.0.lock().failing_in = Some(operations);
    }

    /// Operations that failed since this was asked last, for lack of room too.
    pub(crate) fn take_failures(&self) -> u64 {
        std::mem::take(&mut self.0.lock().failures)
    }

    /// Limits the disk.
    pub(crate) fn set_capacity(&self, capacity_bytes: u64) {
        self.0.lock().capacity_bytes = Some(capacity_bytes);
    }

    /// Whether nothing more fits.
    pub(crate) fn is_full(&self) -> bool {
        self.0.lock().free() == 0
    }

    /// Gives it room again, and lets nothing fail.
    pub(crate) fn mend(&self) {
        let mut state = self.0.lock();
        (state.capacity_bytes, state.failing_in) = (None, None);
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// Names with a suffix, sorted.
    pub(crate) fn names(&self, suffix: &str) -> Vec<String> {
        self.0.lock().now.names.keys().filter(|name| name.ends_with(suffix)).cloned().collect()
    }

    /// Changes a file behind the program's back.
    pub(crate) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        let file = state.now.names[name];
        let mut bytes = state.now.files.remove(&file).unwrap_or_default();
        change(&mut bytes);
        state.now.files.insert(file, bytes);
    }

    /// Everything on the disk, for a search.
    pub(crate) fn everything(&self) -> Vec<u8> {
        self.0.lock().now.files.values().flatten().copied().collect()
    }
}

impl State {
    fn used(&self) -> u64 {
        let live = self.now.names.values();
        live.map(|file| {
            let len = self.now.files.get(file).map_or(0, |bytes| bytes.len() as u64);
            len.max(self.reserved.get(file).copied().unwrap_or(0))
        })
        .sum()
    }

    fn is_named(&self, file: usize, suffix: &str) -> bool {
        self.now.names.iter().any(|(name, at)| *at == file && name.ends_with(suffix))
    }

    fn free(&self) -> u64 {
        self.capacity_bytes.map_or(1 << 40, |capacity| capacity.saturating_sub(self.used()))
    }

    fn record(&mut self, op: Op) {
        match &op {
            Op::Create(..) | Op::Remove(_) | Op::Rename(..) => rename(&mut self.now, &op),
            Op::Write(..) | Op::SetLen(..) => change(&mut self.now, &op, &mut |_| true),
            Op::Sync(_) | Op::SyncDir | Op::Lose(_) => {}
        }
        self.trace.push(op);
    }

    /// Does an operation, unless it is the one to fail: half of a write is there then, and of what was to be flushed
    /// nothing.
    fn attempt(&mut self, op: Op) -> io::Result<()> {
        if self.failing_in != Some(0) {
            self.failing_in = self.failing_in.map(|left| left - 1);
            self.record(op);
            return Ok(());
        }
        self.failing_in = None;
        self.failures += 1;
        match op {
            Op::Sync(file) => self.record(Op::Lose(file)),
            Op::Write(file, offset, bytes) => {
                self.record(Op::Write(file, offset, bytes[..bytes.len() / 2].to_vec()));
            }
            _ => {}
        }
        Err(io::Error::from_raw_os_error(libc::EIO))
    }

    fn refuse_growth(&mut self, bytes: u64) -> io::Result<()> {
        if bytes <= self.free() {
            return Ok(());
        }
        self.failures += 1;
        Err(io::ErrorKind::StorageFull.into())
    }
}

fn rename(image: &mut Image, op: &Op) {
    match op {
        Op::Create(name, file) => {
            image.names.insert(name.clone(), *file);
            image.files.entry(*file).or_default();
        }
        Op::Remove(name) => drop(image.names.remove(name)),
        Op::Rename(from, to) => {
            if let Some(file) = image.names.remove(from) {
                image.names.insert(to.clone(), file);
            }
        }
        _ => unreachable!("only names are changed here"),
    }
}

fn change(image: &mut Image, op: &Op, keep: &mut dyn FnMut(usize) -> bool) {
    match op {
        Op::Write(file, offset, written) => {
            let bytes = image.files.entry(*file).or_default();
            for (sector, part) in written.chunks(SECTOR_BYTES).enumerate() {
                if keep(sector) {
                    let start = *offset as usize + sector * SECTOR_BYTES;
                    bytes.resize(bytes.len().max(start + part.len()), 0);
                    bytes[start..start + part.len()].copy_from_slice(part);
                }
            }
        }
        Op::SetLen(file, len) => {
            if keep(0) {
                image.files.entry(*file).or_default().resize(*len as usize, 0);
            }
        }
        _ => unreachable!("only bytes are changed here"),
    }
}

/// xorshift64*.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33
    }
}

impl Disk for TraceDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        if state.now.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.next_file;
        state.attempt(Op::Create(name.to_owned(), file))?;
        state.next_file += 1;
        Ok(Arc::new(TraceFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = *self.0.lock().now.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(TraceFile { disk: self.clone(), file }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names(""))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        if !state.now.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.attempt(Op::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        if !state.now.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.attempt(Op::Remove(name.to_owned()))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.0.lock().attempt(Op::SyncDir)
    }

    fn space(&self) -> io::Result<Space> {
        let state = self.0.lock();
        let total_bytes = state.capacity_bytes.unwrap_or(1 << 40);
        Ok(Space { free_bytes: state.free(), total_bytes })
    }

    fn unix_now(&self) -> u64 {
        1_800_000_000
    }

    fn fill_random(&self, buffer: &mut [u8]) -> io::Result<()> {
        getrandom::fill(buffer).map_err(|error| io::Error::other(error.to_string()))
    }
}

struct TraceFile {
    disk: TraceDisk,
    file: usize,
}

impl DiskFile for TraceFile {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let state = self.disk.0.lock();
        let start = offset as usize;
        let bytes = state.now.files.get(&self.file).and_then(|bytes| bytes.get(start..start + buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let len = state.now.files.get(&self.file).map_or(0, |bytes| bytes.len() as u64);
        let grown = (offset + bytes.len() as u64).saturating_sub(len);
        state.refuse_growth(grown)?;
        state.attempt(Op::Write(self.file, offset, bytes.to_vec()))
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().now.files.get(&self.file).map_or(0, |bytes| bytes.len() as u64))
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.disk.0.lock().attempt(Op::SetLen(self.file, len_bytes))
    }

    fn reserve(&self, end: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.refuse_growth(end)?;
        state.reserved.insert(self.file, end);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        if state.fail_syncs_of.is_some_and(|suffix| state.is_named(self.file, suffix)) {
            state.failures += 1;
            state.record(Op::Lose(self.file));
            return Err(io::Error::other("the flush failed"));
        }
        state.attempt(Op::Sync(self.file))
    }

    fn drop_cached(&self) {}

    fn will_need(&self, _: u64, _: u64) {}

    fn release(&self, _: u64, _: u64) {}
}
