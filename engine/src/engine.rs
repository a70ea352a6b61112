//! The engine as the daemon sees it: one account on this device, its vault, and how it is doing.

mod life;

pub use life::Secret;

use crate::account::{self, Identity, StoredAccount, load_secret, remove_secret};
use crate::engine_error::EngineError;
use crate::entropy::OsEntropy;
use crate::status::Facts;
use crate::vault::{OpenVault, VaultDirs, cache_dir, vault_dir};
use crate::{PinMode, Volume};
use freehold_api::control::{
    Conflicts, Decision, Deletions, Evicted, Hydrated, Keep, KeptConflict, Pending, Status,
};
use freehold_crypto::DeviceSecret;
use freehold_model::VaultId;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// Where the engine keeps its state. Both folders exist and only their owner may enter.
#[derive(Clone, Debug)]
pub struct EngineDirs {
    /// Keys, journal, index: what must not be lost before it is synced.
    pub data: PathBuf,
    /// Sealed chunks that can be fetched again.
    pub cache: PathBuf,
}

/// Settings.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Bytes of sealed chunks kept on this device.
    pub cache_bytes: u64,
    /// Files whose names and attributes stay in memory when nobody looks at them; the others are read again.
    pub files_in_memory: usize,
    /// Where other devices of the account reach this one, over UDP.
    pub listen: std::net::SocketAddr,
    /// Whether devices on the local network are looked for, by multicast DNS.
    pub lan: bool,
    /// What carries links to other devices and to storage nodes.
    pub transport: freehold_net::Transport,
    /// Where traces of links are written, if anywhere.
    pub trace_links: Option<PathBuf>,
}

/// A new account.
pub struct SignUp {
    /// Who this device is.
    pub identity: Identity,
    /// The recovery key as 24 words: shown once, kept nowhere.
    pub recovery_words: Zeroizing<String>,
}

impl std::fmt::Debug for SignUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignUp").finish_non_exhaustive()
    }
}

/// The client. Clones are handles of the same engine.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dirs: EngineDirs,
    config: EngineConfig,
    current: Mutex<Option<SignedIn>>,
    /// One sign-in, sign-out or shutdown at a time.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct SignedIn {
    identity: Identity,
    vault_id: VaultId,
    vault: Arc<OpenVault>,
}

impl Engine {
    /// Takes up what is on this device: signed in already, it opens the vault and starts to sync. A
    /// server that is away is no error.
    ///
    /// # Errors
    /// `Disk`, `Local`, `WrongDeviceKey`; `ServerUntrusted` when stored keys do not fit.
    pub async fn open(dirs: EngineDirs, config: EngineConfig) -> Result<Self, EngineError> {
        let engine = Self(Arc::new(Inner {
            dirs,
            config,
            current: Mutex::new(None),
            changing: tokio::sync::Mutex::default(),
        }));
        if let Some(secret) = load_secret(&engine.0.dirs.data)? {
            match StoredAccount::load(&engine.0.dirs.data, &secret)? {
                Some(stored) => engine.enter(stored, secret).await?,
                // A sign-in that was cut short before anything was sealed under the secret.
                None if !has_vault(&engine.0.dirs.data) => remove_secret(&engine.0.dirs.data)?,
                None => return Err(EngineError::WrongDeviceKey),
            }
        }
        Ok(engine)
    }

    /// Creates an account with this device and one vault.
    ///
    /// # Errors
    /// `AlreadySignedIn`, `UserTaken`, `RegistrationClosed`, `BadName`, `BadServerUrl`, the server's, `Disk`.
    pub async fn signup(
        &self,
        server: &str,
        user: &str,
        password: &str,
        device_name: &str,
    ) -> Result<SignUp, EngineError> {
        let _one = self.0.changing.lock().await;
        self.be_signed_out()?;
        let new = account::NewUser { server, user, password, device_name, now_s: now_s() };
        let (stored, secret, recovery) = account::signup(&self.0.dirs.data, &new, &mut OsEntropy).await?;
        let identity = stored.identity.clone();
        self.enter(stored, secret).await?;
        Ok(SignUp { identity, recovery_words: recovery.words() })
    }

