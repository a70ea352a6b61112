//! The FHP carrier: one of its lanes is one lane, its classes are the classes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use freehold_model::codec;
use freehold_net_proto::{Closed, HandshakeError, LaneId, Read, SessionId};

use super::driver::{Driver, LaneSignals, LinkSignals, Shared, State};
use crate::identity::PeerKey;
use crate::limits::PIECE_BYTES;
use crate::link::carrier::{CloseCode, Rx, Tx, TxError};
use crate::link::{LinkError, Piece};
use crate::wire::{Class, Hello, RefusalCode};

/// A session with both hellos exchanged: they travel inside the handshake.
#[derive(Debug)]
pub(crate) struct FhpCarrier {
    /// A link outlives the endpoint that made it.
    _driver: Arc<Driver>,
    shared: Arc<Shared>,
    session: SessionId,
    signals: Arc<LinkSignals>,
    addr: Option<SocketAddr>,
}

/// Sending half of a lane.
#[derive(Debug)]
pub(crate) struct FhpTx {
    half: Half,
}

/// Receiving half of a lane.
#[derive(Debug)]
pub(crate) struct FhpRx {
    half: Half,
    /// Part of the ordered head that has come.
    partial: BytesMut,
    /// Body bytes delivered.
    offset: u64,
}

#[derive(Debug)]
struct Half {
    shared: Arc<Shared>,
    session: SessionId,
    lane: LaneId,
    signals: Arc<LaneSignals>,
    ended: bool,
}

impl FhpCarrier {
    pub(crate) fn new(driver: &Arc<Driver>, session: SessionId) -> Self {
        let shared = Arc::clone(driver.shared());
        let (signals, addr) = shared.with(|state, _| {
            let signals = state.link(session).map(|link| Arc::clone(&link.signals));
            (signals, state.session(session).map(|session| session.addr()))
        });
        Self { _driver: Arc::clone(driver), shared, session, signals: signals.unwrap_or_default(), addr }
    }

    /// Waits until the session is there; the other side's key and hello.
    pub(crate) async fn established(&self) -> Result<(PeerKey, Hello), LinkError> {
        loop {
            let waited = self.signals.established.notified();
            let found = self.shared.with(|state, _| {
                let link = state.link(self.session)?;
                // It may be over already; who was let in learns that by using it.
                let made = link.established.clone().map(Ok);
                made.or_else(|| link.closed.map(|why| Err(before_a_link(why))))
            });
            match found {
                Some(Ok((key, hello))) => {
                    let key = PeerKey::from_spki(&key).ok_or(LinkError::WrongPeer)?;
                    let hello = codec::from_slice(&hello);
                    let hello = hello.map_err(|_| {
                        self.close(CloseCode::Protocol);
                        LinkError::Protocol("the hello is not of this protocol version")
                    })?;
                    return Ok((key, hello));
                }
                Some(Err(error)) => return Err(error),
                None => waited.await,
            }
        }
    }

    /// Lanes that somebody holds a half of.
    #[cfg(test)]
    pub(crate) fn lanes(&self) -> usize {
        self.shared.with_held(|state| state.link(self.session).map_or(0, |link| link.lanes.len()))
    }

    /// The other machine's address; `None` when the session was over before anybody looked.
    pub(crate) const fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    pub(crate) async fn open(&self) -> Result<(Tx, Rx), LinkError> {
        loop {
            let waited = self.signals.may_open.notified();
            tokio::pin!(waited);
            // Registered before the look, or a change between the two would be missed.
            waited.as_mut().enable();
            let opened = self.shared.with(|state, _| {
                let closed = state.link(self.session).is_none_or(|link| link.closed.is_some());
                if closed {
                    return Err(self.why(state.link(self.session).and_then(|link| link.closed)));
                }
                let Some(lane) = state.session(self.session).and_then(|session| session.open_lane(0)) else {
                    return Ok(None);
                };
                let signals = Arc::<LaneSignals>::default();
                if let Some(link) = state.link(self.session) {
                    link.lanes.insert(lane, Arc::clone(&signals));
                }
                Ok(Some((lane, signals)))
            })?;
            match opened {
                Some((lane, signals)) => return Ok(self.lane(lane, &signals)),
                None => waited.await,
            }
        }
    }

