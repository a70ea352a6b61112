//! What can go wrong on a link, one variant for each thing a caller does about it.

use std::net::SocketAddr;

use crate::wire::RefusalCode;

/// A link could not be made, or a request on it did not complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Nothing answered in time: try another address, or later.
    #[error("connect to the other machine: no answer in time; check that it is on and reachable")]
    Timeout,
    /// No route or no usable address: try another address.
    #[error("connect to the other machine: the address cannot be used from here")]
    Unreachable,
    /// The machine that answered does not hold the expected key: do not retry, tell the user.
    #[error(
        "connect to the other machine: it does not hold the key it is known by; do not trust this address"
    )]
    WrongPeer,
    /// The other side does not admit our key: sign in again or ask its owner.
    #[error("connect to the other machine: it does not admit this device's key")]
    NotAdmitted,
    /// No common protocol version or key exchange: one side needs an update.
    #[error("connect to the other machine: no common protocol version; update the older side")]
    Incompatible,
    /// The link is gone; whether a request in flight was performed is not known. Connect again.
    #[error("the link to the other machine is closed; connect again")]
    Closed,
    /// The other side said no; the code says why.
    #[error("the other machine refused the request: {0}")]
    Refused(RefusalCode),
    /// A head or body is over the limit that applies: ask for less.
    #[error("a message is over the limit of {limit_bytes} bytes that applies to it")]
    TooBig {
        /// The limit that was exceeded.
        limit_bytes: u64,
    },
    /// The other side broke the protocol; the link is closed. Do not retry at once.
    #[error("the other machine broke the link protocol: {0}")]
    Protocol(&'static str),
    /// The other side gave up this request: its caller dropped it, or its handler ended unanswered.
    #[error("the other machine gave up the request")]
    Cancelled,
}

impl LinkError {
    /// Whether the same request may succeed over a new link or a little later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Timeout | Self::Unreachable | Self::Closed | Self::Cancelled => true,
            Self::Refused(code) => matches!(*code, RefusalCode::BUSY | RefusalCode::INTERNAL),
            Self::WrongPeer
            | Self::NotAdmitted
            | Self::Incompatible
            | Self::TooBig { .. }
            | Self::Protocol(_) => false,
        }
    }
}

/// The endpoint's UDP socket could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program holds the port: choose another or stop it.
    #[error("listen on UDP {0}: the port is taken; choose another or stop the program that holds it")]
    PortTaken(SocketAddr),
    /// The system refused the address or the socket.
    #[error("listen on UDP {addr}: {source}")]
    Unusable {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}
