//! What the request layer needs of a carrier: lanes that each hold one request and its response.
//!
//! A lane has a sending and a receiving half. The fixed heads come in order; the body comes as
//! pieces with offsets. Every kind behaves alike and passes the same test suite.

use bytes::Bytes;

use super::{LinkError, Piece, quic};
use crate::fhp::carrier as fhp;
use crate::wire::{Class, RefusalCode};

/// A connection of some kind.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// QUIC by quinn.
    Quic(quic::QuicCarrier),
    /// FHP.
    Fhp(fhp::FhpCarrier),
}

/// Why a side ends a link. The number is what travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum CloseCode {
    /// Nothing more to say.
    Done = 0,
    /// The other side broke the protocol.
    Protocol = 1,
}

/// The sending half of a lane. Dropping it unfinished tells the other side that we gave up.
#[derive(Debug)]
pub(crate) enum Tx {
    /// A QUIC stream.
    Quic(quic::QuicTx),
    /// A lane of FHP.
    Fhp(fhp::FhpTx),
}

/// The receiving half of a lane. Dropping it before the end tells the other side to stop.
#[derive(Debug)]
pub(crate) enum Rx {
    /// A QUIC stream.
    Quic(quic::QuicRx),
    /// A lane of FHP.
    Fhp(fhp::FhpRx),
}

/// Why bytes could not be handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TxError {
    /// The other side wants no more of this lane; why is in its response, if it gave one.
    Unwanted,
    /// The link is gone.
    Link(LinkError),
}

impl Carrier {
    /// Opens a lane, waiting while the other side allows no more.
    pub(crate) async fn open(&self) -> Result<(Tx, Rx), LinkError> {
        match self {
            Self::Quic(carrier) => carrier.open().await,
            Self::Fhp(carrier) => carrier.open().await,
        }
    }

    /// Waits for a lane opened by the other side.
    pub(crate) async fn accept(&self) -> Result<(Tx, Rx), LinkError> {
        match self {
            Self::Quic(carrier) => carrier.accept().await,
            Self::Fhp(carrier) => carrier.accept().await,
        }
    }

    /// Waits until the link is gone.
    pub(crate) async fn closed(&self) -> LinkError {
        match self {
            Self::Quic(carrier) => carrier.closed().await,
            Self::Fhp(carrier) => carrier.closed().await,
        }
    }

    /// Whether the link is gone.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Quic(carrier) => carrier.is_closed(),
            Self::Fhp(carrier) => carrier.is_closed(),
        }
    }

    /// Lets the other side send so many bytes before they are read.
    pub(crate) fn admit(&self, window_bytes: u32) {
        match self {
            Self::Quic(carrier) => carrier.admit(window_bytes),
            Self::Fhp(carrier) => carrier.admit(window_bytes),
        }
    }

    /// Ends the link.
    pub(crate) fn close(&self, code: CloseCode) {
        match self {
            Self::Quic(carrier) => carrier.close(code),
            Self::Fhp(carrier) => carrier.close(code),
        }
    }
}

impl Tx {
    /// Sets the urgency of what is sent from here on.
    pub(crate) fn set_class(&self, class: Class) {
        match self {
            Self::Quic(tx) => tx.set_class(class),
            Self::Fhp(tx) => tx.set_class(class),
        }
    }

    /// Hands over some of `bytes`, waiting for room, and takes that part off the front. With `more`, something
    /// else of this lane follows at once, and may travel in the same packet.
    ///
    /// # Cancel safety
    /// A dropped future handed nothing over.
    pub(crate) async fn write_some(&mut self, bytes: &mut Bytes, more: bool) -> Result<(), TxError> {
        match self {
            Self::Quic(tx) => tx.write_some(bytes).await,
            Self::Fhp(tx) => tx.write_some(bytes, more).await,
        }
    }

    /// Marks everything as sent.
    pub(crate) fn finish(&mut self) {
        match self {
            Self::Quic(tx) => tx.finish(),
            Self::Fhp(tx) => tx.finish(),
        }
    }

    /// Gives the lane up; the other side reads `code`.
    pub(crate) fn reset(&mut self, code: RefusalCode) {
        match self {
            Self::Quic(tx) => tx.reset(code),
            Self::Fhp(tx) => tx.reset(code),
        }
    }

    /// Completes when the other side wants no more of this lane or the link is gone; never
    /// otherwise. Independent of the half's lifetime.
    pub(crate) fn unwanted(&self) -> impl Future<Output = ()> + Send + use<> {
        let unwanted = match self {
            Self::Quic(tx) => (Some(tx.unwanted()), None),
            Self::Fhp(tx) => (None, Some(tx.unwanted())),
        };
        async move {
            match unwanted {
                (Some(quic), _) => quic.await,
                (_, Some(fhp)) => fhp.await,
                (None, None) => {}
            }
        }
    }
}

impl Rx {
    /// Receives exactly `len` bytes of the ordered part.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn ordered(&mut self, len: usize) -> Result<Bytes, LinkError> {
        match self {
            Self::Quic(rx) => rx.ordered(len).await,
            Self::Fhp(rx) => rx.ordered(len).await,
        }
    }

    /// Receives the next piece of the body; `None` at its end. The body begins where the ordered
    /// part ended.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn piece(&mut self) -> Result<Option<Piece>, LinkError> {
        match self {
            Self::Quic(rx) => rx.piece().await,
            Self::Fhp(rx) => rx.piece().await,
        }
    }
}
