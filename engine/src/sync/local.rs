//! What sync does on this device alone: everything but the network.
//!
//! Own changes are written down here, merged ones applied, commits gathered for sending and their
//! numbers booked. All of it blocks on the disk and none of it waits for anybody else, so the
//! simulation drives the same code.

use super::brake::Brake;
use crate::Volume;
use crate::history::History;
use freehold_crypto::VaultKeyring;
use freehold_model::{DeviceId, VaultId};
use freehold_store::CacheStore;
use freehold_trust::SignKey;
use parking_lot::Mutex;
use std::sync::Arc;

/// One device's side of one vault.
pub(crate) struct Local {
    pub(crate) vault: VaultId,
    pub(crate) device: DeviceId,
    pub(crate) volume: Arc<Volume>,
    pub(crate) cache: Arc<CacheStore>,
    pub(crate) keyring: Arc<VaultKeyring>,
    pub(crate) history: Arc<History>,
    pub(crate) sign_key: SignKey,
    /// Own commits from one root over all heads to the next.
    pub(crate) checkpoint_commits: u32,
    /// Deletions that wait for a person. Taken before the tables' lock.
    pub(crate) brake: Mutex<Brake>,
}
