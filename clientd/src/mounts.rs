//! The one mount of this daemon, remembered across restarts.
//!
//! The path of a mount the user asked for is kept until the user unmounts it, so that a restarted daemon
//! brings `~/Vault` back by itself. Mounting and unmounting block; they run beside the runtime.

use anyhow::{Context, Result};
use freehold_engine::Engine;
use freehold_vfs::{MountError, MountHandle, MountOptions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use tokio::sync::Mutex;

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
    handle: MountHandle,
}

/// The mount, if there is one.
pub(crate) struct Mounts {
    engine: Engine,
    memory: PathBuf,
    current: Mutex<Option<Mounted>>,
}

impl Mounts {
    /// No mount yet; `memory` is the file that remembers one.
    pub(crate) fn new(engine: Engine, memory: PathBuf) -> Self {
        Self { engine, memory, current: Mutex::new(None) }
    }

    /// Mounts where the vault was mounted before, if it was; a failure is logged, the daemon goes on.
    pub(crate) async fn restore(&self) {
        let Ok(bytes) = tokio::fs::read(&self.memory).await else { return };
        let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
        if let Err(failure) = self.mount(&path).await {
            tracing::warn!(
                ?failure,
                "the vault could not be mounted where it was; `freehold mount PATH` tries again"
            );
        }
    }

    /// Mounts the vault at an absolute path.
    pub(crate) async fn mount(&self, path: &Path) -> Result<(), MountFailure> {
        let mut current = self.current.lock().await;
        if let Some(mounted) = current.take_if(|mounted| mounted.handle.is_finished()) {
            tracing::warn!("the mount was taken down from outside");
            drop(mounted);
        }
        if let Some(mounted) = &*current {
            return Err(MountFailure::AlreadyMounted(mounted.path.clone()));
        }
        let volume = self.engine.volume().ok_or(MountFailure::SignedOut)?;
        let target = path.to_owned();
        let mounting = tokio::task::spawn_blocking(move || {
            freehold_vfs::mount(&target, volume, &MountOptions::default())
        });
        let handle = mounting.await.expect("mounting does not panic: the adapter catches it")?;
        tokio::fs::write(&self.memory, path.as_os_str().as_bytes()).await.map_err(MountFailure::Memory)?;
        *current = Some(Mounted { path: path.to_owned(), handle });
        Ok(())
    }

    /// Unmounts because the user asked: the path is forgotten.
    pub(crate) async fn unmount(&self) -> Result<(), MountFailure> {
        self.take_down().await?;
        tokio::fs::remove_file(&self.memory).await.map_err(MountFailure::Memory)
    }

    /// Unmounts because the daemon ends: the path is remembered.
    pub(crate) async fn release(&self) -> Result<()> {
        match self.take_down().await {
            Ok(()) | Err(MountFailure::NotMounted) => Ok(()),
            Err(MountFailure::Refused(error)) => Err(error).context("could not unmount the vault"),
            Err(failure) => anyhow::bail!("could not unmount the vault: {failure:?}"),
        }
    }

    async fn take_down(&self) -> Result<(), MountFailure> {
        let mut current = self.current.lock().await;
        let Some(mounted) = current.take() else { return Err(MountFailure::NotMounted) };
        let unmounting = tokio::task::spawn_blocking(move || mounted.handle.unmount());
        unmounting.await.expect("unmounting does not panic")?;
        Ok(())
    }

    /// Where the vault is mounted.
    pub(crate) async fn path(&self) -> Option<PathBuf> {
        let current = self.current.lock().await;
        current.as_ref().filter(|mounted| !mounted.handle.is_finished()).map(|mounted| mounted.path.clone())
    }
}
