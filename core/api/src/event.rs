//! Events pushed over the WebSocket, one JSON text message each.
//!
//! Events only hurry a client along: whoever misses one finds the same facts by polling, so
//! correctness rests on cursors alone.

use freehold_model::VaultId;
use serde::{Deserialize, Serialize};

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// First message on a connection.
    Hello {
        /// As in [`crate::VaultState`].
        server_incarnation: u64,
    },
    /// A commit was numbered.
    Commit {
        /// The vault.
        vault: VaultId,
        /// Its newest number.
        vault_seq: u64,
    },
    /// Versions became placed.
    Placed {
        /// The vault.
        vault: VaultId,
    },
    /// The account log grew.
    AccountLog {
        /// Place of its newest entry.
        seq: u64,
    },
    /// A device of the account says where it can be reached.
    Addresses,
    /// The layout or an address in it changed.
    Layout {
        /// Newest epoch.
        epoch: u64,
    },
    /// Events were dropped because this client was slow: poll everything once.
    Resync,
    /// A kind this build does not know; ignore it.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_tagged_by_type() {
        let event = Event::Commit { vault: VaultId::from_bytes([0xab; 16]), vault_seq: 7 };
        let text = serde_json::to_string(&event).expect("an event always serialises");
        assert_eq!(text, r#"{"type":"commit","vault":"abababababababababababababababab","vault_seq":7}"#);
        assert_eq!(serde_json::from_str::<Event>(&text).ok(), Some(event));
    }

    #[test]
    fn an_event_of_a_later_version_is_unknown_and_not_an_error() {
        assert_eq!(serde_json::from_str::<Event>(r#"{"type":"later","x":1}"#).ok(), Some(Event::Unknown));
    }
}
