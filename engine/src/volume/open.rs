//! Opening and closing a volume.

use crate::body::cache::PlainCache;
use crate::body::clean::CleanReader;
use crate::body::read::Reader;
use crate::index::{Index, Loaded, Rows};
use crate::journal::item::Item;
use crate::journal::replay::{Origin, replay};
use crate::journal::space::Space;
use crate::journal::staging::Staging;
use crate::journal::writer::JournalWriter;
use crate::journal::{Sealer, Segments};
use crate::tables::{Author, OsEntropy, Tables};
use crate::volume::flush::Flusher;
use crate::volume::load::Loading;
use crate::volume::{Clock, Local, Volume};
use crate::{OpenError, Recovery, limits};
use freehold_crypto::{LocalKey, VaultKeyring};
use freehold_model::{DeviceId, FileId};
use freehold_store::{CacheStore, Disk, OsDisk, StoreError};
use freehold_vault::record::Owner;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

/// What a volume is opened with.
pub struct VolumeOptions {
    /// Who writes. A higher incarnation found on disk wins.
    pub author: Author,
    /// User shown for a root directory whose owner nobody has set.
    pub uid: u32,
    /// Group shown for it.
    pub gid: u32,
    /// Seals local state.
    pub local_key: Arc<LocalKey>,
    /// Names rows by record id.
    pub keyring: Arc<VaultKeyring>,
    /// The vault's ciphertext chunks on this device.
    pub chunks: Arc<CacheStore>,
    /// Files that stay in memory when nobody looks at them.
    pub files_in_memory: usize,
    /// Tells the time.
    pub clock: Box<dyn Clock>,
}

impl std::fmt::Debug for VolumeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VolumeOptions").field("author", &self.author).finish_non_exhaustive()
    }
}

fn disk_error(what: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Disk { what, source: Arc::new(source) }
}

/// Wakes the volume's own thread, and stops it.
#[derive(Default)]
pub(crate) struct Ticker {
    calls: Arc<(Mutex<Calls>, Condvar)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the volume's thread is asked to do.
#[derive(Default)]
struct Calls {
    stop: bool,
    /// Not to wait until the interval is over.
    hurry: bool,
}

impl Ticker {
    fn start(&self, volume: Weak<Volume>) -> io::Result<()> {
        let calls = Arc::clone(&self.calls);
        let thread = std::thread::Builder::new().name("freehold-flush".into()).spawn(move || {
            if let Some(volume) = volume.upgrade() {
                volume.prepare();
            }
            loop {
                let (calls, wake) = &*calls;
                let mut calls = calls.lock();
                if !calls.hurry && !calls.stop {
                    wake.wait_for(&mut calls, limits::FLUSH_INTERVAL);
                }
                if calls.stop {
                    return;
                }
                calls.hurry = false;
                drop(calls);
                match volume.upgrade() {
                    Some(volume) => volume.tend(),
                    None => return,
                }
            }
        })?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Has the thread flush now. Returns at once.
    pub(crate) fn hurry(&self) {
        let mut calls = self.calls.0.lock();
        if !calls.hurry {
            calls.hurry = true;
            self.calls.1.notify_all();
        }
    }

    fn stop(&self) {
        self.calls.0.lock().stop = true;
        self.calls.1.notify_all();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("the flush thread had panicked");
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.ticker.stop();
    }
}

impl Volume {
    /// A volume that lives in memory only, with an empty root owned by `uid` and `gid`: for tests
    /// of the layers above.
    #[must_use]
    pub fn in_memory(uid: u32, gid: u32, clock: Box<dyn Clock>) -> Arc<Self> {
        let mut id = [0; DeviceId::LEN];
        freehold_model::Entropy::fill(&mut OsEntropy, &mut id);
        let author = Author { device: DeviceId::from_bytes(id), incarnation: 0 };
        let tables = Tables::new(author, Owner { uid, gid }, clock.now(), Box::new(OsEntropy));
        let reader = Reader { sealer: None, clean: None, plain: PlainCache::new() };
        Arc::new(Self::assemble(tables, None, reader, clock))
    }

    fn assemble(tables: Tables, local: Option<Local>, reader: Reader, clock: Box<dyn Clock>) -> Self {
        Self {
            tables: Mutex::new(tables),
            local,
            reader,
            in_memory: Arc::default(),
            clock,
            source: Mutex::new(None),
            notify: Mutex::new(None),
            when_closed: Mutex::default(),
            showing: Mutex::default(),
            arrivals: AtomicU64::default(),
            sweep: Mutex::default(),
            readahead: Mutex::default(),
            ticker: Ticker::default(),
        }
    }

