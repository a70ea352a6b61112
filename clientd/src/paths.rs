//! Where everything is: XDG folders, or all of it under `FREEHOLD_HOME`.
//!
//! With `FREEHOLD_HOME=DIR` several devices run on one machine, each in its own folder. The command line
//! finds the socket by the same rule (`cli-c/src/socket_path.c`).

use anyhow::{Context, Result};
use freehold_api::control::SOCKET_NAME;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The folders of one daemon.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    /// `clientd.toml`.
    pub(crate) config: PathBuf,
    /// Keys, journal, index: what must not be lost before it is synced.
    pub(crate) data: PathBuf,
    /// Sealed chunks that can be fetched again.
    pub(crate) cache: PathBuf,
    /// Socket and lock.
    pub(crate) run: PathBuf,
}

impl Paths {
    /// Reads `FREEHOLD_HOME` and the XDG variables.
    ///
    /// # Errors
    /// When neither names a folder.
    pub(crate) fn from_environment() -> Result<Self> {
        if let Some(home) = std::env::var_os("FREEHOLD_HOME").filter(|home| !home.is_empty()) {
            let home = std::path::absolute(home).context("FREEHOLD_HOME names no folder")?;
            return Ok(Self::under(&home));
        }
        let missing = "no home folder: set HOME or FREEHOLD_HOME";
        let data = dirs::data_dir().context(missing)?.join("freehold");
        let run = std::env::var_os("XDG_RUNTIME_DIR")
            .filter(|dir| !dir.is_empty())
            .map_or_else(|| data.join("run"), |dir| Path::new(&dir).join("freehold"));
        Ok(Self {
            config: dirs::config_dir().context(missing)?.join("freehold"),
            cache: dirs::cache_dir().context(missing)?.join("freehold"),
            data: data.join("client"),
            run,
        })
    }

    fn under(home: &Path) -> Self {
        Self {
            config: home.join("config"),
            data: home.join("client"),
            cache: home.join("cache"),
            run: home.join("run"),
        }
    }

    /// Makes the folders, readable by their owner only.
    ///
    /// # Errors
    /// Names the folder that could not be made.
    pub(crate) fn create(&self) -> Result<()> {
        for dir in [&self.config, &self.data, &self.cache, &self.run] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.with_context(|| {
                format!("could not create {}; check its owner and the disk", dir.display())
            })?;
        }
        Ok(())
    }

    /// The control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run.join(SOCKET_NAME)
    }

    /// Held while a daemon runs.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.data.join("clientd.lock")
    }

    /// Remembers where the vault was mounted.
    pub(crate) fn mount_file(&self) -> PathBuf {
        self.data.join("mountpoint")
    }
}
