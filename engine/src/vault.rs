//! An open vault: its volume, and the tasks that keep it in step with server and nodes.
//!
//! Opening needs no network. The tasks are owned here: closing ends them, then the volume, and what
//! they had not done is taken up by the next opening.

mod hydration;

use crate::account::{Sessions, StoredAccount};
use crate::cut::{CutParts, CutWorker};
use crate::devices::book::Book;
use crate::devices::{DeviceEvent, DeviceLinks, LinkParts, announce, discover};
use crate::engine_error::EngineError;
use crate::history::History;
use crate::hydrate::Hydrator;
use crate::limits::KEEP_PATIENCE;
use crate::problems::Problems;
use crate::server::Server;
use crate::sync::Parts;
use crate::sync::brake::{Brake, HeldFiles};
use crate::sync::limits::CHECKPOINT_COMMITS;
use crate::sync::local::Local;
use crate::sync::members::Members;
use crate::sync::task::{Progress, Signals, SyncTask};
use crate::transfer::download::Downloads;
use crate::transfer::nodes::{Nodes, NodesError};
use crate::transfer::nodes_file::NodesFile;
use crate::transfer::serving::Serving;
use crate::transfer::upload::Uploads;
use crate::volume::conflicts::KeepError;
use crate::{
    Author, ChunkPart, ChunkSource, FetchDone, PartsDone, Recovery, SystemClock, Volume, VolumeOptions,
};
use freehold_api::ErrorCode;
use freehold_api::control::{Decision, Deletions, HeldDeletions, Keep, KeptConflict};
use freehold_crypto::{DeviceSecret, LocalKey};
use freehold_model::{ChunkId, VaultId};
use freehold_net::coord::{CoordConfig, ServerClient, ServerUrl};
use freehold_net::{Accept, Class, Endpoint, Identity as LinkIdentity, KeySet, LinkConfig, Transport};
use freehold_store::{CacheOptions, CacheStore};
use parking_lot::Mutex;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Problem: the storage nodes are not known.
const NODES: &str = "storage_nodes";
/// Problem: opening found damage in the local state.
const DAMAGE: &str = "local_damage";

/// How long a revocation waits for what the revoked device has sent; the cut is then what is here.
const CATCH_UP: Duration = Duration::from_secs(10);

/// How often a wait looks whether it is over.
const WAIT_LOOK: Duration = Duration::from_millis(50);

/// Where a vault's parts are and how large its cache may be.
pub(crate) struct VaultDirs<'a> {
    pub(crate) data: &'a Path,
    pub(crate) cache: &'a Path,
    pub(crate) cache_bytes: u64,
    /// Files that stay in memory when nobody looks at them.
    pub(crate) files_in_memory: usize,
    /// Where other devices reach this one.
    pub(crate) listen: SocketAddr,
    /// Whether devices on the local network are looked for.
    pub(crate) lan: bool,
    /// What carries links.
    pub(crate) transport: Transport,
    /// Where traces of links are written, if anywhere.
    pub(crate) trace_links: Option<&'a Path>,
}

/// A vault with its tasks running.
pub(crate) struct OpenVault {
    parts: Arc<Parts>,
    endpoint: Endpoint,
    cutter: Arc<CutWorker>,
    hydrator: Arc<Hydrator>,
    signals: Arc<Signals>,
    progress: watch::Receiver<Progress>,
    tasks: Mutex<JoinSet<()>>,
    /// How many wait until all is synced.
    waiting: Mutex<usize>,
}

/// The folder of a vault's local state.
pub(crate) fn vault_dir(data: &Path, vault: &VaultId) -> PathBuf {
    data.join(format!("vault-{vault}"))
}

/// The folder of a vault's chunk cache.
pub(crate) fn cache_dir(cache: &Path, vault: &VaultId) -> PathBuf {
    cache.join(format!("vault-{vault}"))
}