    /// Opens the local state of a vault in a directory, creating it when absent, and starts its
    /// flush thread.
    ///
    /// # Errors
    /// `Disk`, `Busy`, `WrongKey`, `TooManyNodes`. Damage is no error: the [`Recovery`] names it.
    pub fn open(dir: &Path, options: VolumeOptions) -> Result<(Arc<Self>, Recovery), OpenError> {
        let disk = OsDisk::open(&dir.join("journal")).map_err(|error| match error {
            StoreError::InUse => OpenError::Busy,
            other => disk_error("open the journal directory")(io::Error::other(other)),
        })?;
        let (volume, recovery) = Self::open_on(Arc::new(disk), Some(dir.join("index.db")), options)?;
        volume.ticker.start(Arc::downgrade(&volume)).map_err(disk_error("start the flush thread"))?;
        Ok((volume, recovery))
    }

    /// As [`open`](Self::open), on any disk and without a thread; without an index path, the journal
    /// alone keeps everything.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        index: Option<PathBuf>,
        options: VolumeOptions,
    ) -> Result<(Arc<Self>, Recovery), OpenError> {
        let sealer = Arc::new(Sealer::new(Arc::clone(&options.local_key)));
        check_key(&*disk, &sealer)?;
        let mut segments =
            Segments::open(Arc::clone(&disk)).map_err(disk_error("list the journal directory"))?;
        let mut history = Vec::new();
        let report =
            replay(&mut segments, &sealer, |origin: Origin, item: Item| history.push((origin, item)))
                .map_err(disk_error("read the journal"))?;
        let mut recovery = Recovery {
            torn_bytes: report.torn_bytes,
            damaged_segments: report.damaged_segments.clone(),
            ..Recovery::default()
        };
        let has_index = index.is_some();
        let fresh = || empty(&options, has_index);
        let spoken_of = spoken_of(&history);
        let mut loading = Loading::new(&fresh, &spoken_of);
        let opened = index
            .map(|path| open_index(&path, &sealer, &options.keyring, report.first_batch, &mut loading))
            .transpose()?;
        let (index, loaded, is_stale) = match opened {
            Some((index, loaded, is_stale)) => (Some(index), loaded, is_stale),
            None => (None, Loaded { applied: 0, is_new: true }, false),
        };
        let had_history = report.first_batch.is_some_and(|first| first > 1);
        recovery.heads_needed = is_stale || (loaded.is_new && had_history);
        let last_batch = report.last_batch.max(loaded.applied);
        let behind: Vec<Item> = history
            .iter()
            .filter(|(origin, _)| origin.batch > loaded.applied)
            .map(|(_, item)| item.clone())
            .collect();
        let last_in_segments =
            history.iter().fold(BTreeMap::new(), |mut all: BTreeMap<u64, u64>, (origin, _)| {
                all.insert(origin.segment, origin.batch);
                all
            });
        loading.history(loaded.applied, history, &segments);
        let mut tables = loading.finish(index.as_ref(), &mut recovery)?;
        // What only the journal has said goes to the index before any later batch: the next start
        // reads nothing from batches that the index says it has. In one piece, so that it never
        // counts as applied by half.
        if let Some(index) = index.as_ref().filter(|_| !behind.is_empty()) {
            index.submit(report.last_batch, &behind);
        }
        let segments = Arc::new(Mutex::new(segments));
        let space = Arc::new(Space::open(disk).map_err(disk_error("reserve space for the journal"))?);
        tables.space = Some(Arc::clone(&space));
        tables.hydration.chunks = Some(Arc::clone(&options.chunks));
        let writer = JournalWriter::new(
            Arc::clone(&sealer),
            Arc::clone(&segments),
            Arc::clone(&space),
            last_batch,
            report.chain,
        );
        let staging = Staging::new(Arc::clone(&sealer), Arc::clone(&segments), Arc::clone(&space));
        let flushed_op = if tables.dirty.is_empty() && tables.gone.is_empty() && tables.pending.is_empty() {
            tables.op
        } else {
            0
        };
        let flusher = Mutex::new(Flusher { writer, flushed_op, last_batch: last_in_segments });
        let reader = Reader {
            sealer: Some(Arc::clone(&sealer)),
            clean: Some(CleanReader::new(Arc::clone(&options.chunks))),
            plain: PlainCache::new(),
        };
        let local = Local { sealer, segments, space, staging, flusher, index, chunks: options.chunks };
        Ok((Arc::new(Self::assemble(tables, Some(local), reader, options.clock)), recovery))
    }