    /// Adds this device to an account.
    ///
    /// # Errors
    /// `AlreadySignedIn`, `WrongPassword`, `BadName`, `BadServerUrl`, the server's, `Disk`.
    pub async fn login(
        &self,
        server: &str,
        user: &str,
        password: &str,
        device_name: &str,
    ) -> Result<Identity, EngineError> {
        let _one = self.0.changing.lock().await;
        self.be_signed_out()?;
        let new = account::NewUser { server, user, password, device_name, now_s: now_s() };
        let (stored, secret) = account::login(&self.0.dirs.data, &new, &mut OsEntropy).await?;
        let identity = stored.identity.clone();
        self.enter(stored, secret).await?;
        Ok(identity)
    }

    /// Takes the account and everything of it off this device.
    ///
    /// # Errors
    /// `SignedOut`; `Pending` while a change is not on the server and the nodes for good; `Disk`.
    pub async fn logout(&self) -> Result<(), EngineError> {
        let _one = self.0.changing.lock().await;
        let signed_in = self.0.current.lock().clone().ok_or(EngineError::SignedOut)?;
        if signed_in.vault.has_own_pending() {
            return Err(EngineError::Pending);
        }
        *self.0.current.lock() = None;
        signed_in.vault.close().await?;
        let SignedIn { vault_id, vault, .. } = signed_in;
        drop(vault);
        let dirs = self.0.dirs.clone();
        let removed = tokio::task::spawn_blocking(move || {
            // The secret first: what a crash leaves behind is noise from then on.
            remove_secret(&dirs.data)?;
            StoredAccount::remove(&dirs.data)?;
            remove_tree(&vault_dir(&dirs.data, &vault_id))?;
            remove_tree(&cache_dir(&dirs.cache, &vault_id))
        });
        removed.await.map_err(|_| EngineError::Internal("signing out was interrupted"))?
    }

