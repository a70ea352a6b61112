//! The one picture of what the engine is doing. Pure: facts in, status out.

use crate::account::Identity;
use freehold_api::control::{Pending, Pinned, Problem, State, Status, WhoAmI};

use crate::sync::{NOT_HANDED_OVER, REVOKED, WAITING_FOR_DEVICE};

/// Problems that do not need a person: they pass by themselves, or there is nothing to be done.
const NEEDS_NOBODY: &[&str] = &[WAITING_FOR_DEVICE, NOT_HANDED_OVER, REVOKED];

/// What the status is made from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) identity: Option<Identity>,
    pub(crate) server_reachable: bool,
    pub(crate) nodes_reachable: u32,
    pub(crate) nodes: u32,
    pub(crate) devices_connected: u32,
    pub(crate) pending: Pending,
    pub(crate) entries: u64,
    pub(crate) cache_bytes: u64,
    pub(crate) pinned: Pinned,
    pub(crate) applied_seq: u64,
    pub(crate) problems: Vec<Problem>,
}

impl Facts {
    /// The status, without the mount.
    pub(crate) fn status(self) -> Status {
        let state = self.state();
        let identity = self.identity;
        let who = identity.map_or_else(nobody, |identity| WhoAmI {
            user: Some(identity.user),
            server: Some(identity.server),
            account: Some(identity.account.to_string()),
            device: Some(identity.device.to_string()),
            device_name: Some(identity.device_name),
        });
        Status {
            state,
            who,
            mount: None,
            server_reachable: self.server_reachable,
            nodes_reachable: self.nodes_reachable,
            nodes: self.nodes,
            devices_connected: self.devices_connected,
            pending: self.pending,
            entries: self.entries,
            cache_bytes: self.cache_bytes,
            pinned: self.pinned,
            applied_seq: self.applied_seq,
            problems: self.problems,
        }
    }

    fn state(&self) -> State {
        if self.identity.is_none() {
            State::SignedOut
        } else if self.problems.iter().any(|problem| !NEEDS_NOBODY.contains(&problem.code.as_str())) {
            State::Attention
        } else if !self.server_reachable {
            State::Offline
        } else if self.pending.is_empty() {
            State::Synced
        } else {
            State::Syncing
        }
    }
}

const fn nobody() -> WhoAmI {
    WhoAmI { user: None, server: None, account: None, device: None, device_name: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_model::{AccountId, DeviceId};

    fn facts() -> Facts {
        let identity = Identity {
            user: "eva".to_owned(),
            server: "http://127.0.0.1:1".to_owned(),
            account: AccountId::from_bytes([1; 16]),
            device: DeviceId::from_bytes([2; 16]),
            device_name: "desk".to_owned(),
        };
        Facts { identity: Some(identity), server_reachable: true, ..Facts::default() }
    }

    fn problem(code: &str) -> Vec<Problem> {
        vec![Problem { code: code.to_owned(), message: String::new(), hint: String::new() }]
    }

    #[test]
    fn the_state_is_the_gravest_thing_that_is_true() {
        let pending = Pending { chunks: 1, ..Pending::default() };
        assert_eq!(Facts::default().status().state, State::SignedOut);
        assert_eq!(facts().status().state, State::Synced);
        assert_eq!(Facts { pending, ..facts() }.status().state, State::Syncing);
        assert_eq!(Facts { pending, server_reachable: false, ..facts() }.status().state, State::Offline);
        let graver = Facts { server_reachable: false, problems: problem("node_full"), ..facts() };
        assert_eq!(graver.status().state, State::Attention);
    }

    #[test]
    fn waiting_for_another_device_needs_nobody() {
        let waiting = Facts { problems: problem(WAITING_FOR_DEVICE), ..facts() };
        assert_eq!(waiting.status().state, State::Synced);
    }
}
