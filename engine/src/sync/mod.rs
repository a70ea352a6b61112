//! Bringing this device's changes to the server and to other devices, and theirs here.
//!
//! [`task`] is the loop: it hands what [`intake`] asks for to [`work`], writes own changes down
//! ([`compose`], [`mod@write`]), tells them to other devices and sends them to the server ([`send`]).
//! [`local`] is what needs no network. [`meet`] compares this device's past with what others know of it, [`apply`] merges, [`placed`]
//! follows own versions until the nodes hold them, [`checkpoint`] holds devices to the roots they sign,
//! [`witness`] asks the storage nodes how far the vault has come. [`chains`], [`plan`], [`compose`], [`pace`] and
//! [`intake`] decide; the rest reads and writes.

pub(crate) mod apply;
pub(crate) mod brake;
pub(crate) mod chains;
pub(crate) mod checkpoint;
pub(crate) mod compose;
mod events;
mod evidence;
pub(crate) mod intake;
pub(crate) mod keeping;
pub(crate) mod late;
pub(crate) mod limits;
pub(crate) mod local;
pub(crate) mod meet;
pub(crate) mod members;
pub(crate) mod pace;
mod placed;
pub(crate) mod plan;
mod ready;
mod report;
pub(crate) mod send;
pub(crate) mod state;
pub(crate) mod task;
pub(crate) mod witness;
mod work;
pub(crate) mod write;

use crate::Volume;
use crate::devices::DeviceLinks;
use crate::devices::book::Book;
use crate::history::History;
use crate::problems::Problems;
use crate::server::Server;
use crate::transfer::download::Downloads;
use crate::transfer::nodes::Nodes;
use crate::transfer::upload::Uploads;
use freehold_crypto::{LocalKey, VaultKeyring};
use freehold_model::{DeviceId, VaultId};
use freehold_net::coord::CoordError;
use freehold_store::CacheStore;
use freehold_trust::SignKey;
use local::Local;
use members::{Members, MembersError};
use std::path::PathBuf;
use std::sync::Arc;

/// Problem: changes of another device whose content is on no node yet.
pub(crate) const WAITING_FOR_DEVICE: &str = "waiting_for_device";
/// Problem: versions named by a removed device that nobody here has.
pub(crate) const NOT_HANDED_OVER: &str = "not_handed_over";
/// Problem: commits of a device that was removed from the account.
pub(crate) const REVOKED: &str = "revoked_device";

/// What every part of sync works with.
pub(crate) struct Parts {
    pub(crate) vault: VaultId,
    pub(crate) device: DeviceId,
    pub(crate) dir: PathBuf,
    pub(crate) volume: Arc<Volume>,
    pub(crate) cache: Arc<CacheStore>,
    pub(crate) keyring: Arc<VaultKeyring>,
    pub(crate) sign_key: SignKey,
    pub(crate) local_key: Arc<LocalKey>,
    pub(crate) local: Arc<Local>,
    pub(crate) server: Arc<Server>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) devices: Arc<DeviceLinks>,
    pub(crate) book: Arc<Book>,
    pub(crate) history: Arc<History>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) downloads: Arc<Downloads>,
    pub(crate) members: Arc<Members>,
    pub(crate) problems: Arc<Problems>,
}

/// Why a step of sync ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    /// The server did not answer as asked.
    #[error(transparent)]
    Server(#[from] CoordError),
    /// The account log could not be brought up to date.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// The server refuses commits of this device.
    #[error("the server refuses this device's commits: {0}")]
    Refused(freehold_api::ErrorCode),
    /// The local disk.
    #[error("write the local state of the vault: {0}")]
    Local(#[from] crate::FsError),
    /// The store of kept commits.
    #[error(transparent)]
    History(#[from] crate::history::HistoryError),
    /// A bug of ours.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// A random number, for jitter only.
pub(crate) fn random() -> u32 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the kernel's generator does not fail after boot");
    u32::from_be_bytes(bytes)
}

/// Runs blocking work beside the runtime.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SyncError> + Send + 'static,
) -> Result<T, SyncError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(SyncError::Internal("a blocking task ended early")))
}
