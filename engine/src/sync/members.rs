//! The account as its verified log says, kept fresh and remembered on this device.

use crate::account::StoredAccount;
use crate::engine_error::EngineError;
use crate::entropy::OsEntropy;
use crate::server::Server;
use freehold_crypto::LocalKey;
use freehold_model::{DeviceId, LogHash};
use freehold_net::coord::CoordError;
use freehold_trust::account_log::{AccountState, LogEntry};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;

/// Why the log could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MembersError {
    /// The server did not answer as asked.
    #[error(transparent)]
    Server(#[from] CoordError),
    /// The log the server shows is not the account's, or could not be remembered.
    #[error(transparent)]
    Refused(#[from] EngineError),
}

/// The devices of the account.
pub(crate) struct Members {
    dir: PathBuf,
    local_key: Arc<LocalKey>,
    server: Arc<Server>,
    stored: Mutex<StoredAccount>,
    state: Mutex<Arc<AccountState>>,
    refreshing: tokio::sync::Mutex<()>,
}

impl Members {
    pub(crate) fn new(
        dir: PathBuf,
        local_key: Arc<LocalKey>,
        server: Arc<Server>,
        stored: StoredAccount,
    ) -> Result<Self, EngineError> {
        let state = Mutex::new(Arc::new(stored.state()?));
        Ok(Self {
            dir,
            local_key,
            server,
            stored: Mutex::new(stored),
            state,
            refreshing: tokio::sync::Mutex::default(),
        })
    }

    /// The account as far as its log is known here.
    pub(crate) fn state(&self) -> Arc<AccountState> {
        Arc::clone(&self.state.lock())
    }

    /// The newest entry known here.
    pub(crate) fn log_head(&self) -> LogHash {
        self.state.lock().pin().head
    }

    /// The names devices have in conflict names, from their certificates.
    pub(crate) fn labels(&self) -> Vec<(DeviceId, String)> {
        let state = self.state();
        state.devices().iter().map(|(device, entry)| (*device, entry.cert.name.as_str().to_owned())).collect()
    }

    /// Entries of the log as signed, from a place on.
    pub(crate) fn entries_after(&self, from: u64) -> Vec<Vec<u8>> {
        let stored = self.stored.lock();
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        stored.log.iter().skip(from).map(LogEntry::to_bytes).collect()
    }

    /// Takes in entries that another device has after the ones known here.
    ///
    /// # Errors
    /// `Refused` when they do not follow: then that device has seen another log.
    pub(crate) fn extend(&self, more: &[Vec<u8>]) -> Result<(), MembersError> {
        let malformed = EngineError::ServerUntrusted("an account log is malformed");
        let more: Result<Vec<LogEntry>, _> = more.iter().map(|entry| LogEntry::from_bytes(entry)).collect();
        let mut entries = self.stored.lock().log.clone();
        entries.extend(more.map_err(|_| malformed)?);
        self.take_in(entries)
    }

    /// Reads the log, which must extend what is known, and remembers it.
    ///
    /// # Errors
    /// `Refused` when it does not: then nothing of this server is to be believed.
    pub(crate) async fn refresh(&self) -> Result<(), MembersError> {
        let _one = self.refreshing.lock().await;
        let log = self.server.ask(|client| async move { client.account_log().await }).await?;
        let malformed = EngineError::ServerUntrusted("its account log is malformed");
        let entries: Result<Vec<LogEntry>, _> =
            log.entries.iter().map(|entry| LogEntry::from_bytes(entry.as_slice())).collect();
        self.take_in(entries.map_err(|_| malformed)?)
    }

    fn take_in(&self, entries: Vec<LogEntry>) -> Result<(), MembersError> {
        let pin = self.stored.lock().pin;
        let state = AccountState::replay_pinned(&entries, &pin).map_err(EngineError::log)?;
        if state.pin().head != pin.head {
            let mut stored = self.stored.lock();
            stored.pin = state.pin();
            stored.log = entries;
            stored.save(&self.dir, &self.local_key, &mut OsEntropy)?;
        }
        *self.state.lock() = Arc::new(state);
        Ok(())
    }
}

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Members").field("head", &self.log_head()).finish_non_exhaustive()
    }
}
