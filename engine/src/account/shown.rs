//! What a server shows of an account: log, boxes, vaults, read anew for every try.

use crate::engine_error::EngineError;
use freehold_api::{AccountBoxes, AccountLog, VaultBoxes};
use freehold_net::coord::ServerClient;
use freehold_trust::account_log::LogEntry;

/// Log, boxes and vaults, read one after the other. Only an append that the log's head still allows
/// proves that they were of one moment.
pub(super) struct Shown {
    pub(super) log: Vec<LogEntry>,
    pub(super) boxes: AccountBoxes,
    pub(super) vaults: Vec<VaultBoxes>,
}

impl Shown {
    /// Reads with a session of either scope; the caller verifies.
    ///
    /// # Errors
    /// `ServerUntrusted` when an entry does not parse or there is no vault.
    pub(super) async fn read(client: &ServerClient) -> Result<Self, EngineError> {
        let log = read_log(&client.account_log().await.map_err(EngineError::coord)?)?;
        let boxes = client.account_boxes().await.map_err(EngineError::coord)?;
        let list = client.vaults().await.map_err(EngineError::coord)?;
        let vaults: Vec<VaultBoxes> = list.vaults.into_iter().map(|vault| vault.keys).collect();
        if vaults.is_empty() {
            return Err(EngineError::ServerUntrusted("it shows no vault for this account"));
        }
        Ok(Self { log, boxes, vaults })
    }
}

/// The entries of a log; the caller replays them.
///
/// # Errors
/// `ServerUntrusted` when one does not parse.
pub(crate) fn read_log(log: &AccountLog) -> Result<Vec<LogEntry>, EngineError> {
    let entries = log.entries.iter().map(|entry| LogEntry::from_bytes(entry.as_slice()));
    entries
        .collect::<Result<_, _>>()
        .map_err(|_| EngineError::ServerUntrusted("its account log does not parse"))
}
