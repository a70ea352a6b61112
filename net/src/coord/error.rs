//! What can go wrong between a client and its coordination server.

use std::time::Duration;

use freehold_api::{ErrorCode, Problem};

/// A request to the server did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoordError {
    /// The server said no and why.
    #[error("the server refused the request: {} ({})", .0.title, .0.code)]
    Refused(Box<Problem>),
    /// An answer that is not the server's own, such as a proxy's.
    #[error("the server's side answered with status {0} and no explanation; check the server URL")]
    Status(u16),
    /// No connection, or it broke: whether the request was performed is not known. Try later.
    #[error("reach the server: no connection, or it was lost; check that the server runs")]
    Unreachable,
    /// No answer in time: whether the request was performed is not known. Try later.
    #[error("reach the server: no answer in time")]
    Timeout,
    /// The answer is over its limit and was not read.
    #[error("the server's answer is over the limit of {limit_bytes} bytes")]
    TooBig {
        /// The limit.
        limit_bytes: usize,
    },
    /// The answer is not what the protocol says. Do not retry at once.
    #[error("the server's answer breaks the protocol: {0}; check the server URL and version")]
    Protocol(&'static str),
    /// The server speaks another protocol version: one side needs an update.
    #[error(
        "the server speaks protocol version {theirs}, this program {}; update the older one",
        freehold_api::PROTOCOL
    )]
    Incompatible {
        /// The server's version.
        theirs: u16,
    },
}

impl CoordError {
    /// The server's reason, when it gave one that this build knows.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(problem) => problem.error_code(),
            _ => None,
        }
    }

    /// Whether the same request can succeed later without anybody changing it.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused(problem) => problem.retryable,
            Self::Status(status) => matches!(status, 408 | 429 | 500..),
            Self::Unreachable | Self::Timeout => true,
            Self::TooBig { .. } | Self::Protocol(_) | Self::Incompatible { .. } => false,
        }
    }

    /// Whether the session is gone, so that a new one must be made first.
    #[must_use]
    pub fn wants_session(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::Unauthenticated | ErrorCode::SessionExpired))
    }

    /// How long the server asks to wait before trying again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(problem) => problem.retry_after_seconds.map(Duration::from_secs),
            _ => None,
        }
    }
}

/// The server URL cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerUrlError {
    /// Not `http://HOST:PORT`.
    #[error("read the server URL: write it as http://127.0.0.1:PORT, without user, path or query")]
    Malformed,
    /// Another scheme than http.
    #[error("read the server URL: only http to this machine is supported by this version")]
    Scheme,
    /// Plain HTTP to another machine.
    #[error("read the server URL: plain HTTP is only for this machine (127.0.0.1, ::1 or localhost)")]
    NotLoopback,
}