    pub(crate) async fn accept(&self) -> Result<(Tx, Rx), LinkError> {
        loop {
            let waited = self.signals.opened.notified();
            let opened = self.shared.with(|state, _| {
                let link = state.link(self.session).ok_or(LinkError::Closed)?;
                if let Some(lane) = link.opened.pop_front() {
                    return Ok(link.lanes.get(&lane).map(|signals| (lane, Arc::clone(signals))));
                }
                link.closed.map_or(Ok(None), |why| Err(link_error(why)))
            })?;
            match opened {
                Some((lane, signals)) => return Ok(self.lane(lane, &signals)),
                None => waited.await,
            }
        }
    }

    fn lane(&self, lane: LaneId, signals: &Arc<LaneSignals>) -> (Tx, Rx) {
        let half = || Half {
            shared: Arc::clone(&self.shared),
            session: self.session,
            lane,
            signals: Arc::clone(signals),
            ended: false,
        };
        let rx = FhpRx { half: half(), partial: BytesMut::new(), offset: 0 };
        (Tx::Fhp(FhpTx { half: half() }), Rx::Fhp(rx))
    }

    pub(crate) async fn closed(&self) -> LinkError {
        loop {
            let waited = self.signals.closed.notified();
            tokio::pin!(waited);
            waited.as_mut().enable();
            if self.is_closed() {
                let why = self.shared.with(|state, _| state.link(self.session).and_then(|link| link.closed));
                return self.why(why);
            }
            waited.await;
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.with(|state, _| state.link(self.session).is_none_or(|link| link.closed.is_some()))
    }

    pub(crate) fn admit(&self, window_bytes: u32) {
        self.shared.with(|state, _| {
            if let Some(session) = state.session(self.session) {
                session.admit(window_bytes.into());
            }
        });
    }

    pub(crate) fn close(&self, code: CloseCode) {
        self.shared.with(|state, now| {
            if let Some(session) = state.session(self.session) {
                session.close(code as u64, now);
            }
        });
    }

    fn why(&self, closed: Option<Closed>) -> LinkError {
        closed.map_or(LinkError::Closed, link_error)
    }
}

impl Drop for FhpCarrier {
    fn drop(&mut self) {
        self.close(CloseCode::Done);
        self.shared.with(|state, _| state.forget(self.session));
    }
}

/// Before there is a link, silence means that nobody is there.
const fn before_a_link(why: Closed) -> LinkError {
    match why {
        Closed::TimedOut => LinkError::Timeout,
        other => link_error(other),
    }
}

/// What the end of a session means to a caller.
pub(crate) const fn link_error(why: Closed) -> LinkError {
    match why {
        Closed::Handshake(HandshakeError::Key) => LinkError::WrongPeer,
        Closed::Refused(HandshakeError::Key) => LinkError::NotAdmitted,
        Closed::Handshake(HandshakeError::Incompatible) | Closed::Refused(HandshakeError::Incompatible) => {
            LinkError::Incompatible
        }
        Closed::Handshake(HandshakeError::Malformed) | Closed::Refused(HandshakeError::Malformed) => {
            LinkError::Protocol("the handshake is malformed")
        }
        Closed::Busy => LinkError::Refused(RefusalCode::BUSY),
        Closed::There(code) if code == CloseCode::Protocol as u64 => {
            LinkError::Protocol("says the other side of us")
        }
        Closed::Violation(_) | Closed::WornOut => LinkError::Protocol("a transport rule was broken"),
        Closed::Here | Closed::There(_) | Closed::TimedOut | Closed::Reset => LinkError::Closed,
    }
}

impl Half {
    /// Why nothing goes any more, when the session is over.
    fn closed(&self) -> Option<LinkError> {
        self.shared.with(|state, _| match state.link(self.session) {
            Some(link) => link.closed.map(link_error),
            None => Some(LinkError::Closed),
        })
    }
}

/// The half that goes last forgets the lane, whichever it is.
impl Drop for Half {
    fn drop(&mut self) {
        if self.signals.gone_halves.fetch_add(1, Ordering::AcqRel) == 1 {
            self.shared.with_held(|state| {
                if let Some(link) = state.link(self.session) {
                    link.lanes.remove(&self.lane);
                }
            });
        }
    }
}

impl FhpTx {
    pub(crate) fn set_class(&self, class: Class) {
        let Half { shared, session, lane, .. } = &self.half;
        shared.with(|state, _| {
            if let Some(session) = state.session(*session) {
                session.set_class(*lane, class as u8);
            }
        });
    }