impl OpenVault {
    /// Opens the local state and starts the tasks. Blocks for the disk; needs a runtime around it.
    ///
    /// # Errors
    /// `Disk`, `Local`, `BadServerUrl`; `ServerUntrusted` when stored keys or log do not fit.
    pub(crate) fn open(
        dirs: &VaultDirs<'_>,
        stored: StoredAccount,
        secret: &DeviceSecret,
    ) -> Result<Self, EngineError> {
        let admitted = KeySet::default();
        let identity = LinkIdentity::from_seed(secret.tls_seed().expose());
        let endpoint = bind(dirs.listen, dirs.transport, &identity, &admitted)?;
        if let Some(dir) = dirs.trace_links {
            let traced = endpoint.trace_links(dir);
            traced.map_err(|error| EngineError::disk("write link traces where --trace-links says", error))?;
        }
        let Opened { parts, recovery, events } = open_parts(dirs, stored, secret, &endpoint, admitted)?;
        let parts = Arc::new(parts);
        parts.members_changed();
        parts.report_held();
        parts.local.keep_what_is_on_its_way();
        parts.volume.set_source(Arc::new(Source(Arc::clone(&parts.downloads))));
        let signals = Arc::new(Signals::default());
        let cut = CutParts {
            volume: Arc::clone(&parts.volume),
            cache: Arc::clone(&parts.cache),
            keyring: Arc::clone(&parts.keyring),
            uploads: Arc::clone(&parts.uploads),
            problems: Arc::clone(&parts.problems),
            downloads: Arc::clone(&parts.downloads),
            signals: Arc::clone(&signals),
        };
        let cutter =
            CutWorker::start(cut).map_err(|error| EngineError::disk("start the cutting thread", error))?;
        let hurry = cutter.waker();
        parts.volume.when_closed(Box::new(move || hurry.wake()));
        let sync = SyncTask::new(Arc::clone(&parts), Arc::clone(&signals), events, recovery.heads_needed);
        let progress = sync.progress();
        let hydrator =
            Hydrator::new(Arc::clone(&parts.volume), Arc::clone(&parts.cache), Arc::clone(&parts.downloads));
        let mut tasks = JoinSet::new();
        tasks.spawn(sync.run());
        tasks.spawn(Arc::clone(&parts.uploads).run());
        tasks.spawn(tend_nodes(Arc::clone(&parts)));
        tasks.spawn(Arc::clone(&parts.devices).run());
        tasks.spawn(Arc::clone(&hydrator).run());
        tasks.spawn(announce(Arc::clone(&parts), endpoint.clone()));
        if dirs.lan {
            tasks.spawn(discover(Arc::clone(&parts), endpoint.clone()));
        }
        Ok(Self {
            parts,
            endpoint,
            cutter: Arc::new(cutter),
            hydrator,
            signals,
            progress,
            tasks: Mutex::new(tasks),
            waiting: Mutex::new(0),
        })
    }

    pub(crate) fn volume(&self) -> Arc<Volume> {
        Arc::clone(&self.parts.volume)
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// How far sync is.
    pub(crate) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Whether a change of this device is not on the server and the nodes for good.
    pub(crate) fn has_own_pending(&self) -> bool {
        let (pending, outbox) = {
            let tables = self.parts.volume.lock();
            (tables.pending(), tables.has_outbox())
        };
        let is_clean = pending.dirty_bodies == 0 && pending.dirty_records == 0 && pending.unplaced == 0;
        !is_clean || outbox || self.parts.uploads.pending().0 > 0
    }

    /// Resolves once the server was asked afresh, all it had is applied, and nothing of this device
    /// is on its way any more. Files are cut at once meanwhile, quiet or not.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(crate) async fn wait_synced(&self) {
        let _hurry = Hurry::start(self);
        let ticket = self.signals.ask();
        let mut progress = self.progress.clone();
        // The sender lives as long as the sync task; without it there is nothing to wait for.
        if progress.wait_for(|progress| progress.answered >= ticket).await.is_err() {
            return std::future::pending().await;
        }
        while self.has_own_pending() {
            tokio::time::sleep(WAIT_LOOK).await;
        }
    }

