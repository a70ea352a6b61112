//! Pinning and giving up content, by path of the vault.

use super::OpenVault;
use crate::engine_error::EngineError;
use crate::{FsError, PinMode};
use freehold_api::control::{Evicted, Hydrated, Pinned};
use std::sync::Arc;

impl OpenVault {
    /// What pinned files are here, and which still come.
    pub(crate) fn pinned(&self) -> Pinned {
        self.hydrator.counts()
    }

    /// Sets what a user wants of the node at a path on this device, and what that comes to.
    pub(crate) async fn set_pin(&self, path: &str, mode: Option<PinMode>) -> Result<Hydrated, EngineError> {
        let (volume, path) = (Arc::clone(&self.parts.volume), path.to_owned());
        let hydrator = Arc::clone(&self.hydrator);
        let set = tokio::task::spawn_blocking(move || {
            let ino = volume.find(path.as_bytes())?;
            volume.set_pin(ino, mode)?;
            match mode {
                Some(PinMode::Always) => hydrator.keep(ino)?,
                // What is not kept any more can be evicted by the next command.
                _ => hydrator.tell()?,
            }
            volume.hydrated(ino, &path)
        });
        let set = set.await.map_err(|_| EngineError::Internal("pinning was interrupted"))?;
        self.hydrator.wake();
        set.map_err(|error| not_hydrated(error, "write down what is kept on this device"))
    }

    /// Gives up the content of the node at a path and below.
    pub(crate) async fn evict(&self, path: &str) -> Result<Evicted, EngineError> {
        let (volume, path) = (Arc::clone(&self.parts.volume), path.to_owned());
        let evicted = tokio::task::spawn_blocking(move || {
            let ino = volume.find(path.as_bytes())?;
            volume.evict(ino)
        });
        let evicted =
            evicted.await.map_err(|_| EngineError::Internal("giving up content was interrupted"))?;
        evicted.map_err(|error| not_hydrated(error, "give up content"))
    }
}

fn not_hydrated(error: FsError, attempted: &'static str) -> EngineError {
    match error {
        FsError::NotFound => EngineError::NoSuchFile,
        error => EngineError::disk(attempted, std::io::Error::other(error)),
    }
}