    pub(crate) async fn write_some(&mut self, bytes: &mut Bytes, more: bool) -> Result<(), TxError> {
        let Half { shared, session, lane, signals, .. } = &self.half;
        loop {
            let mut write = |state: &mut State| match state.session(*session) {
                Some(open) if open.is_open() => open.write(*lane, bytes),
                _ => None,
            };
            // What follows at once sends it, or whoever has something to send before.
            let written = if more { shared.with_held(write) } else { shared.with(|state, _| write(state)) };
            match written {
                Some(0) if !bytes.is_empty() => {
                    shared.with(|_, _| ());
                    signals.writable.notified().await;
                }
                Some(_) => return Ok(()),
                None => {
                    let closed = self.half.closed();
                    self.half.ended = true;
                    return Err(closed.map_or(TxError::Unwanted, TxError::Link));
                }
            }
        }
    }

    pub(crate) fn finish(&mut self) {
        self.half.ended = true;
        let Half { shared, session, lane, .. } = &self.half;
        shared.with(|state, _| {
            if let Some(session) = state.session(*session) {
                session.finish(*lane);
            }
        });
    }

    pub(crate) fn reset(&mut self, code: RefusalCode) {
        self.half.ended = true;
        let Half { shared, session, lane, .. } = &self.half;
        shared.with(|state, _| {
            if let Some(session) = state.session(*session) {
                session.reset_lane(*lane, code.0.into());
            }
        });
    }

    pub(crate) fn unwanted(&self) -> impl Future<Output = ()> + Send + use<> {
        let signals = Arc::clone(&self.half.signals);
        async move {
            loop {
                let waited = signals.unwanted.notified();
                tokio::pin!(waited);
                waited.as_mut().enable();
                if signals.is_unwanted.load(Ordering::Acquire) {
                    return;
                }
                waited.await;
            }
        }
    }
}

/// An unfinished message must never look whole.
impl Drop for FhpTx {
    fn drop(&mut self) {
        if !self.half.ended {
            self.reset(RefusalCode::CANCELLED);
        }
    }
}

impl FhpRx {
    pub(crate) async fn ordered(&mut self, len: usize) -> Result<Bytes, LinkError> {
        while self.partial.len() < len {
            match self.read(len - self.partial.len()).await? {
                Some(bytes) => self.partial.extend_from_slice(&bytes),
                None => return Err(LinkError::Protocol("a head is cut short")),
            }
        }
        Ok(self.partial.split_to(len).freeze())
    }

    pub(crate) async fn piece(&mut self) -> Result<Option<Piece>, LinkError> {
        let Some(bytes) = self.read(PIECE_BYTES).await? else { return Ok(None) };
        let offset = self.offset;
        self.offset = offset.saturating_add(bytes.len() as u64);
        Ok(Some(Piece { offset, bytes }))
    }

    async fn read(&mut self, most: usize) -> Result<Option<Bytes>, LinkError> {
        loop {
            let Half { shared, session, lane, signals, .. } = &self.half;
            if self.half.ended {
                return Ok(None);
            }
            let read =
                shared.with(|state, _| state.session(*session).map(|session| session.read(*lane, most)));
            match read {
                Some(Read::Bytes(bytes)) => return Ok(Some(bytes)),
                Some(Read::End) => {
                    self.half.ended = true;
                    return Ok(None);
                }
                Some(Read::Reset(code)) => {
                    self.half.ended = true;
                    return Err(match RefusalCode(u16::try_from(code).unwrap_or(u16::MAX)) {
                        RefusalCode::CANCELLED => LinkError::Cancelled,
                        code => LinkError::Refused(code),
                    });
                }
                Some(Read::Pending | Read::Gone) | None => {}
            }
            match self.half.closed() {
                Some(error) => return Err(error),
                None => signals.readable.notified().await,
            }
        }
    }
}

impl Drop for FhpRx {
    fn drop(&mut self) {
        let Half { shared, session, lane, ended, .. } = &self.half;
        if !ended {
            shared.with(|state, _| {
                if let Some(session) = state.session(*session) {
                    session.stop_lane(*lane, RefusalCode::CANCELLED.0.into());
                }
            });
        }
    }
}
