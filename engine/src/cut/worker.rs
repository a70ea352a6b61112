//! The thread that cuts, and how it is woken, hurried and stopped.

use super::cutting::{Cutting, Shape};
use super::job::chunked;
use super::known::Known;
use super::seal::{CutError, Run, Sealed, Sealer, Snapshot};
use crate::background::give_way;
use crate::body::ahead::AheadPiece;
use crate::entropy::OsEntropy;
use crate::journal::Segment;
use crate::limits::{AHEAD_ROOM_TIMES, AHEAD_SYNC_BYTES};
use crate::problems::Problems;
use crate::sync::task::Signals;
use crate::transfer::download::Downloads;
use crate::transfer::upload::Uploads;
use crate::volume::AheadJob;
use crate::{CutJob, CutOutcome, CutToken, FsError, Volume};
use freehold_crypto::VaultKeyring;
use freehold_model::ChunkId;
use freehold_net::Class;
use freehold_store::CacheStore;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Files installed behind one flush of the cache, and bytes of them.
const BATCH_FILES: usize = 256;
/// See [`BATCH_FILES`].
const BATCH_BYTES: u64 = 32 * 1024 * 1024;

/// How often quiet bodies are looked for.
const LOOK: Duration = Duration::from_millis(250);

/// Pause after a file that could not be cut.
const RETRY: Duration = Duration::from_secs(5);

/// How long a cut waits for chunks of an earlier version that are not on this device.
const FETCH: Duration = Duration::from_secs(30);

/// Problem: the disk has no room for sealed pieces.
const DISK_FULL: &str = "disk_full";
/// Problem: changed files cannot be prepared for upload.
const UNCUT: &str = "files_not_sealed";

/// What the worker works with.
pub(crate) struct CutParts {
    pub(crate) volume: Arc<Volume>,
    pub(crate) cache: Arc<CacheStore>,
    pub(crate) keyring: Arc<VaultKeyring>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) downloads: Arc<Downloads>,
    pub(crate) problems: Arc<Problems>,
    /// Told when something was installed.
    pub(crate) signals: Arc<Signals>,
}

/// Wakes the thread: a file was closed.
#[derive(Clone)]
pub(crate) struct Waker(Arc<Control>);

impl Waker {
    /// Looks for bodies that are due, at once.
    pub(crate) fn wake(&self) {
        self.0.is_due.store(true, Ordering::Release);
        drop(self.0.lock.lock());
        self.0.wake.notify_all();
    }
}

/// The running thread. Stop it before the volume is closed.
pub(crate) struct CutWorker {
    control: Arc<Control>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Control {
    stop: AtomicBool,
    /// Cut everything now: somebody waits until all is synced.
    force: AtomicBool,
    /// A body became due since the last look.
    is_due: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

/// What was sealed ahead lately.
#[derive(Default)]
struct Done {
    /// Bytes in the cache that were not flushed.
    unflushed_bytes: u64,
    /// Where it was read from.
    spent: Spent,
    /// Room for what is read next.
    bytes: Vec<u8>,
}

/// The staging segment that is being read, the newest so far: a file is mostly written from front to back, so it is not
/// likely to be read from older ones again.
#[derive(Default)]
struct Spent(Option<Arc<Segment>>);

/// A sealed file that waits for the cache's flush.
struct Ready {
    token: CutToken,
    sealed: Sealed,
    pins: Vec<ChunkId>,
}

/// What one pass over the due bodies came to.
#[derive(Default)]
struct Pass {
    ready: Vec<Ready>,
    failed: Vec<(CutToken, CutError)>,
    /// Chunks pinned for files that failed. Others of the same pass may share them.
    stray: Vec<ChunkId>,
    bytes: u64,
}

impl CutWorker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub(crate) fn start(parts: CutParts) -> std::io::Result<Self> {
        let control = Arc::new(Control::default());
        let shared = Arc::clone(&control);
        let thread = std::thread::Builder::new().name("freehold-cut".into()).spawn(move || {
            give_way();
            let cutting = Cutting::new(&parts.keyring);
            Worker { parts, control: shared, known: Known::new(), cutting }.run();
        })?;
        Ok(Self { control, thread: Mutex::new(Some(thread)) })
    }

    /// What wakes the thread.
    pub(crate) fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.control))
    }

    /// Cuts also what is not quiet yet, from now on or no longer.
    pub(crate) fn force(&self, force: bool) {
        if self.control.force.swap(force, Ordering::AcqRel) != force {
            self.control.wake.notify_all();
        }
    }

    /// Ends the thread after the piece it is at. Blocks.
    pub(crate) fn stop(&self) {
        self.control.stop.store(true, Ordering::Release);
        drop(self.control.lock.lock());
        self.control.wake.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the cutting thread had panicked");
        }
    }
}

