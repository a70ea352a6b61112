//! Paths of the HTTP API: templates for the router, builders for clients.
//!
//! The templates use axum's `{name}` captures; the builders fill them, and a test holds the two
//! together.

use freehold_model::{DeviceId, NodeId, VaultId};

/// `GET` [`crate::ServerInfo`].
pub const SERVER: &str = "/api/v1/server";
/// `POST` [`crate::RegisterStart`].
pub const REGISTER_START: &str = "/api/v1/register/start";
/// `POST` [`crate::RegisterFinish`].
pub const REGISTER_FINISH: &str = "/api/v1/register/finish";
/// `POST` [`crate::LoginStart`].
pub const LOGIN_START: &str = "/api/v1/login/start";
/// `POST` [`crate::LoginFinish`].
pub const LOGIN_FINISH: &str = "/api/v1/login/finish";
/// `POST` [`crate::DeviceChallengeRequest`].
pub const DEVICE_CHALLENGE: &str = "/api/v1/device/challenge";
/// `POST` [`crate::DeviceSessionRequest`].
pub const DEVICE_SESSION: &str = "/api/v1/device/session";
/// `POST` [`crate::RecoveryChallengeRequest`].
pub const RECOVERY_CHALLENGE: &str = "/api/v1/recovery/challenge";
/// `POST` [`crate::RecoverySessionRequest`].
pub const RECOVERY_SESSION: &str = "/api/v1/recovery/session";
/// `POST` without a body: ends the session.
pub const LOGOUT: &str = "/api/v1/logout";
/// `GET` [`crate::AccountLog`], `POST` [`crate::AppendEntries`].
pub const ACCOUNT_LOG: &str = "/api/v1/account/log";
/// `GET` [`crate::AccountBoxes`].
pub const ACCOUNT_BOXES: &str = "/api/v1/account/boxes";
/// `GET` [`crate::DeviceAddressList`], `POST` [`crate::DeviceAddressesPut`].
pub const DEVICE_ADDRESSES: &str = "/api/v1/account/addresses";
/// `POST` [`crate::PasswordStart`].
pub const PASSWORD_START: &str = "/api/v1/account/password/start";
/// `GET` [`crate::VaultList`].
pub const VAULTS: &str = "/api/v1/vaults";
/// `POST` [`crate::bulk::PushRequest`], `GET` [`crate::bulk::CommitPage`].
pub const COMMITS: &str = "/api/v1/vaults/{vault}/commits";
/// `POST` [`crate::bulk::VersionsRequest`].
pub const VERSIONS: &str = "/api/v1/vaults/{vault}/versions";
/// `POST` [`crate::bulk::ReceiptsRequest`].
pub const RECEIPTS: &str = "/api/v1/vaults/{vault}/receipts";
/// `GET` [`crate::VaultState`].
pub const STATE: &str = "/api/v1/vaults/{vault}/state";
/// `GET` [`crate::ChainState`].
pub const CHAIN: &str = "/api/v1/vaults/{vault}/chain/{device}";
/// `GET` [`crate::LayoutInfo`].
pub const LAYOUT: &str = "/api/v1/layout";
/// `POST` [`crate::CapabilityRequest`].
pub const CAPABILITIES: &str = "/api/v1/capabilities";
/// `POST` [`crate::NodeJoin`].
pub const NODE_JOIN: &str = "/api/v1/nodes/join";
/// `POST` [`crate::Heartbeat`].
pub const NODE_HEARTBEAT: &str = "/api/v1/nodes/{node}/heartbeat";
/// `GET`, WebSocket: [`crate::Event`] as JSON text messages.
pub const EVENTS: &str = "/api/v1/events";
/// `GET`: the process answers.
pub const LIVEZ: &str = "/livez";
/// `GET` [`crate::Health`]: the server can do its work.
pub const READYZ: &str = "/readyz";
/// `GET` [`crate::VersionInfo`].
pub const VERSION: &str = "/version";

/// [`COMMITS`] of a vault, to push.
#[must_use]
pub fn commits(vault: &VaultId) -> String {
    COMMITS.replace("{vault}", &vault.to_string())
}

/// [`COMMITS`] of a vault, to read the page after `after`.
#[must_use]
pub fn commits_after(vault: &VaultId, after: u64, limit: usize) -> String {
    format!("{}?after={after}&limit={limit}", commits(vault))
}

/// [`VERSIONS`] of a vault.
#[must_use]
pub fn versions(vault: &VaultId) -> String {
    VERSIONS.replace("{vault}", &vault.to_string())
}

/// [`RECEIPTS`] of a vault.
#[must_use]
pub fn receipts(vault: &VaultId) -> String {
    RECEIPTS.replace("{vault}", &vault.to_string())
}

/// [`STATE`] of a vault.
#[must_use]
pub fn state(vault: &VaultId) -> String {
    STATE.replace("{vault}", &vault.to_string())
}

/// [`CHAIN`] of a device in a vault.
#[must_use]
pub fn chain(vault: &VaultId, device: &DeviceId) -> String {
    CHAIN.replace("{vault}", &vault.to_string()).replace("{device}", &device.to_string())
}

/// [`NODE_HEARTBEAT`] of a node.
#[must_use]
pub fn node_heartbeat(node: &NodeId) -> String {
    NODE_HEARTBEAT.replace("{node}", &node.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builders_fill_every_capture() {
        let (vault, device) = (VaultId::from_bytes([1; 16]), DeviceId::from_bytes([2; 16]));
        let node = NodeId::from_bytes([3; 16]);
        let built = [
            commits(&vault),
            commits_after(&vault, 7, 9),
            versions(&vault),
            receipts(&vault),
            state(&vault),
            chain(&vault, &device),
            node_heartbeat(&node),
        ];
        assert!(built.iter().all(|path| !path.contains(['{', '}'])), "{built:?}");
        assert!(built[1].ends_with("/commits?after=7&limit=9"), "{}", built[1]);
        assert!(built[5].ends_with(&format!("{vault}/chain/{device}")), "{}", built[5]);
    }
}
