//! A link: an authenticated, encrypted connection to one other machine that carries requests.
//!
//! [`Link`] is a handle over a carrier (FHP, or QUIC by quinn); everything about
//! requests, credit, urgency and refusal is decided above the carrier, so every kind behaves alike
//! and passes the same test suite. Both sides may ask and both may serve.

mod body;
mod call;
pub(crate) mod carrier;
mod error;
mod handler;
pub(crate) mod quic;
pub(crate) mod quic_setup;
mod serve;
mod turns;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;

pub use body::{Body, BodyReader, BodyWriter, Piece};
pub use call::{Call, Credit, Request, Response};
pub use error::{BindError, LinkError};
pub use handler::{BodySink, Handler, Inbound, Responder};

use crate::config::LinkConfig;
use crate::identity::PeerKey;
use crate::limits::{HEAD_BYTES_MAX, IN_FLIGHT_URGENT_SHARE};
use crate::wire::{Hello, LINK_VERSION};
use carrier::Carrier;
use turns::Turns;

/// The machine at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Key it proved to hold.
    pub key: PeerKey,
    /// Address it had when the link came up.
    pub addr: SocketAddr,
}

/// A connection to one machine. Clones are handles of the same link; it closes with the last one.
#[derive(Clone, Debug)]
pub struct Link(Arc<Shared>);

/// What every request of a link shares.
#[derive(Debug)]
pub(crate) struct Shared {
    carrier: Carrier,
    peer: PeerInfo,
    /// What the other side takes.
    theirs: Hello,
    /// Bytes of a request body we take.
    max_body_bytes: u64,
    /// Bytes that may wait unread once the other side is admitted.
    window_bytes: u32,
    turns: Turns,
    /// Slots at the other side that requests of no urgency may use.
    ordinary: Arc<Semaphore>,
}

impl Link {
    /// A link over a carrier whose handshake is complete and whose hellos are exchanged.
    pub(crate) fn new(carrier: Carrier, peer: PeerInfo, theirs: Hello, config: &LinkConfig) -> Self {
        let slots = theirs.max_in_flight.min(crate::limits::IN_FLIGHT_MAX);
        let ordinary = usize::from(slots - slots / IN_FLIGHT_URGENT_SHARE);
        Self(Arc::new(Shared {
            carrier,
            peer,
            theirs,
            max_body_bytes: config.max_body_bytes,
            window_bytes: config.link_window_bytes,
            turns: Turns::default(),
            ordinary: Arc::new(Semaphore::new(ordinary)),
        }))
    }

    /// The machine at the other end.
    #[must_use]
    pub fn peer(&self) -> PeerInfo {
        self.0.peer
    }

    /// Sends a request; the answer is read from the returned [`Call`], and dropping that cancels it.
    ///
    /// Returns once the head is handed over; the body follows while the call lives. Deadlines are
    /// the caller's: wrap this and the call in a timeout and drop them.
    ///
    /// # Errors
    /// `TooBig` when head or body is over what the other side takes, `Refused(NOT_SERVING)` when it
    /// takes nothing, `Closed` when the link is gone.
    ///
    /// # Cancel safety
    /// Dropping the future gives the request up.
    pub async fn call(&self, request: Request, credit: Credit) -> Result<Call, LinkError> {
        Call::start(Arc::clone(&self.0), request, credit).await
    }

    /// Answers the other side's requests with `handler` until the link closes, then says why it did.
    ///
    /// Each request runs as its own task; dropping this future ends them all.
    pub async fn serve<H: Handler>(&self, handler: Arc<H>) -> LinkError {
        serve::run(Arc::clone(&self.0), handler).await
    }

    /// Waits until the link is gone and says why.
    pub async fn closed(&self) -> LinkError {
        self.0.carrier.closed().await
    }

    /// Whether the link is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.carrier.is_closed()
    }

    /// Ends the link; requests in flight fail with `Closed` on both sides.
    pub fn close(&self) {
        self.0.carrier.close(carrier::CloseCode::Done);
    }
}

impl Shared {
    /// Closes the link because the other side broke the protocol, and says so.
    pub(crate) fn violated(&self, what: &'static str) -> LinkError {
        tracing::debug!(what, "link closed: the other side broke the protocol");
        self.carrier.close(carrier::CloseCode::Protocol);
        LinkError::Protocol(what)
    }
}

/// Our hello.
pub(crate) fn hello(config: &LinkConfig, serving: bool) -> Hello {
    Hello {
        version: LINK_VERSION,
        max_in_flight: if serving { config.max_in_flight } else { 0 },
        max_head_bytes: u32::try_from(HEAD_BYTES_MAX).expect("the limit is far below 4 GiB"),
        max_body_bytes: config.max_body_bytes,
    }
}
