//! Small messages about vaults: list, state, chain heads, results of a push.

use crate::{Blob, ErrorCode, VaultBoxes};
use freehold_model::{CommitHash, DeviceId, VaultId};
use serde::{Deserialize, Serialize};

/// Answer to `GET /api/v1/vaults`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultList {
    /// The vaults this account may open.
    pub vaults: Vec<VaultSummary>,
}

/// One vault with its sealed keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultSummary {
    /// Id and key boxes.
    #[serde(flatten)]
    pub keys: VaultBoxes,
    /// Number of the newest commit; 0 for none.
    pub vault_seq: u64,
}

/// Answer to `GET /api/v1/vaults/{vault}/state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultState {
    /// Number of the newest commit; 0 for none.
    pub vault_seq: u64,
    /// Changes when the server's numbering starts over (restored from a backup): cursors of
    /// another incarnation are void.
    pub server_incarnation: u64,
    /// Newest versions whose chunks are not all on enough nodes yet.
    pub unplaced_versions: u64,
    /// The devices that wrote them.
    pub unplaced_by: Vec<DeviceId>,
}

/// Answer to `GET /api/v1/vaults/{vault}/chain/{device}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainState {
    /// The device's newest commit here; nothing when there is none.
    pub head: Option<ChainHead>,
    /// Its header and signature, the commit's first 250 bytes: a device believes nothing of its own
    /// past that it did not sign.
    pub signed: Option<Blob>,
}

/// One commit as a place in its device's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// Life of the device.
    pub incarnation: u32,
    /// Place in that life, from 1.
    pub seq: u64,
    /// The commit.
    pub hash: CommitHash,
}

/// Answer to a push: one outcome for each commit, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushResponse {
    /// The outcomes.
    pub results: Vec<PushOutcome>,
}

/// What became of one pushed commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PushOutcome {
    /// The commit is stored durably under this number, by this push or an earlier one.
    Numbered {
        /// Its number in the vault.
        vault_seq: u64,
    },
    /// The commit was not taken.
    Refused {
        /// Why.
        code: ErrorCode,
        /// The newest commit of that device the server has, when the chain was the reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<ChainHead>,
    },
}

/// Answer to a receipts upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptsAccepted {
    /// Receipts that were valid, repeated ones included.
    pub accepted: u64,
    /// Versions that became placed by them.
    pub placed_versions: u64,
}

/// The id alone, for callers that only route.
impl VaultSummary {
    /// The vault.
    #[must_use]
    pub const fn vault_id(&self) -> VaultId {
        self.keys.vault_id
    }
}