impl Drop for CutWorker {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Worker {
    parts: CutParts,
    control: Arc<Control>,
    known: Known,
    cutting: Cutting,
}

impl Worker {
    fn run(&self) {
        let mut done = Done::default();
        while !self.stopped() {
            self.control.is_due.store(false, Ordering::Release);
            let pass = self.pass();
            let (is_idle, failed) =
                (pass.ready.is_empty() && pass.failed.is_empty(), !pass.failed.is_empty());
            let installed = self.finish(pass);
            if failed && !installed {
                self.sleep(RETRY);
            } else if is_idle && !self.ahead(&mut done) {
                self.sleep(LOOK);
            }
        }
    }

    /// Seals a few pieces of a file that is still being written; whether there were any.
    fn ahead(&self, done: &mut Done) -> bool {
        let job = self.parts.volume.next_ahead(|before| self.cutting.of_growing(before));
        let Some(AheadJob { ino, range, profile, reader }) = job else {
            // A segment that is held here stays on the disk.
            done.spent = Spent::default();
            done.bytes = Vec::new();
            return false;
        };
        if !self.parts.cache.room_bytes().is_ok_and(|room| room / AHEAD_ROOM_TIMES >= reader.size()) {
            // The program that writes has more use for the room.
            self.parts.volume.drop_ahead(ino);
            return true;
        }
        done.unflushed_bytes += range.end - range.start;
        let mut entropy = OsEntropy;
        let read = |offset, buffer: &mut [u8]| {
            // All of it was written here: nothing of it is missing.
            let failed = |blocked: Result<_, FsError>| CutError::Read(blocked.err().unwrap_or(FsError::Io));
            reader.read_at(offset, buffer).map_err(failed)
        };
        let newest = reader.newest_segment(range.start, range.end - range.start);
        // Whatever is wrong is told by the cut.
        let sealed = self.sealer(&mut entropy).seal_ahead(profile, range, &mut done.bytes, read).ok();
        done.spent.read(newest, &self.parts.volume);
        let is_sealed = sealed.is_some();
        self.parts.volume.keep_ahead(ino, sealed.unwrap_or_default());
        let mut is_kept = true;
        if done.unflushed_bytes >= AHEAD_SYNC_BYTES {
            done.unflushed_bytes = 0;
            is_kept = self.parts.cache.sync().is_ok();
        }
        if !is_sealed || !is_kept {
            self.parts.volume.drop_ahead(ino);
        }
        true
    }

    fn sealer<'a>(&'a self, entropy: &'a mut OsEntropy) -> Sealer<'a> {
        let (cutting, known) = (&self.cutting, &self.known);
        Sealer { cutting, keyring: &self.parts.keyring, cache: &self.parts.cache, known, entropy }
    }

    fn stopped(&self) -> bool {
        self.control.stop.load(Ordering::Acquire)
    }

    fn sleep(&self, wait: Duration) {
        let mut guard = self.control.lock.lock();
        if !self.stopped() && !self.control.is_due.load(Ordering::Acquire) {
            self.control.wake.wait_for(&mut guard, wait);
        }
    }

    /// Seals due bodies until a batch is full. A body that fails stays taken until the pass is over,
    /// so that it does not come up again and again.
    fn pass(&self) -> Pass {
        let mut pass = Pass::default();
        while pass.ready.len() < BATCH_FILES && pass.bytes < BATCH_BYTES && !self.stopped() {
            let Some(job) = self.parts.volume.next_cut(self.control.force.load(Ordering::Acquire)) else {
                break;
            };
            let token = job.token;
            pass.bytes += job.size;
            let mut pins = Vec::new();
            match self.seal(job, &mut pins) {
                Ok(sealed) => pass.ready.push(Ready { token, sealed, pins }),
                Err(error) => {
                    pass.failed.push((token, error));
                    pass.stray.append(&mut pins);
                }
            }
        }
        pass
    }