    /// Who this device is signed in as.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.0.current.lock().as_ref().map(|signed_in| signed_in.vault.parts().members.identity())
    }

    /// The vault, to mount it.
    #[must_use]
    pub fn volume(&self) -> Option<Arc<Volume>> {
        self.0.current.lock().as_ref().map(|signed_in| signed_in.vault.volume())
    }

    /// How it is doing; the mount is the caller's to fill in.
    #[must_use]
    pub fn status(&self) -> Status {
        let Some(SignedIn { vault, .. }) = self.0.current.lock().clone() else {
            return Facts::default().status();
        };
        let parts = vault.parts();
        let progress = vault.progress();
        let (local, commits, entries) = {
            let tables = parts.volume.lock();
            (tables.pending(), tables.outbox().len() as u64, tables.node_count() as u64)
        };
        let (chunks, chunk_bytes) = parts.uploads.pending();
        // Between the last receipt and its booking a version is neither a chunk nor a commit.
        let settling = if chunks == 0 && commits == 0 { local.unplaced } else { 0 };
        let pending = Pending {
            files: local.dirty_bodies as u64,
            bytes: local.dirty_bytes,
            records: local.dirty_records.max(settling) as u64,
            commits,
            chunks,
            chunk_bytes,
            remote_commits: progress.head.saturating_sub(progress.applied),
        };
        let (nodes_reachable, nodes) = parts.nodes.counts();
        Facts {
            identity: Some(parts.members.identity()),
            server_reachable: parts.server.is_reachable(),
            nodes_reachable,
            nodes,
            devices_connected: u32::try_from(parts.devices.connected().len()).unwrap_or(u32::MAX),
            pending,
            entries,
            cache_bytes: parts.cache.bytes(),
            pinned: vault.pinned(),
            applied_seq: progress.applied,
            problems: parts.problems.list(),
        }
        .status()
    }

    /// The conflicts of the vault. Looks through the whole tree; blocks for as long.
    ///
    /// # Errors
    /// `SignedOut`, `Disk`.
    pub fn conflicts(&self) -> Result<Conflicts, EngineError> {
        let found = self.volume().ok_or(EngineError::SignedOut)?.conflicts();
        found.map_err(|error| EngineError::disk("look for conflicts", std::io::Error::other(error)))
    }

    /// Ends the conflict at a path of the vault, by its file or its copy. Durable on return.
    ///
    /// # Errors
    /// `SignedOut`, `NoConflict`, `Choice`, `FileBusy`, `Disk`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the conflict as it was or ends it whole.
    pub async fn keep_conflict(&self, path: &str, keep: Keep) -> Result<KeptConflict, EngineError> {
        self.vault()?.keep_conflict(path, keep).await
    }

    /// Sets what a user wants of the node at a path of the vault on this device; `None` takes the wish
    /// back. Durable on return; what it asks for comes by itself.
    ///
    /// # Errors
    /// `SignedOut`, `NoSuchFile`, `Disk`.
    ///
    /// # Cancel safety
    /// Dropping the future sets it or leaves it as it was.
    pub async fn set_pin(&self, path: &str, mode: Option<PinMode>) -> Result<Hydrated, EngineError> {
        self.vault()?.set_pin(path, mode).await
    }

    /// Gives up the content of the node at a path and below, as far as it is safe elsewhere.
    ///
    /// # Errors
    /// `SignedOut`, `NoSuchFile`, `Disk`.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop it.
    pub async fn evict(&self, path: &str) -> Result<Evicted, EngineError> {
        self.vault()?.evict(path).await
    }

    /// Deletions of other devices that are not shown here yet, because they are so many.
    ///
    /// # Errors
    /// `SignedOut`.
    pub fn held_deletions(&self) -> Result<Deletions, EngineError> {
        Ok(self.vault()?.held_deletions())
    }

    /// Lets them happen here too, or takes them back for every device; what they were. Durable on return.
    ///
    /// # Errors
    /// `SignedOut`; `Disk` when it may not be durable.
    ///
    /// # Cancel safety
    /// Dropping the future leaves everything held or decides it whole.
    pub async fn decide_deletions(&self, decision: Decision) -> Result<Deletions, EngineError> {
        self.vault()?.decide_deletions(decision).await
    }

    fn vault(&self) -> Result<Arc<OpenVault>, EngineError> {
        let current = self.0.current.lock();
        current.as_ref().map(|signed_in| Arc::clone(&signed_in.vault)).ok_or(EngineError::SignedOut)
    }

    /// Waits until nothing of this device is on its way and everything the server had, asked afresh,
    /// is applied. Returns at once when signed out.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn wait_synced(&self) {
        let vault = self.0.current.lock().as_ref().map(|signed_in| Arc::clone(&signed_in.vault));
        if let Some(vault) = vault {
            vault.wait_synced().await;
        }
    }

    /// Ends all tasks and writes what the volume still holds. The engine is signed out afterwards, but
    /// the device is not.
    pub async fn shutdown(&self) {
        let _one = self.0.changing.lock().await;
        let signed_in = self.0.current.lock().take();
        if let Some(signed_in) = signed_in
            && let Err(error) = signed_in.vault.close().await
        {
            tracing::error!(%error, "the last changes may not be on this disk");
        }
    }

    fn be_signed_out(&self) -> Result<(), EngineError> {
        if self.0.current.lock().is_some() { Err(EngineError::AlreadySignedIn) } else { Ok(()) }
    }

    /// Opens the vault of an account that is on this device.
    async fn enter(&self, stored: StoredAccount, secret: DeviceSecret) -> Result<(), EngineError> {
        let (identity, vault_id) = (stored.identity.clone(), stored.vault);
        let (dirs, config) = (self.0.dirs.clone(), self.0.config.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let dirs = VaultDirs {
                data: &dirs.data,
                cache: &dirs.cache,
                cache_bytes: config.cache_bytes,
                files_in_memory: config.files_in_memory,
                listen: config.listen,
                lan: config.lan,
                transport: config.transport,
                trace_links: config.trace_links.as_deref(),
            };
            OpenVault::open(&dirs, stored, &secret)
        });
        let vault =
            opened.await.map_err(|_| EngineError::Internal("opening the vault was interrupted"))??;
        *self.0.current.lock() = Some(SignedIn { identity, vault_id, vault: Arc::new(vault) });
        Ok(())
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Whether local state of some vault is there, which only this device's secret opens.
fn has_vault(data: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(data) else { return true };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("vault-"))
}

fn remove_tree(dir: &Path) -> Result<(), EngineError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(EngineError::disk("remove the local state of the vault", error))
        }
        _ => Ok(()),
    }
}