    /// Asks the server afresh and waits a moment until all it had is applied; whether it was.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(crate) async fn catch_up(&self) -> bool {
        let ticket = self.signals.ask();
        let mut progress = self.progress.clone();
        let answered = progress.wait_for(|progress| progress.answered >= ticket);
        tokio::time::timeout(CATCH_UP, answered).await.is_ok_and(|answered| answered.is_ok())
    }

    /// The account may have changed.
    pub(crate) fn meet(&self) {
        self.signals.meet();
    }

    /// The deletions that wait for a person.
    pub(crate) fn held_deletions(&self) -> Deletions {
        self.named(&self.parts.local.held_deletions())
    }

    /// Decides about them; what they were.
    pub(crate) async fn decide_deletions(&self, decision: Decision) -> Result<Deletions, EngineError> {
        let local = Arc::clone(&self.parts.local);
        let decided = tokio::task::spawn_blocking(move || local.decide_deletions(decision)).await;
        let decided = decided.map_err(|_| EngineError::Internal("deciding was interrupted"))?;
        self.parts.report_held();
        let failed = |error| EngineError::disk("write the decision down", std::io::Error::other(error));
        Ok(self.named(&decided.map_err(failed)?))
    }

    fn named(&self, held: &[HeldFiles]) -> Deletions {
        let tables = self.parts.volume.lock();
        let named = held
            .iter()
            .map(|(device, files)| HeldDeletions { device: tables.label(device), files: *files as u64 });
        Deletions { held: named.collect() }
    }

    /// Ends the conflict at a path. Files that were just written are cut first.
    pub(crate) async fn keep_conflict(&self, path: &str, keep: Keep) -> Result<KeptConflict, EngineError> {
        let _hurry = Hurry::start(self);
        let until = Instant::now() + KEEP_PATIENCE;
        loop {
            let (volume, path) = (self.volume(), path.to_owned());
            let kept = tokio::task::spawn_blocking(move || volume.keep_conflict(&path, keep)).await;
            match kept.map_err(|_| EngineError::Internal("ending a conflict was interrupted"))? {
                Ok(kept) => return Ok(kept),
                Err(KeepError::NoConflict) => return Err(EngineError::NoConflict),
                Err(KeepError::Choice(why)) => return Err(EngineError::Choice(why)),
                Err(KeepError::Tree(error)) => {
                    let error = std::io::Error::other(error);
                    return Err(EngineError::disk("end the conflict", error));
                }
                Err(KeepError::Busy) if Instant::now() >= until => return Err(EngineError::FileBusy),
                Err(KeepError::Busy) => tokio::time::sleep(WAIT_LOOK).await,
            }
        }
    }

    /// Ends the tasks, then writes what the volume still holds.
    ///
    /// # Errors
    /// `Disk` when that could not be written.
    pub(crate) async fn close(&self) -> Result<(), EngineError> {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
        let (cutter, volume) = (Arc::clone(&self.cutter), self.volume());
        let closed = tokio::task::spawn_blocking(move || {
            cutter.stop();
            volume.close()
        });
        let closed = closed.await.map_err(|_| EngineError::Internal("closing the volume panicked"))?;
        // The nodes notice by themselves; nobody waits for their answer for long.
        drop(tokio::time::timeout(Duration::from_secs(1), self.endpoint.close()).await);
        closed.map_err(|error| {
            EngineError::disk("write the local state of the vault", std::io::Error::other(error))
        })
    }
}

/// Makes the cutter cut everything while somebody waits.
struct Hurry<'a>(&'a OpenVault);

impl<'a> Hurry<'a> {
    fn start(vault: &'a OpenVault) -> Self {
        *vault.waiting.lock() += 1;
        vault.cutter.force(true);
        Self(vault)
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        *waiting -= 1;
        self.0.cutter.force(*waiting > 0);
    }
}

/// Brings chunks for the volume's readers.
struct Source(Arc<Downloads>);

impl ChunkSource for Source {
    fn want(&self, chunks: Vec<ChunkId>, deadline: Instant, done: FetchDone) {
        self.0.want(&chunks, deadline, Class::MountRead, done);
    }

    fn want_parts(&self, parts: Vec<ChunkPart>, deadline: Instant, done: PartsDone) {
        self.0.want_parts(parts, deadline, done);
    }
}