    fn seal(&self, job: CutJob, pins: &mut Vec<ChunkId>) -> Result<Sealed, CutError> {
        let parts = &self.parts;
        let previous = job.previous.as_ref().and_then(|content| chunked(&content.body)).cloned();
        let size = job.size;
        let (volume, downloads, spent) = (&parts.volume, &parts.downloads, Mutex::default());
        let view = JobView { job, volume, downloads, control: &self.control, spent };
        let mut entropy = OsEntropy;
        self.sealer(&mut entropy).seal(size, previous.as_ref(), &view, pins)
    }

    /// Flushes the cache and installs what is sealed; whether anything was.
    fn finish(&self, pass: Pass) -> bool {
        let Pass { ready, failed, mut stray, .. } = pass;
        for (token, error) in failed {
            self.parts.volume.drop_cut(&token);
            self.report(&error);
        }
        let has_pins = ready.iter().any(|file| !file.pins.is_empty());
        if has_pins && self.parts.cache.sync().is_err() {
            ready.iter().for_each(|file| self.parts.volume.drop_cut(&file.token));
            self.report(&CutError::Cache);
            return false;
        }
        let installed = !ready.is_empty();
        for Ready { token, sealed: Sealed { body, entries, ahead }, pins } in ready {
            self.parts.volume.taken_ahead(&token, ahead);
            match self.parts.volume.finish_cut(&token, body, pins.clone()) {
                CutOutcome::Installed | CutOutcome::InstalledWithNewer => {
                    self.known.add(entries);
                    self.parts.uploads.add(&pins);
                }
                CutOutcome::Gone => stray.extend(pins),
            }
        }
        self.unpin(&stray);
        if installed {
            self.parts.signals.wake();
            self.parts.problems.clear(DISK_FULL);
            self.parts.problems.clear(UNCUT);
        }
        installed
    }

    /// Drops the pins of chunks that serve nobody else.
    fn unpin(&self, pins: &[ChunkId]) {
        let free: Vec<ChunkId> =
            pins.iter().filter(|chunk| !self.parts.uploads.holds(chunk)).copied().collect();
        if self.parts.cache.unpin(&free).is_err() {
            tracing::warn!("chunks of a file that is gone stay pinned for now");
        }
    }

    fn report(&self, error: &CutError) {
        match error {
            // Nothing is wrong: the content comes when a node answers.
            CutError::Read(FsError::Unreachable) => tracing::debug!(%error, "a file was not cut yet"),
            CutError::NoSpace => {
                self.parts.problems.raise(DISK_FULL, error.to_string(), "free space on this device");
            }
            _ => {
                self.parts.problems.raise(
                    UNCUT,
                    error.to_string(),
                    "check this device's disk; the files stay as they are",
                );
            }
        }
    }
}

/// A job as the sealer sees it.
struct JobView<'a> {
    job: CutJob,
    volume: &'a Volume,
    downloads: &'a Arc<Downloads>,
    control: &'a Control,
    spent: Mutex<Spent>,
}

impl Spent {
    /// Notes the newest segment of what was just read; the one before it was read to its end.
    fn read(&mut self, newest: Option<Arc<Segment>>, volume: &Volume) {
        let number = self.0.as_ref().map(|segment| segment.number);
        if let Some(newest) = newest.filter(|newest| Some(newest.number) > number)
            && let Some(spent) = self.0.replace(newest)
        {
            volume.done_with(&spent);
        }
    }
}

impl Snapshot for JobView<'_> {
    fn shape(&self) -> Shape {
        self.job.shape()
    }

    fn run_at(&self, offset: u64, max: u64) -> Run {
        self.job.run_at(offset, max)
    }

    fn sealed_ahead(&self, offset: u64) -> Option<AheadPiece> {
        self.job.ahead.get(&offset).cloned()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FsError> {
        loop {
            if self.control.stop.load(Ordering::Acquire) {
                return Err(FsError::Closed);
            }
            match self.job.reader.read_at(offset, buffer) {
                Ok(()) => {
                    let newest = self.job.reader.newest_segment(offset, buffer.len() as u64);
                    self.spent.lock().read(newest, self.volume);
                    return Ok(());
                }
                Err(Ok(missing)) => self.fetch(&missing)?,
                Err(Err(error)) => return Err(error),
            }
        }
    }

    fn fetch(&self, chunks: &[ChunkId]) -> Result<(), FsError> {
        let (told, hear) = std::sync::mpsc::channel();
        // Nobody hears it only when this thread has ended.
        let done = Box::new(move |result| told.send(result).unwrap_or_default());
        self.downloads.want(chunks, Instant::now() + FETCH, Class::Bulk, done);
        hear.recv().map_err(|_| FsError::Closed)?.map_err(FsError::from)
    }
}