    /// Flushes, brings the index up to date and stops the volume's thread. Drop the volume next.
    ///
    /// # Errors
    /// `Io`, `NoSpace` when the last changes may be missing on disk.
    pub fn close(&self) -> Result<(), crate::FsError> {
        self.ticker.stop();
        self.flush()?;
        if let Some(local) = &self.local {
            local.space.spare.give_up();
        }
        if let Some(index) = self.local.as_ref().and_then(|local| local.index.as_ref())
            && !index.sync()
        {
            tracing::warn!("the index could not be brought up to date; the journal has what it lacks");
        }
        Ok(())
    }
}

/// The files that the journal has something to say about, each with the batch that says it. Bodies are news
/// to every index.
fn spoken_of(history: &[(Origin, Item)]) -> Vec<(u64, FileId)> {
    let files = history.iter().filter_map(|(origin, item)| match item {
        Item::Node(image) => Some((origin.batch, image.file)),
        Item::Gone(file) | Item::Pins { file, .. } => Some((origin.batch, *file)),
        Item::Body(body) => Some((u64::MAX, body.file)),
        Item::BodyGone { file, .. } => Some((u64::MAX, *file)),
        Item::Meta { .. } | Item::Outbox { .. } | Item::OutboxGone(_) => None,
    });
    files.collect()
}

/// Tables with nothing but a root.
fn empty(options: &VolumeOptions, has_index: bool) -> Tables {
    let owner = Owner { uid: options.uid, gid: options.gid };
    let mut tables = Tables::new(options.author, owner, options.clock.now(), Box::new(OsEntropy));
    tables.asleep.has_index = has_index;
    tables.nodes.let_stay(options.files_in_memory);
    tables
}

/// Proves that the local key is the one this state was sealed with, before anything is touched.
fn check_key(disk: &dyn Disk, sealer: &Sealer) -> Result<(), OpenError> {
    const NAME: &str = "key-check";
    let names = disk.list().map_err(disk_error("list the journal directory"))?;
    if names.iter().any(|name| name == NAME) {
        let file = disk.open(NAME).map_err(disk_error("read the key check"))?;
        let len = file.len_bytes().map_err(disk_error("read the key check"))?;
        let mut sealed = vec![0; usize::try_from(len.min(4096)).unwrap_or_default()];
        file.read_exact_at(0, &mut sealed).map_err(disk_error("read the key check"))?;
        if sealer.open_row(0, NAME.as_bytes(), &sealed).is_some() {
            return Ok(());
        }
        // A crash while it was first written leaves a torn one and no journal.
        if names.iter().any(|name| name.ends_with(".journal")) {
            return Err(OpenError::WrongKey);
        }
        disk.remove(NAME).map_err(disk_error("replace the key check"))?;
    }
    let write = || -> io::Result<()> {
        let file = disk.create(NAME)?;
        file.write_all_at(0, &sealer.seal_row(0, NAME.as_bytes(), b"freehold"))?;
        file.sync_data()?;
        disk.sync_dir()
    };
    write().map_err(disk_error("write the key check"))
}

/// Opens the index; one that the journal's oldest batch does not continue is thrown away.
fn open_index(
    path: &Path,
    sealer: &Arc<Sealer>,
    keyring: &Arc<VaultKeyring>,
    first_batch: Option<u64>,
    rows: &mut dyn Rows,
) -> Result<(Index, Loaded, bool), OpenError> {
    let failed = |error| disk_error("open the index")(io::Error::other(error));
    let open = |rows: &mut dyn Rows| Index::open(path, Arc::clone(sealer), Arc::clone(keyring), rows);
    let (index, loaded) = open(rows).map_err(failed)?;
    let is_stale = !loaded.is_new && first_batch.is_some_and(|first| loaded.applied + 1 < first);
    if !is_stale {
        return Ok((index, loaded, false));
    }
    drop(index);
    rows.restart();
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match std::fs::remove_file(PathBuf::from(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(disk_error("remove an index that is older than the journal")(error));
            }
            _ => {}
        }
    }
    let (index, loaded) = open(rows).map_err(failed)?;
    Ok((index, loaded, true))
}