async fn tend_nodes(parts: Arc<Parts>) {
    let report = |error: Option<&NodesError>| match error {
        None => parts.problems.clear(NODES),
        // The server's absence is told elsewhere.
        Some(NodesError::Server(error))
            if error.is_transient() || error.code() == Some(ErrorCode::DeviceRevoked) => {}
        Some(error) => {
            parts.problems.raise(
                NODES,
                error.to_string(),
                "check the server; changes wait on this device meanwhile",
            );
        }
    };
    parts.nodes.tend(report).await;
}

/// What this device has of the vault on its disk.
struct OnDisk {
    dir: PathBuf,
    local: Arc<Local>,
    local_key: Arc<LocalKey>,
    recovery: Recovery,
}

/// Opens what is on disk.
fn open_disk(
    dirs: &VaultDirs<'_>,
    stored: &StoredAccount,
    secret: &DeviceSecret,
) -> Result<OnDisk, EngineError> {
    let keyring = Arc::new(stored.vault_keyring()?);
    let (vault, device) = (stored.vault, stored.identity.device);
    let local_key = Arc::new(secret.local_key());
    let cache = Arc::new(open_cache(dirs, &vault)?);
    let dir = vault_dir(dirs.data, &vault);
    make_dir(&dir.join("journal"))?;
    let options = VolumeOptions {
        author: Author { device, incarnation: 0 },
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        local_key: Arc::clone(&local_key),
        keyring: Arc::clone(&keyring),
        chunks: Arc::clone(&cache),
        files_in_memory: dirs.files_in_memory,
        clock: Box::new(SystemClock),
    };
    let (volume, recovery) = Volume::open(&dir, options)?;
    let brake = Brake::load(&volume)
        .map_err(|error| EngineError::disk("read the held deletions", std::io::Error::other(error)))?;
    let history = History::open(&dir)
        .map_err(|error| EngineError::disk("open the kept commits", std::io::Error::other(error)))?;
    let history = Arc::new(history);
    let local = Local {
        brake: Mutex::new(brake),
        vault,
        device,
        volume,
        cache,
        keyring,
        history,
        sign_key: secret.sign_key(),
        checkpoint_commits: CHECKPOINT_COMMITS,
    };
    Ok(OnDisk { dir, local: Arc::new(local), local_key, recovery })
}

/// The server as this device asks it.
fn server_of(stored: &StoredAccount, secret: &DeviceSecret) -> Result<Arc<Server>, EngineError> {
    let url: ServerUrl =
        stored.identity.server.parse().map_err(|error| EngineError::BadServerUrl(format!("{error}")))?;
    let sessions = Sessions::new(stored.server_key, stored.identity.device, secret.sign_key());
    Ok(Arc::new(Server::new(ServerClient::new(url, CoordConfig::default()), sessions)))
}

