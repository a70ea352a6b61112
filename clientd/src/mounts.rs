//! The one mount of this daemon, remembered across restarts.
//!
//! The path of a mount the user asked for is kept until the user unmounts it, so that a restarted daemon
//! brings `~/Vault` back by itself. Mounting and unmounting block; they run beside the runtime.

use anyhow::{Context, Result};
use freehold_engine::Engine;
use freehold_vfs::{MountError, MountHandle, MountOptions, Unmount};
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a detached mount may still serve programs that have files open when the daemon ends.
const GOODBYE: Duration = Duration::from_secs(10);

/// Why the vault was not mounted or unmounted.
#[derive(Debug)]
pub(crate) enum MountFailure {
    /// No account on this device, hence no vault.
    SignedOut,
    /// It is mounted already, there.
    AlreadyMounted(PathBuf),
    /// It is not mounted.
    NotMounted,
    /// The file system said no.
    Refused(MountError),
    /// The remembered path could not be written.
    Memory(std::io::Error),
}

impl From<MountError> for MountFailure {
    fn from(error: MountError) -> Self {
        Self::Refused(error)
    }
}

struct Mounted {
    path: PathBuf,
    handle: Arc<MountHandle>,
}

/// The mount, if there is one.
pub(crate) struct Mounts {
    engine: Engine,
    memory: PathBuf,
    options: MountOptions,
    current: Mutex<Option<Mounted>>,
}

impl Mounts {
    /// No mount yet; `memory` is the file that remembers one, `options` is how it is made.
    pub(crate) fn new(engine: Engine, memory: PathBuf, options: MountOptions) -> Self {
        Self { engine, memory, options, current: Mutex::new(None) }
    }

    /// Mounts where the vault was mounted before, if it was; a failure is logged, the daemon goes on.
    pub(crate) async fn restore(&self) {
        let Ok(bytes) = tokio::fs::read(&self.memory).await else { return };
        let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
        // Nothing is written: on a full disk the vault must come back, or nobody could make room in it.
        if let Err(failure) = self.serve(&mut *self.current.lock().await, &path).await {
            tracing::warn!(
                ?failure,
                "the vault could not be mounted where it was; `freehold mount PATH` tries again"
            );
        }
    }

    /// Mounts the vault at an absolute path, and remembers it.
    pub(crate) async fn mount(&self, path: &Path) -> Result<(), MountFailure> {
        let mut current = self.current.lock().await;
        self.serve(&mut current, path).await?;
        let (memory, path_bytes) = (self.memory.clone(), path.as_os_str().as_bytes().to_vec());
        let remembering = tokio::task::spawn_blocking(move || write_durably(&memory, &path_bytes));
        let remembered = remembering.await.expect("writing does not panic");
        remembered.inspect_err(|_| *current = None).map_err(MountFailure::Memory)
    }

    /// Mounts unless it is mounted; `current` is the lock's content.
    async fn serve(&self, current: &mut Option<Mounted>, path: &Path) -> Result<(), MountFailure> {
        if current.take_if(|mounted| !mounted.handle.is_serving()).is_some() {
            tracing::warn!("the mount was taken down from outside");
        }
        if let Some(mounted) = current {
            return Err(MountFailure::AlreadyMounted(mounted.path.clone()));
        }
        let volume = self.engine.volume().ok_or(MountFailure::SignedOut)?;
        let (target, options) = (path.to_owned(), self.options.clone());
        let mounting = tokio::task::spawn_blocking(move || freehold_vfs::mount(&target, volume, &options));
        let handle = mounting.await.expect("mounting does not panic: the adapter catches it")?;
        *current = Some(Mounted { path: path.to_owned(), handle: Arc::new(handle) });
        Ok(())
    }

    /// Unmounts because the user asked: the path is forgotten. A vault in use stays mounted.
    pub(crate) async fn unmount(&self) -> Result<(), MountFailure> {
        let mut current = self.current.lock().await;
        let mounted = current.as_ref().ok_or(MountFailure::NotMounted)?;
        let handle = Arc::clone(&mounted.handle);
        let unmounting = tokio::task::spawn_blocking(move || {
            handle.unmount(Unmount::Clean)?;
            handle.wait()
        });
        unmounting.await.expect("unmounting does not panic")?;
        *current = None;
        tokio::fs::remove_file(&self.memory).await.map_err(MountFailure::Memory)
    }

    /// Unmounts because the daemon ends: the path is remembered. A vault in use is detached, and its programs get
    /// a moment to finish.
    pub(crate) async fn release(&self) -> Result<()> {
        let Some(mounted) = self.current.lock().await.take() else { return Ok(()) };
        let unmounting = tokio::task::spawn_blocking(move || {
            match mounted.handle.unmount(Unmount::Clean) {
                Err(MountError::Busy) => mounted.handle.unmount(Unmount::Detach)?,
                outcome => outcome?,
            }
            mounted.handle.wait_for(GOODBYE).unwrap_or(Ok(()))
        });
        unmounting.await.expect("unmounting does not panic").context("could not unmount the vault")
    }

    /// Waits until the kernel has heard every remote change that was applied.
    pub(crate) async fn settle(&self) {
        let handle = self.current.lock().await.as_ref().map(|mounted| Arc::clone(&mounted.handle));
        if let Some(handle) = handle {
            tokio::task::spawn_blocking(move || handle.settle()).await.expect("settling does not panic");
        }
    }

    /// Where the vault is mounted.
    pub(crate) async fn path(&self) -> Option<PathBuf> {
        let current = self.current.lock().await;
        current.as_ref().filter(|mounted| mounted.handle.is_serving()).map(|mounted| mounted.path.clone())
    }
}

/// Writes a file whole: after a power cut there is the old one or the new one.
fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