/// Opens what is on disk and makes what talks to the server, the nodes and other devices.
fn open_parts(
    dirs: &VaultDirs<'_>,
    stored: StoredAccount,
    secret: &DeviceSecret,
    endpoint: &Endpoint,
    admitted: KeySet,
) -> Result<Opened, EngineError> {
    let OnDisk { dir, local, local_key, recovery } = open_disk(dirs, &stored, secret)?;
    let Local { vault, device, volume, cache, keyring, history, .. } = &*local;
    let (vault, device) = (*vault, *device);
    let (volume, cache) = (Arc::clone(volume), Arc::clone(cache));
    let (keyring, history) = (Arc::clone(keyring), Arc::clone(history));
    let (server_key, account) = (stored.server_key, stored.identity.account);
    let server = server_of(&stored, secret)?;
    let problems = Arc::new(Problems::default());
    report_recovery(&problems, &recovery);
    forget_unfinished_pins(&cache, &volume);
    let remembered = NodesFile::new(&dir, Arc::clone(&local_key));
    let nodes = Nodes::new(Arc::clone(&server), server_key, vault, endpoint.clone(), remembered);
    let nodes = Arc::new(nodes);
    let serving = Arc::new(Serving::default());
    let uploads = Uploads::new(
        vault,
        Arc::clone(&cache),
        Arc::clone(&nodes),
        Arc::clone(&server),
        Arc::clone(&problems),
        Arc::clone(&serving),
    );
    let members = Arc::new(Members::new(
        dirs.data.to_owned(),
        Arc::clone(&local_key),
        Arc::clone(&server),
        stored,
        secret,
        Arc::clone(&keyring),
    )?);
    let book = Arc::new(Book::open(&dir, Arc::clone(&local_key), account));
    let (devices, events) = DeviceLinks::new(LinkParts {
        vault,
        device,
        endpoint: endpoint.clone(),
        admitted,
        members: Arc::clone(&members),
        cache: Arc::clone(&cache),
        history: Arc::clone(&history),
        book: Arc::clone(&book),
        serving,
    });
    let downloads =
        Downloads::new(Arc::clone(&nodes), Arc::clone(&devices), Arc::clone(&cache), Handle::current());
    let (uploads, sign_key) = (Arc::new(uploads), secret.sign_key());
    let parts = Parts {
        local,
        vault,
        device,
        dir,
        volume,
        cache,
        keyring,
        sign_key,
        local_key,
        server,
        nodes,
        devices,
        book,
        history,
        uploads,
        downloads,
        members,
        problems,
    };
    Ok(Opened { parts, recovery, events })
}

/// What opening yields.
struct Opened {
    parts: Parts,
    recovery: Recovery,
    events: mpsc::Receiver<DeviceEvent>,
}

fn open_cache(dirs: &VaultDirs<'_>, vault: &VaultId) -> Result<CacheStore, EngineError> {
    let dir = cache_dir(dirs.cache, vault);
    make_dir(&dir)?;
    let opened = CacheStore::open(&dir, CacheOptions::with_cap(dirs.cache_bytes));
    let (cache, recovery) =
        opened.map_err(|error| EngineError::disk("open the chunk cache", std::io::Error::other(error)))?;
    tracing::debug!(?recovery, "the chunk cache is open");
    Ok(cache)
}

/// Drops pins of chunks that are not there and that no version names: the pin comes before the chunk, and
/// a crash between the two leaves a pin of nothing. A version is installed only once its chunks are durable,
/// so one that is named and not there is a loss, and stays pinned to be told.
fn forget_unfinished_pins(cache: &CacheStore, volume: &Volume) {
    let named = volume.lock().pins();
    let pinned = cache.pinned().into_iter();
    let empty: Vec<ChunkId> =
        pinned.filter(|chunk| !cache.contains(chunk) && !named.contains(chunk)).collect();
    if cache.unpin(&empty).is_err() {
        tracing::warn!("pins of chunks that were never stored could not be dropped");
    }
}

fn make_dir(dir: &Path) -> Result<(), EngineError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| EngineError::disk("make a folder for the vault's local state", error))
}

/// One socket for both families where the system has both.
fn bind(
    listen: SocketAddr,
    transport: Transport,
    identity: &LinkIdentity,
    admitted: &KeySet,
) -> Result<Endpoint, EngineError> {
    let config = LinkConfig { transport, ..LinkConfig::default() };
    let to =
        |addr: SocketAddr| Endpoint::bind(addr, identity.clone(), Accept::Pinned(admitted.clone()), config);
    let other: SocketAddr = (Ipv4Addr::UNSPECIFIED, listen.port()).into();
    let bound = to(listen).or_else(|error| if listen.ip().is_unspecified() { to(other) } else { Err(error) });
    bound.map_err(|error| EngineError::disk("open a UDP socket", std::io::Error::other(error)))
}

fn report_recovery(problems: &Problems, recovery: &Recovery) {
    if !recovery.damaged_files.is_empty() {
        problems.raise(
            DAMAGE,
            format!(
                "{} files lost unsent changes to damage on this device's disk",
                recovery.damaged_files.len()
            ),
            "overwrite or delete them; check the disk",
        );
    }
}

impl std::fmt::Debug for OpenVault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenVault").field("progress", &self.progress()).finish_non_exhaustive()
    }
}
